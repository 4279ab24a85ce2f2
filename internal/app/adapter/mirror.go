package adapter

import (
	"context"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/cache"
	"fairlead.dev/fairlead/internal/dispatch"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/mirror"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/wire"
)

// Readers are those who may pull through the cache: a mirror.Authenticator. Who logs
// in says with the user name what for: a person's or machine's token is for a project,
// and a worker's for a lease.
// A network that an operator has named needs no login.
type Readers struct {
	Accounts *account.Service
	Dispatch *dispatch.Service
	Networks []Network

	projects projects
}

// Network is one whose clients read as a project.
type Network struct {
	Prefix  netip.Prefix
	Project string // OWNER/NAME or id
}

// ParseNetwork reads CIDR=PROJECT; its error is an Invalid fault.
func ParseNetwork(field, text string) (Network, error) {
	prefix, project, found := strings.Cut(text, "=")
	parsed, err := netip.ParsePrefix(prefix)
	switch {
	case !found || project == "" || err != nil:
		return Network{}, fault.InvalidField(field, "network", "%q is no CIDR=OWNER/PROJECT", text).
			WithHint("Write it as 10.1.0.0/16=acme/vision.")
	case parsed != parsed.Masked():
		return Network{}, fault.InvalidField(field, "network", "%s is an address in the network %s", prefix, parsed.Masked()).
			WithHint("Write the network as %s, or the one address as %s/%d.", parsed.Masked(), parsed.Addr(), parsed.Addr().BitLen())
	}
	return Network{parsed, project}, nil
}

// pulling is a cache.Reader as a mirror.Client.
type pulling struct{ cache.Reader }

// Name says who it is and for which project.
func (p pulling) Name() string {
	if p.Project.ID == "" {
		return p.Actor.Name()
	}
	return p.Actor.Name() + " for " + p.Project.Owner.Name + "/" + p.Project.Name
}

// Authenticate finds who shows a token, and the project that counts.
func (r *Readers) Authenticate(ctx context.Context, shown mirror.Shown) (mirror.Client, error) {
	if shown.IsAnonymous() {
		if network, found := smallest(r.Networks, shown.Remote); found {
			return r.ofNetwork(ctx, network, shown.Remote)
		}
	}
	text, err := tokenOf(shown)
	if err != nil {
		return nil, err
	}
	actor, project, execution, err := r.Reader(ctx, shown.User, text, shown.Remote.String())
	if err != nil {
		return nil, err
	}
	return pulling{cache.Reader{Actor: actor, Project: project, ExecutionID: execution}}, nil
}

// tokenOf is the token that a request shows. A login with a name says the project with
// it; a token alone reads nothing, and is told how the cache is.
func tokenOf(shown mirror.Shown) (secret.Text, error) {
	if shown.User == "" && !shown.Password.IsEmpty() {
		return secret.Text{}, cache.ProjectMissing()
	}
	if shown.Password.IsEmpty() {
		return shown.Token, nil
	}
	return shown.Password, nil
}

// Reader finds who shows a token, the project that counts, and the execution if it is
// a worker: an api.Readers.
func (r *Readers) Reader(ctx context.Context, user string, token secret.Text, remote string) (account.Actor, account.Project, string, error) {
	actor, err := r.Accounts.Authenticate(ctx, token, remote)
	switch {
	case err != nil:
		return actor, account.Project{}, "", err
	case actor.WorkerID != "":
		e, project, err := r.Dispatch.Holding(ctx, actor, user)
		return actor, project, e.ID, err
	case user == "":
		return actor, account.Project{}, "", nil
	default:
		project, err := r.projects.find(ctx, r.Accounts, actor, user)
		return actor, project, "", err
	}
}

// smallest is the smallest network that an address is in.
func smallest(networks []Network, remote netip.Addr) (found Network, is bool) {
	for _, network := range networks {
		if network.Prefix.Contains(remote) && (!is || network.Prefix.Bits() > found.Prefix.Bits()) {
			found, is = network, true
		}
	}
	return found, is
}

// ofNetwork is the client that a network is.
func (r *Readers) ofNetwork(ctx context.Context, network Network, remote netip.Addr) (mirror.Client, error) {
	project, err := r.Accounts.AnyProject(ctx, network.Project)
	if fault.Is(err, fault.NotFound) {
		return nil, fault.New(fault.Denied, "network_project", "the network %s is to read as the project %s, and there is none of that name", network.Prefix, network.Project).
			WithHint("Have the operator mend --cache-network, or make the project.")
	}
	actor := account.Actor{Username: "network " + network.Prefix.String(), Remote: remote.String()}
	return pulling{cache.Reader{Actor: actor, Project: project}}, err
}

// Mirror is a cache as a mirror.Backend. Its clients are those of Readers.
type Mirror struct{ Cache *cache.Cache }

func readerOf(client mirror.Client) cache.Reader { return client.(pulling).Reader }

