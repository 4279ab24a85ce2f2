package blobs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"fairlead.dev/fairlead/internal/blobs"
	"fairlead.dev/fairlead/internal/fault"
)

func TestABlobIsDownloadedOnceAndThenGivenAsAFile(t *testing.T) {
	content := noise(1, 3<<20+7)
	u := newUpstream(t, content)
	store := openStore(t, blobs.Config{})
	wantMissing(t, store, digest.FromBytes(content))
	filled(t, store, u, content)
	c := fill(t, store, u, content)
	if c.File() == nil || c.Size() != int64(len(content)) || c.Modified().IsZero() || c.Digest() != digest.FromBytes(content) {
		t.Errorf("it is no file of %d bytes, but %v of %d, from %s", len(content), c.File(), c.Size(), c.Modified())
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", c.Modified(), c.File())
	}))
	defer server.Close()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Range", "bytes=5-1048580")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	wantContent(t, response.Body, content[5:1048581])
	wantContent(t, c, content)
	if sent := u.sent.Load(); sent != int64(len(content)) || u.requests.Load() != 1 {
		t.Errorf("%d bytes were sent in %d requests", sent, u.requests.Load())
	}
}

func TestABlobOfSHA512AndAnEmptyOneAreKept(t *testing.T) {
	content := noise(2, 1000)
	u := newUpstream(t, []byte{})
	store := openStore(t, blobs.Config{})
	long := digest.SHA512.FromBytes(content)
	u.content[long.String()] = content
	c, err := store.Fill(t.Context(), ocispec.Descriptor{Digest: long}, u.fetch(long))
	if err != nil {
		t.Fatal(err)
	}
	wantContent(t, c, content)
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	waitKept(t, store, long)
	filled(t, store, u, nil)
	again, err := store.Open(t.Context(), digest.FromBytes(nil))
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	wantContent(t, again, nil)
}

func TestADigestOfAnotherAlgorithmIsRefused(t *testing.T) {
	store := openStore(t, blobs.Config{})
	for _, d := range []digest.Digest{"", "sha256:abc", digest.SHA384.FromString("x"), "md5:d41d8cd98f00b204e9800998ecf8427e", "sha256:../../../etc/passwd"} {
		_, err := store.Open(t.Context(), d)
		wantCode(t, err, "blob_digest")
		_, err = store.Stat(t.Context(), d)
		wantCode(t, err, "blob_digest")
		_, err = store.Fill(t.Context(), ocispec.Descriptor{Digest: d}, nil)
		wantCode(t, err, "blob_digest")
		wantCode(t, store.Put(t.Context(), ocispec.Descriptor{Digest: d}, nil), "blob_digest")
		wantCode(t, store.Pin(t.Context(), d), "blob_digest")
	}
}

// gate is an upstream that waits before each of its pieces.
type gate struct {
	*upstream
	open chan int // bytes that may come
}

func newGate(t *testing.T, content []byte) *gate {
	t.Helper()
	g := &gate{newUpstream(t, content), make(chan int)}
	g.on(func(w http.ResponseWriter, r *http.Request, content []byte) bool {
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		for len(content) > 0 {
			select {
			case n := <-g.open:
				n = min(n, len(content))
				_, _ = w.Write(content[:n])
				_ = http.NewResponseController(w).Flush()
				content = content[n:]
			case <-r.Context().Done():
				return true
			}
		}
		return true
	})
	return g
}

func TestBytesAreGivenWhileTheyArriveAndARangeAheadWaits(t *testing.T) {
	content := noise(3, 1<<20)
	g := newGate(t, content)
	store := openStore(t, blobs.Config{})
	opened := filling(t, store, g.upstream, content)
	g.open <- 1000
	first := <-opened
	piece := make([]byte, 1000)
	if _, err := io.ReadFull(first, piece); err != nil || !bytes.Equal(piece, content[:1000]) {
		t.Fatalf("the first bytes: %v", err)
	}
	ahead := fill(t, store, g.upstream, content)
	if _, err := ahead.Seek(-100, io.SeekEnd); err != nil {
		t.Fatal(err)
	}
	rest := make(chan []byte)
	go func() {
		got, err := io.ReadAll(ahead)
		if err != nil {
			t.Error(err)
		}
		rest <- got
	}()
	g.open <- len(content) / 2
	if _, err := io.ReadFull(first, make([]byte, len(content)/2)); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-rest:
		t.Fatalf("%d bytes were given that had not arrived", len(got))
	default:
	}
	g.open <- len(content)
	if got := <-rest; !bytes.Equal(got, content[len(content)-100:]) {
		t.Errorf("the last %d bytes are others", len(got))
	}
	wantContent(t, first, content[1000+len(content)/2:])
	if g.requests.Load() != 1 {
		t.Errorf("%d requests were made", g.requests.Load())
	}
}

