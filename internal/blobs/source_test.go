package blobs_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"fairlead.dev/fairlead/internal/blobs"
	"fairlead.dev/fairlead/internal/fault"
)

// hasNot is an upstream that has nothing.
func hasNot(context.Context, int64) (blobs.Stream, error) {
	return blobs.Stream{}, fault.New(fault.NotFound, "blob_unknown", "there is no such blob")
}

func TestAnUpstreamIsGivenOnlyWhatItHasBroughtItself(t *testing.T) {
	content := noise(77, 1<<20)
	d := digest.FromBytes(content)
	u := newUpstream(t, content)
	config := blobs.Config{URL: "file://" + t.TempDir()}
	store := openStore(t, config)
	one, other := store.From("one"), store.From("other")

	// While it is on its way: the first byte is here, and more comes when it is let.
	let := make(chan struct{})
	fetch := u.fetch(d)
	c, err := one.Fill(t.Context(), descriptor(content), func(ctx context.Context, offset int64) (blobs.Stream, error) {
		s, err := fetch(ctx, offset)
		if err == nil {
			s.Body = readCloser{io.MultiReader(io.LimitReader(s.Body, 1), waiting{let}, s.Body), s.Body}
		}
		return s, err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Fill(t.Context(), descriptor(content), hasNot); !fault.Is(err, fault.NotFound) {
		t.Errorf("another upstream was given what is on its way: %v", err)
	}
	close(let)
	wantContent(t, c, content[1:])
	if err := c.Close(); err != nil {
		t.Error(err)
	}

	check := func(store *blobs.Store) {
		t.Helper()
		one, other := store.From("one"), store.From("other")
		kept, err := one.Open(t.Context(), d)
		if err != nil {
			t.Fatalf("it is not given to who brought it: %v", err)
		}
		wantContent(t, kept, content)
		if err := kept.Close(); err != nil {
			t.Error(err)
		}
		if _, err := other.Open(t.Context(), d); !errors.Is(err, blobs.ErrNotFound) {
			t.Errorf("another upstream was given what is kept: %v", err)
		}
		if _, err := other.Fill(t.Context(), descriptor(content), hasNot); !fault.Is(err, fault.NotFound) {
			t.Errorf("another upstream was given what is kept: %v", err)
		}
		store.Touch(d, "\x00other") // as an organisation of that name would
		if _, err := other.Open(t.Context(), d); !errors.Is(err, blobs.ErrNotFound) {
			t.Errorf("a use counts as having brought it: %v", err)
		}
		if named := store.Usage().Organizations; len(named) > 0 {
			t.Errorf("upstreams count as organisations: %v", named)
		}
	}
	check(store)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	store = openStore(t, config)
	check(store)
	filledFrom, err := store.From("other").Fill(t.Context(), descriptor(content), u.fetch(d))
	if err != nil {
		t.Fatal(err)
	}
	wantContent(t, filledFrom, content) // its bytes are the proof
	if err := filledFrom.Close(); err != nil {
		t.Error(err)
	}
}

// waiting gives nothing, and ends when it is let.
type waiting struct{ let <-chan struct{} }

func (w waiting) Read([]byte) (int, error) {
	<-w.let
	return 0, io.EOF
}

type readCloser struct {
	io.Reader
	io.Closer
}

// Another process that opens the directory knows what one that was killed now would
// leave.
func TestWhoBroughtABlobIsKnownAsSoonAsItIsKept(t *testing.T) {
	content, document := noise(78, 1<<20), []byte(`{"schemaVersion": 2}`)
	u := newUpstream(t, content)
	config := blobs.Config{URL: "file://" + t.TempDir(), FlushEvery: time.Hour}
	store := openStore(t, config)
	one := store.From("one")
	c, err := one.Fill(t.Context(), descriptor(content), u.fetch(digest.FromBytes(content)))
	if err != nil {
		t.Fatal(err)
	}
	wantContent(t, c, content)
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	waitKept(t, store, digest.FromBytes(content))
	if err := one.Put(t.Context(), descriptor(document), document); err != nil {
		t.Fatal(err)
	}
	if err := one.Put(t.Context(), descriptor(document), []byte("another")); err == nil {
		t.Error("a document was put that is another one")
	}
	next := openStore(t, config)
	for _, kept := range [][]byte{content, document} {
		d := digest.FromBytes(kept)
		c, err := next.From("one").Open(t.Context(), d)
		if err != nil {
			t.Fatalf("it is not given to who brought it: %v", err)
		}
		wantContent(t, c, kept)
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if _, err := next.From("other").Open(t.Context(), d); !errors.Is(err, blobs.ErrNotFound) {
			t.Errorf("another upstream was given it: %v", err)
		}
	}
}
