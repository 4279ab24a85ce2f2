package grant

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/secret"
)

// Hosts of Google's APIs that a check asks.
const (
	artifactAPI = "artifactregistry.googleapis.com"
	metadataAPI = "www.googleapis.com"
)

// Bounds of a check.
const (
	artifactMost     = 10 // repositories whose images are listed
	artifactPages    = 5  // of one list
	artifactPageSize = "1000"
)

// Check asks Google what the service account is good for.
func (g gcp) Check(ctx context.Context, request CheckRequest, checkup *Checkup) {
	// A token that is known would tell nothing of a key disabled since.
	access, err := g.trade(ctx, request.Material, request.Image)
	if err != nil {
		checkup.Failed(AskSecret, err)
		return
	}
	checkup.Report().Identity = access.email
	if request.Material.Config[fieldProvider] != "" {
		checkup.Passed(AskSecret, "Google lets this server's identity act as "+access.email)
	} else {
		checkup.Passed(AskSecret, "Google accepts the key of "+access.email)
	}
	checkup.Passed(AskNarrow, "Each grant is asked for one repository, and for pulling alone")
	transport, err := g.exchange.ways.of(request.Material)
	if err != nil {
		checkup.Failed(AskRepositories, err)
		return
	}
	check := googleCheck{
		request: request, access: access, checkup: checkup, now: g.exchange.now,
		http: googleClient(transport, []secret.Text{access.token}, artifactAPI, metadataAPI),
	}
	repositories := check.repositories(ctx)
	check.rights(ctx, repositories)
	check.expiry(ctx)
	checkImage(ctx, g, request, g.exchange, checkup)
}

// googleCheck asks Google's APIs as a service account.
type googleCheck struct {
	request CheckRequest
	access  googleAccess
	checkup *Checkup
	now     func() time.Time
	http    *http.Client
}

func (c googleCheck) fault(err error) *fault.Error {
	return googleFault(err, c.request.Material, image.Reference{})
}

// call sends a request and reads the answer's JSON into out.
func (c googleCheck) call(ctx context.Context, method, host, path string, query url.Values, in, out any) error {
	var body io.Reader = http.NoBody
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("making a request: %w", err)
		}
		body = bytes.NewReader(text)
	}
	address := url.URL{Scheme: "https", Host: host, Path: path, RawQuery: query.Encode()}
	request, err := http.NewRequestWithContext(ctx, method, address.String(), body)
	if err != nil {
		return fmt.Errorf("making a request: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	if host == artifactAPI { // the other is everybody's
		oci.Bearer(c.access.token).Apply(request)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }() // only read
	const most = 4 << 20
	if err := json.NewDecoder(io.LimitReader(response.Body, most)).Decode(out); err != nil {
		return fault.New(fault.Unavailable, "answer_unreadable", "%s gave an answer that cannot be read", host).WithHint("Try again later.")
	}
	return nil
}

// list asks for the pages of a list, and gives each to add.
func list[Page any](ctx context.Context, c googleCheck, path string, add func(Page) (next string)) error {
	query := url.Values{"pageSize": {artifactPageSize}}
	for range artifactPages {
		var page Page
		if err := c.call(ctx, http.MethodGet, artifactAPI, path, query, nil, &page); err != nil {
			return err
		}
		next := add(page)
		if next == "" {
			return nil
		}
		query.Set("pageToken", next)
	}
	return nil
}

// repositories lists the images that patterns cover, and returns the
// repositories that patterns name, and those of a project that hold such images.
func (c googleCheck) repositories(ctx context.Context) []artifactRepository {
	named := artifactRepositories(c.request)
	if len(named) == 0 {
		c.checkup.Unknown(AskRepositories, "No pattern names a project in full, so there is none to list", "Write patterns as LOCATION-docker.pkg.dev/PROJECT/REPOSITORY/*.")
		return nil
	}
	repositories, doubt := c.expand(ctx, named)
	var found []string
	var concerned []artifactRepository
	listed := 0
	for i, r := range repositories {
		var images []string
		if i < artifactMost {
			var err error
			if images, err = c.images(ctx, r); err != nil {
				doubt = c.fault(err)
			} else {
				listed++
			}
		}
		found = append(found, images...)
		if len(images) > 0 || slices.Contains(named, r) {
			concerned = append(concerned, r)
		}
	}
	slices.Sort(found)
	found = slices.Compact(found)
	report := c.checkup.Report()
	report.Listed = listed > 0
	report.Repositories = found[:min(len(found), MostRepositories)]
	switch {
	case len(found) == 0 && doubt != nil:
		c.checkup.Unknown(AskRepositories, "Google does not list what it can read: "+doubt.Message, doubt.Hint)
	case len(found) == 0:
		c.checkup.Warn(AskRepositories, "nothing_readable", "Of the images that it lists, a pattern covers none",
			"Check the patterns: the location, the project and the repository.", "")
	default:
		sentence := fmt.Sprintf("It lists %s that a pattern covers", counted(len(found), "image", "images"))
		if doubt != nil || listed < len(repositories) {
			sentence += ", and not every repository could be listed"
		}
		c.checkup.Passed(AskRepositories, sentence)
	}
	return concerned
}

// expand puts the repositories that a project has in place of a pattern for all
// of them. The fault is why a project's were not listed.
func (c googleCheck) expand(ctx context.Context, named []artifactRepository) (all []artifactRepository, doubt *fault.Error) {
	type page struct {
		Repositories []struct {
			Name   string `json:"name"`
			Format string `json:"format"`
		} `json:"repositories"`
		Next string `json:"nextPageToken"`
	}
	add := func(r artifactRepository) {
		if !slices.Contains(all, r) {
			all = append(all, r)
		}
	}
	for _, r := range named {
		if r.name != "" {
			add(r)
			continue
		}
		err := list(ctx, c, "/v1/"+r.place()+"/repositories", func(p page) string {
			for _, found := range p.Repositories {
				if found.Format == "DOCKER" {
					r.name = found.Name[strings.LastIndexByte(found.Name, '/')+1:]
					add(r)
				}
			}
			return p.Next
		})
		if err != nil {
			doubt = c.fault(err)
		}
	}
	return all, doubt
}

