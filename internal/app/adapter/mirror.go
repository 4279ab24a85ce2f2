package adapter

import (
	"context"
	"io"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/cache"
	"fairlead.dev/fairlead/internal/dispatch"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/mirror"
)

// Readers are those who may pull through the cache: a mirror.Authenticator. Who logs
// in says with the user name what for: a person's or machine's token is for a project,
// and a worker's for a lease.
type Readers struct {
	Accounts *account.Service
	Dispatch *dispatch.Service
}

// pulling is a cache.Reader as a mirror.Client.
type pulling struct{ cache.Reader }

// Name says who it is and for which project.
func (p pulling) Name() string {
	return p.Actor.Name() + " for " + p.Project.Owner.Name + "/" + p.Project.Name
}

// Authenticate finds who shows a token, and the project that counts.
func (r Readers) Authenticate(ctx context.Context, shown mirror.Shown) (mirror.Client, error) {
	text := shown.Password
	if text.IsEmpty() {
		text = shown.Token
	}
	actor, err := r.Accounts.Authenticate(ctx, text, shown.Remote.String())
	if err != nil {
		return nil, err
	}
	if actor.WorkerID != "" {
		e, project, err := r.Dispatch.Holding(ctx, actor, shown.User)
		return pulling{cache.Reader{Actor: actor, Project: project, ExecutionID: e.ID}}, err
	}
	if shown.User == "" {
		return nil, fault.New(fault.Unauthenticated, "project_missing", "it is not said for which project images are pulled").
			WithHint("Log in with the project as the user name: docker login -u OWNER/PROJECT, with a token as the password.")
	}
	project, err := r.Accounts.Project(ctx, actor, shown.User)
	if err != nil {
		return nil, err
	}
	return pulling{cache.Reader{Actor: actor, Project: project}}, nil
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