func TestManyReadersOfAColdBlobShareOneDownload(t *testing.T) {
	const readers = 64
	content := noise(4, 8<<20)
	u := newUpstream(t, content)
	store := openStore(t, blobs.Config{})
	want := descriptor(content)
	var group sync.WaitGroup
	for i := range readers {
		draw := rand.New(rand.NewPCG(7, uint64(i)))
		group.Go(func() {
			c, err := store.Fill(t.Context(), want, u.fetch(want.Digest))
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			from := int64(0)
			if i%3 > 0 {
				from = draw.Int64N(want.Size)
			}
			to := want.Size
			if i%4 == 0 && i > 0 { // one that leaves, or wants a range
				to = from + draw.Int64N(want.Size-from)
			}
			if _, err := c.Seek(from, io.SeekStart); err != nil {
				t.Error(err)
			}
			got := make([]byte, to-from)
			if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, content[from:to]) {
				t.Errorf("bytes %d to %d: %v", from, to, err)
			}
		})
	}
	group.Wait()
	waitKept(t, store, want.Digest)
	if sent := u.sent.Load(); sent != want.Size {
		t.Errorf("the upstream sent %d bytes of a blob of %d", sent, want.Size)
	}
}

func TestAClientThatLeavesDoesNotStopTheOthers(t *testing.T) {
	content := noise(5, 1<<20)
	g := newGate(t, content)
	dir := t.TempDir()
	store := openStore(t, blobs.Config{URL: "file://" + dir})
	ctx, leave := context.WithCancel(t.Context())
	opened := make(chan *blobs.Content, 1)
	go func() {
		c, err := store.Fill(ctx, descriptor(content), g.fetch(digest.FromBytes(content)))
		if err != nil {
			t.Error(err)
		}
		opened <- c
	}()
	g.open <- 10
	first := <-opened
	second := fill(t, store, g.upstream, content)
	reading := make(chan error)
	go func() {
		_, err := io.ReadAll(first)
		reading <- err
	}()
	leave()
	if err := <-reading; !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
	if err := errors.Join(first.Close(), first.Close()); err != nil {
		t.Error(err)
	}
	go func() { g.open <- len(content) }()
	wantContent(t, second, content)
	if g.requests.Load() != 1 {
		t.Errorf("%d requests were made", g.requests.Load())
	}
}

