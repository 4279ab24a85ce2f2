// Package cache answers pulls out of kept bytes, to those who could pull them from the
// registry now.
//
// Bytes are shared by all who read through it; rights are not. What is served to a
// reader, the registry has shown to that reader's own credential a short time ago: a
// manifest by a HEAD request, and what that manifest leads to with it (rights.go). And
// it is given only what that registry has brought itself (blobs.Source).
// Content is kept by package blobs, credentials are brought by an Authority, and how
// clients speak to it is package mirror's.
package cache

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/singleflight"

	"fairlead.dev/fairlead/internal/blobs"
	"fairlead.dev/fairlead/internal/diagnosis"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/oci"
)

// Config is what a Cache is made of. Authority and Content are required.
type Config struct {
	Authority Authority
	Content   *blobs.Store

	// Fresh is how long what a registry has shown a reader holds, and a tag stays
	// what it was; a minute if 0. Who loses a right at the registry loses it here
	// within that time.
	Fresh time.Duration

	// Stale is how long a tag and its image may be served after that while the
	// registry is away or throttles; an hour if 0, never if negative.
	Stale time.Duration

	// Now is the clock; time.Now if nil.
	Now func() time.Time

	// Logger gets what concerns the operator; nobody does if nil.
	Logger *slog.Logger
}

// Cache is a pull-through cache for any registry. Make it with New; safe for
// concurrent use.
type Cache struct {
	config   Config
	rights   *rights
	accesses *lru.Cache[accessKey, entry]
	limits   *lru.Cache[limitKey, Quota]
	bodies   *lru.Cache[digest.Digest, []byte]
	proving  singleflight.Group
	hints    hints
	counters counters
	since    time.Time
}

