package mirror_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"sync"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"fairlead.dev/fairlead/internal/blobs"
	"fairlead.dev/fairlead/internal/diagnosis"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/mirror"
)

// storing is a passThrough that gives blobs while it fetches and keeps them.
type storing struct {
	*passThrough
	store *blobs.Store
}

func (s storing) Blob(ctx context.Context, client mirror.Client, ref image.Reference) (io.ReadSeekCloser, error) {
	route, err := s.enter(client, ref)
	if err != nil {
		return nil, err
	}
	answer, err := (&farContent{ctx: ctx, ref: ref, route: route}).ask(http.MethodHead, 0)
	if err != nil {
		return nil, diagnosis.Of(err, diagnosis.Subject{Image: ref})
	}
	_ = answer.Body.Close()
	size := answer.ContentLength
	return s.store.Fill(ctx, ocispec.Descriptor{Digest: ref.Digest(), Size: size}, func(ctx context.Context, offset int64) (blobs.Stream, error) {
		return blobs.Stream{Body: &farContent{ctx: ctx, ref: ref, route: route, size: size, at: offset}, Offset: offset, Size: size}, nil
	})
}

func TestWhatIsOnItsWayIsLeftToTheKernelToSendAsItArrives(t *testing.T) {
	far := newDistribution(t)
	content := bytesOf(t, 5, 3<<20+17)
	d := far.pushBlob(t, "ada/train", content)
	kept, err := blobs.Open(t.Context(), blobs.Config{URL: "file://" + t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := kept.Close(); err != nil {
			t.Error(err)
		}
	})
	half, rest := make(chan struct{}), make(chan struct{})
	far.between(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodHead || r.Header.Get("Range") != "" {
			return false
		}
		_, _ = w.Write(content[:len(content)/2])
		_ = http.NewResponseController(w).Flush()
		close(half)
		<-rest
		_, _ = w.Write(content[len(content)/2:])
		return true
	})
	var mu sync.Mutex
	var sources []io.Reader
	h := newHouse(t, storing{newPassThrough(t, map[string]*upstream{acme: far}), kept}, options{around: func(door http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var own []io.Reader
			door.ServeHTTP(spy{w, &own}, r)
			mu.Lock()
			defer mu.Unlock()
			sources = append(sources, own...)
		})
	}})
	path := "/v2/" + acme + "/ada/train/blobs/" + d.String()
	var group sync.WaitGroup
	get := func(header http.Header, want []byte) {
		group.Go(func() {
			if a := h.send(request{path: path, header: header}); !bytes.Equal(a.body, want) {
				t.Errorf("%s with %d other bytes than %d", a.Status, len(a.body), len(want))
			}
		})
	}
	get(nil, content)
	<-half
	for range 8 {
		get(nil, content)
		get(http.Header{"Range": {"bytes=1048576-"}}, content[1<<20:])
		get(http.Header{"Range": {"bytes=10-1999999"}}, content[10:2_000_000])
	}
	close(rest)
	group.Wait()
	mu.Lock()
	defer mu.Unlock()
	if len(sources) == 0 {
		t.Error("it was copied through the process")
	}
	for _, source := range sources {
		if _, ok := source.(*os.File); !ok {
			t.Errorf("net is given a %T, which it cannot send by the kernel", source)
		}
	}
}