// images are the images of a repository that a pattern covers.
func (c googleCheck) images(ctx context.Context, r artifactRepository) ([]string, error) {
	type page struct {
		Packages []struct {
			Name string `json:"name"`
		} `json:"packages"`
		Next string `json:"nextPageToken"`
	}
	var found []string
	err := list(ctx, c, "/v1/"+r.resource()+"/packages", func(p page) string {
		for _, item := range p.Packages {
			name, err := url.PathUnescape(item.Name[strings.LastIndexByte(item.Name, '/')+1:])
			if err != nil {
				continue
			}
			if _, path, _ := strings.Cut(r.image(name), "/"); coveredBy(c.request.Patterns, r.host, path) {
				found = append(found, r.image(name))
			}
		}
		return p.Next
	})
	return found, err
}

// What is tried. https://cloud.google.com/artifact-registry/docs/access-control
const (
	permissionRead   = "artifactregistry.repositories.downloadArtifacts"
	permissionPush   = "artifactregistry.repositories.uploadArtifacts"
	permissionDelete = "artifactregistry.repositories.deleteArtifacts"
)

// rights asks Google itself which permissions the account has on a few
// repositories.
func (c googleCheck) rights(ctx context.Context, repositories []artifactRepository) {
	var doubt *fault.Error
	asked := 0
	for _, r := range repositories[:min(len(repositories), probesMost)] {
		var held struct {
			Permissions []string `json:"permissions"`
		}
		err := c.call(ctx, http.MethodPost, artifactAPI, "/v1/"+r.resource()+":testIamPermissions", nil,
			map[string][]string{"permissions": {permissionRead, permissionPush, permissionDelete}}, &held)
		if err != nil {
			doubt = c.fault(err)
			continue
		}
		asked++
		if !c.right(r, held.Permissions) {
			return
		}
	}
	switch {
	case asked > 0:
		c.checkup.Passed(AskRights, "It may read and do no more")
	case doubt != nil:
		c.checkup.Unknown(AskRights, "Google does not tell what it may do: "+doubt.Message, doubt.Hint)
	default:
		c.checkup.Unknown(AskRights, "There is no repository to ask about", "Name one in a pattern, or check with --image.")
	}
}

// right tells what is wrong with the permissions on a repository, and reports
// whether nothing is.
func (c googleCheck) right(r artifactRepository, held []string) bool {
	email := c.access.email
	reader := r.binding("add", email, "reader")
	if !slices.Contains(held, permissionRead) {
		c.checkup.Step(Step{
			Question: AskRights, Result: Failed, Code: "access_denied",
			Sentence: email + " may not read " + r.resource() + ", or it does not exist",
			Hint:     "Give it the role Artifact Registry Reader there, and check the spelling of the name.", Policy: reader,
		})
		return false
	}
	// Of the ready-made roles, those that may push and not delete, and both.
	// https://cloud.google.com/artifact-registry/docs/access-control#roles
	var may []string
	role := "writer"
	if slices.Contains(held, permissionPush) {
		may = append(may, "push")
	}
	if slices.Contains(held, permissionDelete) {
		may, role = append(may, "delete"), "repoAdmin"
	}
	if len(may) == 0 {
		return true
	}
	warnMayMore(c.checkup, may, reader+"\n"+r.binding("remove", email, role),
		"Give the account the role Artifact Registry Reader in place of the one that it has there; it may have that one on the whole project.")
	return false
}

// neverEnds is the year in which Google's certificates of keys end that have no
// end of their own.
const neverEnds = 9999

// expiry reads the key's certificate, which Google shows everybody.
func (c googleCheck) expiry(ctx context.Context) {
	if c.request.Material.Config[fieldProvider] != "" {
		c.checkup.Passed(AskExpiry, "It has no secret that could end")
		return
	}
	var certificates map[string]string
	err := c.call(ctx, http.MethodGet, metadataAPI, "/service_accounts/v1/metadata/x509/"+c.access.email, nil, nil, &certificates)
	if err != nil {
		f := c.fault(err)
		c.checkup.Unknown(AskExpiry, "Google does not tell how old the key is: "+f.Message, f.Hint)
		return
	}
	block, _ := pem.Decode([]byte(certificates[c.request.Material.Config[fieldKeyID]]))
	if block == nil {
		c.untoldAge()
		return
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		c.untoldAge()
		return
	}
	report := c.checkup.Report()
	report.CreatedAt = certificate.NotBefore
	if certificate.NotAfter.Year() >= neverEnds {
		tellAge(c.checkup, c.now(), certificate.NotBefore, "key",
			"Better than a new key is none: a keyless credential trades this server's own identity. Or make another key, give it with `fairlead registry rotate NAME`, then delete this one.")
		return
	}
	report.ExpiresAt = certificate.NotAfter
	sentence := "The key ends " + certificate.NotAfter.UTC().Format(time.DateOnly)
	if certificate.NotAfter.Sub(c.now()) < endSoon {
		c.checkup.Warn(AskExpiry, "expires_soon", sentence, "Make another and give it with `fairlead registry rotate NAME`.", "")
		return
	}
	c.checkup.Passed(AskExpiry, sentence)
}

func (c googleCheck) untoldAge() {
	c.checkup.Unknown(AskExpiry, "Google does not tell how old the key is", "Give the day (--expires), to be warned before it.")
}