// New makes a cache.
func New(config Config) *Cache {
	if config.Fresh == 0 {
		config.Fresh = time.Minute
	}
	if config.Stale == 0 {
		config.Stale = time.Hour
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Cache{config: config, rights: newRights(config.Now, config.Fresh), hints: newHints(), since: config.Now()}
	c.accesses, _ = lru.New[accessKey, entry](mostPlaces) // its only error is a size below one
	c.limits, _ = lru.New[limitKey, Quota](mostPlaces)
	c.bodies, _ = lru.New[digest.Digest, []byte](mostBodies)
	return c
}

// Manifest is a manifest as it is served.
type Manifest struct {
	ocispec.Descriptor

	Body []byte

	// Stale is why it is served though the registry could not be asked now; "" if it
	// could.
	Stale string
}

// Manifest gives what a reference with a tag or a digest names. Errors are faults.
func (c *Cache) Manifest(ctx context.Context, reader Reader, ref image.Reference) (Manifest, error) {
	asked, err := c.question(ctx, reader, ref)
	if err != nil {
		return Manifest{}, err
	}
	shown, stale, wasKnown, err := c.shown(ctx, asked)
	if err != nil {
		return Manifest{}, err
	}
	body, wasKept, err := c.body(ctx, asked, shown)
	if err != nil {
		return Manifest{}, err
	}
	c.count(wasKept && wasKnown, stale)
	return Manifest{Descriptor: shown, Body: body, Stale: stale}, nil
}

// Resolve gives what Manifest would, without its bytes, and costs the registry at most a
// HEAD request. Errors are faults.
func (c *Cache) Resolve(ctx context.Context, reader Reader, ref image.Reference) (Manifest, error) {
	asked, err := c.question(ctx, reader, ref)
	if err != nil {
		return Manifest{}, err
	}
	shown, stale, wasKnown, err := c.shown(ctx, asked)
	if err == nil {
		c.count(wasKnown, stale)
	}
	return Manifest{Descriptor: shown, Stale: stale}, err
}

// count notes a manifest that was given.
func (c *Cache) count(hit bool, stale string) {
	c.counters.manifests.Add(1)
	switch {
	case stale != "":
		c.counters.stale.Add(1)
	case hit:
		c.counters.manifestHits.Add(1)
	}
}

// question is what a reader asks about.
type question struct {
	reader Reader
	access Access
	place  place
	ref    image.Reference
	away   error // why nobody can be asked now; nil: they can
}

// tag is the tag that is asked for; "" where a digest is, whatever tag stands beside it.
func (q question) tag() string {
	if q.ref.Digest() != "" {
		return ""
	}
	return q.ref.Tag()
}

// question finds how a reader may ask about a reference, or could a short time ago.
func (c *Cache) question(ctx context.Context, reader Reader, ref image.Reference) (question, error) {
	if reader.Project.ID == "" {
		return question{}, ProjectMissing()
	}
	access, at, err := c.access(ctx, reader, ref, time.Time{})
	q := question{reader: reader, access: access, place: at, ref: ref}
	if gone, ok := errors.AsType[away](err); ok {
		q.away, err = gone.error, nil
	}
	return q, err
}

// shown is the manifest that a reference names, as the registry showed it to this
// reader a short time ago, which is told, or shows it now.
func (c *Cache) shown(ctx context.Context, q question) (manifest ocispec.Descriptor, stale string, wasKnown bool, err error) {
	known, isFresh, wasShown := c.known(q)
	if wasShown && isFresh {
		return known, "", true, nil
	}
	if err = q.away; err == nil {
		manifest, err = c.prove(ctx, q)
	}
	if err == nil {
		return manifest, "", false, nil
	}
	if wasShown && c.mayBeStale(q, known.Digest, err) {
		c.config.Logger.Warn("a registry cannot be asked, so what it showed before is served", "image", q.ref.String(), "digest", known.Digest, "error", err)
		return known, fault.From(err).Message, true, nil
	}
	return manifest, "", false, err
}

// known is what the place has shown for a reference before.
func (c *Cache) known(q question) (manifest ocispec.Descriptor, isFresh, wasShown bool) {
	if d := q.ref.Digest(); d != "" {
		found, ok := c.rights.find(q.place, d)
		return found.target, found.fresh, ok
	}
	return c.rights.tag(q.place, q.ref.Tag())
}

// mayBeStale reports whether what was shown may be served though asking has failed so:
// not where the registry has answered.
func (c *Cache) mayBeStale(q question, known digest.Digest, err error) bool {
	return isAway(err) && c.rights.age(q.place, known) < c.config.Fresh+max(c.config.Stale, 0)
}

// prove asks the registry for a manifest with the reader's own authorization. Readers
// of the same place that ask at the same time cause one question.
func (c *Cache) prove(ctx context.Context, q question) (ocispec.Descriptor, error) {
	key := q.place.String() + " " + q.ref.Target()
	answer := c.proving.DoChan(key, func() (any, error) {
		// Whoever came first may leave, and the others still want to know.
		asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTimeout)
		defer cancel()
		var shown ocispec.Descriptor
		err := c.ask(asking, q, func(client *oci.Client, a oci.Authorization) (err error) {
			shown, err = client.ResolveManifest(asking, q.ref, a)
			return err
		})
		if err == nil {
			// A proof is no newer than the access that it was made with, so that what the
			// registry gave a token for a while ago holds no longer than a proof does.
			c.rights.show(q.place, q.tag(), shown, q.access.asked)
		} else if d := q.ref.Digest(); d != "" && isAnswer(err) {
			c.rights.refuse(q.place, d)
		} else if isAnswer(err) {
			c.rights.forgetTag(q.place, q.ref.Tag())
		}
		return shown, err
	})
	select {
	case got := <-answer:
		if got.Err != nil {
			return ocispec.Descriptor{}, c.explain(q, got.Err)
		}
		return got.Val.(ocispec.Descriptor), nil
	case <-ctx.Done():
		return ocispec.Descriptor{}, ctx.Err()
	}
}

// askTimeout bounds one question about a manifest, retries not counted.
const askTimeout = 30 * time.Second

// body gives a manifest's bytes: those that are kept, or else the registry's.
func (c *Cache) body(ctx context.Context, q question, d ocispec.Descriptor) (body []byte, wasKept bool, err error) {
	kept := c.config.Content.From(q.access.Route.Source())
	body, err = c.read(ctx, kept, d.Digest)
	if err == nil {
		c.config.Content.Touch(d.Digest, q.reader.organization())
		c.noteManifest(ctx, q, d.Digest)
		return body, true, c.learn(d, body)
	}
	if !errors.Is(err, blobs.ErrNotFound) {
		return nil, false, err
	}
	err = c.ask(ctx, q, func(client *oci.Client, a oci.Authorization) (err error) {
		_, body, err = client.Manifest(ctx, q.ref.WithDigest(d.Digest), a)
		return err
	})
	if err != nil {
		if isAnswer(err) { // it is not what was shown, or not any more
			c.rights.refuse(q.place, d.Digest)
		}
		return nil, false, c.explain(q, err)
	}
	if err := c.learn(d, body); err != nil {
		return nil, false, err
	}
	if err := kept.Put(ctx, d, body); err != nil {
		return nil, false, err
	}
	c.noteManifest(ctx, q, d.Digest)
	return body, false, nil
}

// Bounds of the manifests' bytes that stay in memory: 16 MiB, of which a server that
// is asked for few takes little.
const (
	mostBodies = 256
	mostBody   = 64 << 10 // a larger one is read each time
)

