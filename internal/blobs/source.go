package blobs

import (
	"context"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Source is a Store as one upstream may use it: what is kept and on its way is given
// only if this upstream has brought those very bytes itself. An upstream of somebody's
// own can claim to have anything whose digest it knows; the bytes are the proof.
//
// That an upstream brought a blob is kept across restarts, as uses are, for as long as
// the blob stays. In a directory it is written down before the blob gets its name, so that
// a kill does not part them. A power cut, and in a bucket a kill, loses at most the last
// minutes of it; the blob is then fetched again.
type Source struct {
	store *Store
	name  string
}

// From is the Store for an upstream. A name has between 1 and 254 bytes of UTF-8, and is
// the same for those alone who reach the same upstream.
func (s *Store) From(name string) Source { return Source{s, name} }

// Open is Store.Open for what the upstream has brought.
func (u Source) Open(ctx context.Context, d digest.Digest) (*Content, error) {
	if isDigest(d) && !u.store.table.usedBy(d, u.mark()) {
		return nil, blobMissing(d)
	}
	return u.store.Open(ctx, d)
}

// Has reports whether the upstream has brought a blob that is kept, as far as this
// process knows: without a look at the place. It is no use of it.
func (u Source) Has(d digest.Digest) bool {
	r, known := u.store.table.look(d)
	return known && r.here && !r.isCondemned() && u.store.table.usedBy(d, u.mark())
}

// Put is Store.Put of what the upstream has brought.
func (u Source) Put(ctx context.Context, want ocispec.Descriptor, content []byte) error {
	if err := verify(want, content); err != nil {
		return err
	}
	u.brought(want.Digest)
	u.jot(ctx, want.Digest)
	return u.store.put(ctx, want.Digest, content)
}

// Fill is Store.Fill from the upstream; a download is shared with those alone who reach
// the same one.
func (u Source) Fill(ctx context.Context, want ocispec.Descriptor, fetch Fetch) (*Content, error) {
	return u.store.fill(ctx, u, want, fetch)
}

// brought notes that the upstream has a blob.
func (u Source) brought(d digest.Digest) {
	if u.name != "" && isOrganization(u.mark()) {
		u.store.table.touch(d, u.mark(), u.store.now())
	}
}

// jot writes that down, where it can be done at once.
func (u Source) jot(ctx context.Context, d digest.Digest) {
	if u.name == "" || u.store.place.kind != directory {
		return
	}
	if err := u.store.journal.jot(ctx, d); err != nil {
		u.store.config.Logger.Warn("it is not written down yet who brought a blob", "digest", d, "error", err)
	}
}

// sourceMark begins what stands for an upstream among those who used a blob. No
// organisation is called so: Touch passes it over.
const sourceMark = "\x00"

func (u Source) mark() string { return sourceMark + u.name }

func isSource(name string) bool { return strings.HasPrefix(name, sourceMark) }
