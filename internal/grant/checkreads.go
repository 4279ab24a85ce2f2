package grant

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/oci"
)

// repositories tells what can be read of what a pattern covers, and returns its
// names on the registry, those that were tried first; or else those of what does
// not exist and is not refused, which something may be pushed to yet.
func (r *registryCheck) repositories(ctx context.Context) []string {
	var readable, missing, absent []string
	listing, listed := r.list(ctx)
	candidates := slices.Clone(r.literal)
	for _, name := range covered(r.request.Patterns, r.host, listing.Names) {
		if !slices.Contains(candidates, name) {
			candidates = append(candidates, name)
		}
	}
	var refused error
	for i, name := range candidates {
		inList := slices.Contains(listing.Names, name)
		if i >= confirmMost || r.left < requestsRights+requestsImage+2 {
			if inList { // what it lists it mostly gives
				readable = append(readable, name)
			}
			continue
		}
		if err := r.read(ctx, name, r.who); err != nil {
			missing, refused = append(missing, name), cmp.Or(refused, err)
			if fault.Is(err, fault.NotFound) {
				absent = append(absent, name)
			}
			continue
		}
		readable = append(readable, name)
	}
	r.note(readable, listed)
	r.tell(readable, missing, refused, listing, listed)
	if len(readable) == 0 {
		return absent
	}
	return readable
}

// list asks for the registry's own list; what it does not show is no list.
func (r *registryCheck) list(ctx context.Context) (all oci.Listing, listed bool) {
	if r.host == image.Hub {
		return all, false // which has none
	}
	if authorization, _, err := r.authorize(ctx, r.who, oci.CatalogueScope); err == nil {
		found, err := r.client.Repositories(ctx, oci.CataloguePath, authorization)
		r.left -= max(found.Pages, 1)
		if err == nil {
			return found, true
		}
	}
	if r.lists == nil {
		return all, false
	}
	for _, at := range r.lists(r) {
		if r.left < requestsRights+requestsImage+2 {
			break
		}
		found, err := r.client.Repositories(ctx, at.path, oci.Basic(r.who.user, r.who.secret))
		r.left -= max(found.Pages, 1)
		if err != nil {
			continue
		}
		listed, all.More = true, all.More || found.More
		for _, name := range found.Names {
			all.Names = append(all.Names, at.prefix+name)
		}
	}
	return all, listed
}

// elsewhere is a list of some of a registry's repositories.
type elsewhere struct {
	path   string // of the list on the registry's host
	prefix string // of what it lists, in the names of images
}

// note puts what can be read into the report.
func (r *registryCheck) note(readable []string, listed bool) {
	report := r.checkup.Report()
	report.Listed = report.Listed || listed
	for _, name := range slices.Sorted(slices.Values(readable)) {
		if len(report.Repositories) < MostRepositories {
			report.Repositories = append(report.Repositories, r.host+"/"+name)
		}
	}
}

func (r *registryCheck) tell(readable, missing []string, refused error, listing oci.Listing, listed bool) {
	can := fmt.Sprintf("It can read %s of %s that a pattern covers", counted(len(readable), "repository", "repositories"), r.host)
	if listing.More {
		can += fmt.Sprintf(", of the first %d that it lists", len(listing.Names))
	}
	switch {
	case len(readable) > 0 && len(missing) > 0:
		f := fault.From(refused)
		r.checkup.Warn(AskRepositories, "partly_readable", fmt.Sprintf("%s, and not %s: %s", can, counted(len(missing), "other", "others"), f.Message), f.Hint, "")
	case len(readable) > 0:
		r.checkup.Passed(AskRepositories, can)
	case fault.Is(refused, fault.NotFound): // the secret is not to blame
		f := fault.From(refused)
		r.checkup.Warn(AskRepositories, f.Code, f.Message, f.Hint, "")
	case len(r.literal) > 0 && refused != nil:
		r.checkup.Failed(AskRepositories, refused)
	case listed:
		r.checkup.Warn(AskRepositories, "nothing_readable", "Of the repositories that "+r.host+" lists, a pattern covers none that can be read",
			"Check the patterns, and the right to read at the registry.", "")
	default:
		r.checkup.Unknown(AskRepositories, r.host+" does not list its repositories", "Name one in a pattern, or check with an image: `fairlead registry check NAME --image IMAGE`.")
	}
}

// hubLimit is the image that Docker Hub has for asking how much may be pulled.
// https://docs.docker.com/docker-hub/usage/pulls/
var hubLimit = image.MustParseReference("docker.io/ratelimitpreview/test:latest")

// limit asks how much may still be pulled from Docker Hub.
func (r *registryCheck) limit(ctx context.Context) {
	authorization, _, err := r.authorize(ctx, r.who, oci.PullScope(hubLimit.Repository()))
	var limit oci.RateLimit
	var found bool
	if err == nil {
		r.left--
		limit, found, err = r.client.RateLimit(ctx, hubLimit, authorization)
	}
	if last, told := r.client.LastLimit(); err != nil && told { // when a repository was tried
		limit, found, err = last, true, nil
	}
	switch {
	case err != nil:
		r.checkup.Unknown(AskLimit, "Docker Hub did not tell how much may still be pulled", "")
	case !found:
		r.checkup.Passed(AskLimit, "Docker Hub sets this account no limit")
	default:
		r.checkup.Report().RateLimit = &limit
		sentence := "Docker Hub: " + limit.String() + limit.For()
		if limit.Remaining*10 < limit.Limit {
			r.checkup.Warn(AskLimit, "limit_near", sentence, "Use a credential of a paid account, or a pull-through cache.", "")
			return
		}
		r.checkup.Passed(AskLimit, sentence)
	}
}