// read reads a manifest that is here. Those that were read last are in memory, and are
// given only as long as the registry's copy is kept, so that memory gives nobody
// more than the place does.
func (c *Cache) read(ctx context.Context, kept blobs.Source, d digest.Digest) ([]byte, error) {
	if body, ok := c.bodies.Get(d); ok && kept.Has(d) {
		return body, nil
	}
	content, err := kept.Open(ctx, d)
	if err != nil {
		return nil, err
	}
	defer func() { _ = content.Close() }() // it was read
	body, err := io.ReadAll(io.LimitReader(content, oci.MaxManifest))
	if err == nil && len(body) <= mostBody {
		c.bodies.Add(d, body)
	}
	return body, err
}

// learn notes what a manifest leads to.
func (c *Cache) learn(d ocispec.Descriptor, body []byte) error {
	if c.rights.children.Contains(d.Digest) {
		return nil
	}
	children, err := childrenOf(body)
	if err != nil {
		return fault.New(fault.Invalid, "manifest_invalid", "the manifest %s cannot be read", d.Digest).WithCause(err)
	}
	c.rights.learn(d.Digest, children)
	return nil
}

// Blob gives a blob that a manifest leads to which the registry has shown to this
// reader. The caller closes it. While it is not here yet, it arrives as it is read;
// readers that want it at the same time share one download. Errors are faults.
func (c *Cache) Blob(ctx context.Context, reader Reader, ref image.Reference) (*Content, error) {
	q, err := c.question(ctx, reader, ref)
	if err != nil {
		return nil, err
	}
	found, ok := c.rights.find(q.place, ref.Digest())
	if !ok {
		found, ok = c.recall(ctx, q)
	}
	if !ok {
		return nil, fault.New(fault.NotFound, "blob_unknown", "no manifest of %s that was asked for here leads to %s", ref.Name(), ref.Digest()).
			WithHint("Pull the image by its tag or digest: the cache serves a blob only after its manifest.")
	}
	if !found.fresh {
		root := q
		root.ref = ref.WithDigest(found.root.Digest)
		if _, _, _, err := c.shown(ctx, root); err != nil {
			return nil, err
		}
	}
	c.counters.blobs.Add(1)
	c.config.Content.Touch(ref.Digest(), reader.organization())
	from := c.config.Content.From(q.access.Route.Source())
	content := contentOf(found.target, func() (*blobs.Content, error) {
		return from.Fill(ctx, found.target, c.fetch(q, found.target))
	})
	if kept, err := from.Open(ctx, ref.Digest()); err == nil {
		c.counters.blobHits.Add(1)
		content.size, content.opened = kept.Size(), kept
		content.open = func() (*blobs.Content, error) { return kept, nil }
	}
	return content, nil
}

// fetch asks the registry for a blob, for as long as anybody reads it.
func (c *Cache) fetch(q question, d ocispec.Descriptor) blobs.Fetch {
	return func(ctx context.Context, offset int64) (blobs.Stream, error) {
		var opened oci.Blob
		err := c.ask(ctx, q, func(client *oci.Client, a oci.Authorization) (err error) {
			opened, err = client.OpenBlob(ctx, q.ref.Repository(), d, offset, 0, a)
			return err
		})
		if err != nil {
			return blobs.Stream{}, c.explain(q, err)
		}
		return blobs.Stream{Body: counted{opened, &c.counters.fetched}, Offset: opened.Start, Size: d.Size}, nil
	}
}

// ask makes a request with the reader's access, and again with a fresh one if the
// registry takes the first no longer. The registry's limit is noted.
func (c *Cache) ask(ctx context.Context, q question, request func(*oci.Client, oci.Authorization) error) error {
	if q.away != nil {
		return q.away
	}
	c.counters.questions.Add(1)
	client := oci.NewClient(q.access.Route)
	err := request(client, q.access.Authorization)
	if answer, ok := errors.AsType[*oci.Error](err); ok && answer.Status == unauthorized {
		fresh, at, accessErr := c.access(ctx, q.reader, q.ref, q.access.IssuedAt)
		if accessErr != nil {
			return accessErr
		}
		if at != q.place {
			return err // another credential's right is another question
		}
		client = oci.NewClient(fresh.Route)
		err = request(client, fresh.Authorization)
	}
	c.note(q, client)
	return err
}

const unauthorized = 401

// isAnswer reports whether a failure is the registry's word about the image, and not
// that it could not be asked.
func isAnswer(err error) bool {
	answer, ok := errors.AsType[*oci.Error](err)
	return ok && !answer.Temporary()
}

// explain makes a fault of what a registry answered.
func (c *Cache) explain(q question, err error) error {
	return diagnosis.Of(err, diagnosis.Subject{Service: diagnosis.At(q.ref.Host()), Image: q.ref})
}