func TestWhenTheLastClientLeavesLittleOfADownloadItEnds(t *testing.T) {
	content := noise(6, 40<<20)
	gone := make(chan struct{})
	u := newUpstream(t, content)
	u.on(func(w http.ResponseWriter, r *http.Request, content []byte) bool {
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		_, _ = w.Write(content[:1<<20])
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		close(gone)
		return true
	})
	dir := t.TempDir()
	store := openStore(t, blobs.Config{URL: "file://" + dir})
	c := fill(t, store, u, content)
	if _, err := io.ReadFull(c, make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	<-gone
	for len(spooled(t, filepath.Join(dir, "uploads"))) > 0 {
		pause(t)
	}
	wantMissing(t, store, digest.FromBytes(content))
	u.on(nil)
	filled(t, store, u, content) // anew
}

func TestWhenTheLastClientLeavesMostOfADownloadItGoesOn(t *testing.T) {
	content := noise(7, 40<<20)
	proceed := make(chan struct{})
	u := newUpstream(t, content)
	u.on(func(w http.ResponseWriter, _ *http.Request, content []byte) bool {
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		_, _ = w.Write(content[:21<<20])
		_ = http.NewResponseController(w).Flush()
		<-proceed
		_, _ = w.Write(content[21<<20:])
		return true
	})
	store := openStore(t, blobs.Config{})
	c := fill(t, store, u, content)
	if _, err := io.ReadFull(c, make([]byte, 21<<20)); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	close(proceed)
	waitKept(t, store, digest.FromBytes(content))
	if u.requests.Load() != 1 {
		t.Errorf("%d requests were made", u.requests.Load())
	}
}

func TestADownloadOfAClosedStoreEndsWithItsClients(t *testing.T) {
	content := noise(8, 1<<20)
	g := newGate(t, content)
	dir := t.TempDir()
	store, err := blobs.Open(t.Context(), blobs.Config{URL: "file://" + dir})
	if err != nil {
		t.Fatal(err)
	}
	opened := filling(t, store, g.upstream, content)
	g.open <- 100
	c := <-opened
	if err := store.Close(); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadAll(c); err == nil {
		t.Error("the client was told that it has all")
	}
	if _, err := store.Fill(t.Context(), descriptor(content), g.fetch(digest.FromBytes(content))); err == nil {
		t.Error("a closed store downloads")
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if left := spooled(t, filepath.Join(dir, "uploads")); len(left) > 0 {
		t.Errorf("%q is left", left)
	}
}

func TestABlobThatCannotBeKeptIsGivenAllTheSame(t *testing.T) {
	content := noise(9, 1<<20)
	u := newUpstream(t, content)
	dir := t.TempDir()
	store := openStore(t, blobs.Config{URL: "file://" + dir})
	if err := os.WriteFile(filepath.Join(dir, "blobs"), nil, 0o600); err != nil { // where a directory must be
		t.Fatal(err)
	}
	for range 2 {
		c := fill(t, store, u, content)
		wantContent(t, c, content)
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestADocumentIsPutAtOnceAndOnlyIfItIsRight(t *testing.T) {
	content := []byte(`{"schemaVersion":2}`)
	store := openStore(t, blobs.Config{})
	wantCode(t, store.Put(t.Context(), descriptor([]byte("other")), content), "blob_size")
	wantCode(t, store.Put(t.Context(), ocispec.Descriptor{Digest: digest.FromString("other")}, content), "blob_digest_wrong")
	if err := store.Put(t.Context(), descriptor(content), content); err != nil {
		t.Fatal(err)
	}
	info, err := store.Stat(t.Context(), digest.FromBytes(content))
	if err != nil || info.Size != int64(len(content)) || info.Modified.IsZero() {
		t.Errorf("%+v, %v", info, err)
	}
	c, err := store.Open(t.Context(), digest.FromBytes(content))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	wantContent(t, c, content)
	wantMissing(t, store, digest.FromString("other"))
}

func TestADescriptorWithTheWrongSizeFailsItsOwnCallerAlone(t *testing.T) {
	content := noise(10, 1<<20)
	g := newGate(t, content)
	store := openStore(t, blobs.Config{})
	wrong := descriptor(content)
	wrong.Size++
	failed := make(chan error)
	go func() {
		_, err := store.Fill(t.Context(), wrong, g.fetch(wrong.Digest))
		failed <- err
	}()
	g.open <- 100 // the download is the wrong one's
	right := fill(t, store, g.upstream, content)
	wantCode(t, <-failed, "blob_size")
	go func() { g.open <- len(content) }()
	wantContent(t, right, content)
	waitKept(t, store, wrong.Digest)
	_, err := store.Fill(t.Context(), wrong, g.fetch(wrong.Digest))
	wantCode(t, err, "blob_size")
}

func TestARefusedFetchFailsItsOwnCallerAndAnothersGoesOn(t *testing.T) {
	content := noise(11, 1<<20)
	u := newUpstream(t, content)
	store := openStore(t, blobs.Config{})
	d := digest.FromBytes(content)
	proceed := make(chan struct{})
	refused := make(chan error)
	go func() {
		_, err := store.Fill(t.Context(), descriptor(content), func(context.Context, int64) (blobs.Stream, error) {
			<-proceed
			return blobs.Stream{}, fault.New(fault.Denied, "denied", "not for you")
		})
		refused <- err
	}()
	waitClients(t, store, d, 1)
	joined := filling(t, store, u, content)
	waitClients(t, store, d, 2)
	close(proceed)
	wantCode(t, <-refused, "denied")
	wantContent(t, <-joined, content)
	waitKept(t, store, d)
}

func TestWhereAllAreRefusedEachIsToldSo(t *testing.T) {
	content := noise(12, 1000)
	store := openStore(t, blobs.Config{})
	proceed := make(chan struct{})
	failed := make(chan error)
	for i := range 3 {
		go func() {
			_, err := store.Fill(t.Context(), descriptor(content), func(context.Context, int64) (blobs.Stream, error) {
				<-proceed
				return blobs.Stream{}, fault.New(fault.Denied, fmt.Sprint("denied ", i), "not for you")
			})
			failed <- err
		}()
	}
	waitClients(t, store, digest.FromBytes(content), 3)
	close(proceed)
	told := make(map[string]bool)
	for range 3 {
		told[fault.From(<-failed).Code] = true
	}
	if len(told) != 3 {
		t.Errorf("they were told %v", told)
	}
}