// Resolve says what a manifest is.
func (m Mirror) Resolve(ctx context.Context, client mirror.Client, ref image.Reference) (mirror.Descriptor, error) {
	found, err := m.Cache.Resolve(ctx, readerOf(client), ref)
	return descriptorOf(found), err
}

// Manifest gives a manifest.
func (m Mirror) Manifest(ctx context.Context, client mirror.Client, ref image.Reference) (mirror.Manifest, error) {
	found, err := m.Cache.Manifest(ctx, readerOf(client), ref)
	return mirror.Manifest{Descriptor: descriptorOf(found), Content: found.Body}, err
}

func descriptorOf(m cache.Manifest) mirror.Descriptor {
	return mirror.Descriptor{MediaType: m.MediaType, Digest: m.Digest, Size: m.Size, Stale: m.Stale}
}

// Blob gives a blob.
func (m Mirror) Blob(ctx context.Context, client mirror.Client, ref image.Reference) (io.ReadSeekCloser, error) {
	content, err := m.Cache.Blob(ctx, readerOf(client), ref)
	if err != nil {
		return nil, err
	}
	return content, nil
}

// Tags lists a repository's tags.
func (m Mirror) Tags(ctx context.Context, client mirror.Client, repository image.Reference, page mirror.Page) (mirror.Tags, error) {
	names, more, err := m.Cache.Tags(ctx, readerOf(client), repository, page.Most, page.Last)
	return mirror.Tags{Names: names, More: more}, err
}

// Referrers lists what refers to a manifest.
func (m Mirror) Referrers(ctx context.Context, client mirror.Client, ref image.Reference, next string) (mirror.Referrers, error) {
	manifests, more, err := m.Cache.Referrers(ctx, readerOf(client), ref, next)
	return mirror.Referrers{Manifests: manifests, Next: more}, err
}

// Status tells how the cache is.
func (m Mirror) Status(ctx context.Context, client mirror.Client) (wire.CacheStatus, error) {
	return m.status(ctx, readerOf(client))
}

// StatusFor tells a person how the cache is: a web.Cache.
func (m Mirror) StatusFor(ctx context.Context, actor account.Actor) (wire.CacheStatus, error) {
	return m.status(ctx, cache.Reader{Actor: actor})
}

func (m Mirror) status(ctx context.Context, reader cache.Reader) (wire.CacheStatus, error) {
	status, err := m.Cache.Status(ctx, reader)
	if err != nil {
		return wire.CacheStatus{}, err
	}
	shown := wire.CacheStatus{
		Since: wire.NewTime(status.Since), Place: status.Place,
		StoredBlobs: status.Usage.Blobs, StoredBytes: status.Usage.Bytes, LimitBytes: status.Limit,
		Manifests: status.Manifests, ManifestHits: status.ManifestHits, ManifestsStale: status.Stale,
		Blobs: status.Blobs, BlobHits: status.BlobHits, Questions: status.Questions,
		FetchedBytes: status.Fetched, SentBytes: status.Sent, Downloads: status.Downloads,
		Organizations: []wire.CacheUsage{}, Quotas: []wire.CacheQuota{}, Pins: []wire.CachePin{},
	}
	for _, pin := range status.Pins {
		shown.Pins = append(shown.Pins, wire.CachePin{Image: pin.Image, Digest: pin.Digest.String()})
	}
	for _, name := range slices.Sorted(maps.Keys(status.Usage.Organizations)) {
		shown.Organizations = append(shown.Organizations, wire.CacheUsage{Organization: name, Bytes: status.Usage.Organizations[name]})
	}
	for _, q := range status.Quotas {
		shown.Quotas = append(shown.Quotas, wire.CacheQuota{
			Host: q.Host, Organization: q.Organization, Credential: q.Credential, Limit: q.Limit.Limit, Remaining: q.Limit.Remaining,
			WindowSecs: int64(q.Limit.Window.Seconds()), ToldAt: wire.NewTime(q.At),
		})
	}
	return shown, nil
}

// Warm has an image be kept.
func (m Mirror) Warm(ctx context.Context, client mirror.Client, ref image.Reference, wish wire.CacheWarm, report func(wire.CacheWarmed)) (string, error) {
	digest, err := m.Cache.Warm(ctx, readerOf(client), ref, cache.Wish{Platforms: wish.Platforms, Pin: wish.Pin}, func(w cache.Warmed) {
		report(wire.CacheWarmed{Blob: w.Digest.String(), Size: w.Size, Kept: w.Kept})
	})
	return digest.String(), err
}

// Unpin lets an image go, for whoever runs the installation.
func (m Mirror) Unpin(ctx context.Context, client mirror.Client, ref image.Reference) error {
	if err := readerOf(client).Actor.MayOperate(); err != nil {
		return err
	}
	return m.Cache.Unpin(ctx, ref)
}
