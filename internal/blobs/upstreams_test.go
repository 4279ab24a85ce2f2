package blobs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"fairlead.dev/fairlead/internal/blobs"
	"fairlead.dev/fairlead/internal/fault"
)

// cutting is an upstream whose connections break after some bytes each.
func cutting(after int, ranges bool) func(http.ResponseWriter, *http.Request, []byte) bool {
	return func(w http.ResponseWriter, r *http.Request, content []byte) bool {
		var from int
		if spec := r.Header.Get("Range"); ranges && spec != "" {
			_, _ = fmt.Sscanf(spec, "bytes=%d-", &from) // of our own making
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(content)-1, len(content)))
			w.Header().Set("Content-Length", strconv.Itoa(len(content)-from))
			w.WriteHeader(http.StatusPartialContent)
		} else {
			w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		}
		_, _ = w.Write(content[from:min(from+after, len(content))])
		if from+after < len(content) {
			panic(http.ErrAbortHandler)
		}
		return true
	}
}

func TestADownloadThatBreaksGoesOnAtItsByte(t *testing.T) {
	content := noise(20, 1<<20)
	u := newUpstream(t, content)
	u.on(cutting(100_000, true))
	store := openStore(t, blobs.Config{})
	filled(t, store, u, content)
	if sent := u.sent.Load(); sent != int64(len(content)) {
		t.Errorf("%d bytes were sent of %d", sent, len(content))
	}
	if requests := u.requests.Load(); requests != 11 {
		t.Errorf("%d requests were made, want 11 of 100000 bytes each", requests)
	}
}

func TestAnUpstreamWithoutRangesSendsItAllAgainAndNoByteIsTakenTwice(t *testing.T) {
	content := noise(21, 1<<20)
	u := newUpstream(t, content)
	var tries atomic.Int64
	u.on(func(w http.ResponseWriter, r *http.Request, content []byte) bool {
		return cutting(int(tries.Add(1))*400_000, false)(w, r, content)
	})
	store := openStore(t, blobs.Config{})
	filled(t, store, u, content)
	if tries.Load() != 3 {
		t.Errorf("%d requests were made", tries.Load())
	}
}

func TestADownloadThatBringsNothingEndsAfterSomeTries(t *testing.T) {
	content := noise(22, 1<<20)
	for name, answer := range map[string]func(w http.ResponseWriter, r *http.Request, content []byte) bool{
		"nothing":     cutting(0, true),
		"a few bytes": cutting(1000, true),
		"a server error": func(w http.ResponseWriter, _ *http.Request, _ []byte) bool {
			w.WriteHeader(http.StatusBadGateway)
			return true
		},
	} {
		t.Run(name, func(t *testing.T) {
			u := newUpstream(t, content)
			u.on(answer)
			dir := t.TempDir()
			store := openStore(t, blobs.Config{URL: "file://" + dir})
			_, err := readAll(t, store, u, content)
			if f := fault.From(err); f.Kind != fault.Unavailable || f.Message == "" {
				t.Errorf("it is %v", err)
			}
			if requests := u.requests.Load(); requests != 5 {
				t.Errorf("%d requests were made", requests)
			}
			wantNothingKept(t, store, dir, content)
		})
	}
}

func readAll(t testing.TB, store *blobs.Store, u *upstream, content []byte) (int, error) {
	t.Helper()
	want := descriptor(content)
	c, err := store.Fill(t.Context(), want, u.fetch(want.Digest))
	if err != nil {
		return 0, err
	}
	defer c.Close()
	got, err := io.ReadAll(c)
	if err == nil {
		t.Error("the client was told that it has all")
	}
	if len(got) >= len(content) {
		t.Errorf("the client got %d bytes of %d before it was told", len(got), len(content))
	}
	return len(got), err
}

func wantNothingKept(t testing.TB, store *blobs.Store, dir string, content []byte) {
	t.Helper()
	wantMissing(t, store, digest.FromBytes(content))
	for len(spooled(t, filepath.Join(dir, "uploads"))) > 0 {
		pause(t)
	}
	if left := spooled(t, filepath.Join(dir, "blobs", "*")); len(left) > 0 {
		t.Errorf("%q was kept", left)
	}
}

func TestNothingOfAnUpstreamThatLiesIsKeptOrGivenWhole(t *testing.T) {
	content := noise(23, 1<<20)
	altered := bytes.Clone(content)
	altered[len(altered)-1] ^= 1
	first := bytes.Clone(content)
	first[0] ^= 1
	send := func(w http.ResponseWriter, told int, content []byte) bool {
		if told >= 0 {
			w.Header().Set("Content-Length", strconv.Itoa(told))
		} else {
			_ = http.NewResponseController(w).Flush() // and so no length is told
		}
		_, _ = w.Write(content)
		return true
	}
	for name, c := range map[string]struct {
		answer func(w http.ResponseWriter, r *http.Request) bool
		code   string
	}{
		"another last byte":      {func(w http.ResponseWriter, _ *http.Request) bool { return send(w, len(altered), altered) }, "blob_altered"},
		"another first byte":     {func(w http.ResponseWriter, _ *http.Request) bool { return send(w, len(first), first) }, "blob_altered"},
		"other bytes, no length": {func(w http.ResponseWriter, _ *http.Request) bool { return send(w, -1, altered) }, "blob_altered"},
		"a byte more, no length": {func(w http.ResponseWriter, _ *http.Request) bool { return send(w, -1, append(bytes.Clone(content), 0)) }, "blob_altered"},
		"nothing":                {func(w http.ResponseWriter, _ *http.Request) bool { return send(w, 0, nil) }, "blob_size"},
		"a byte less": {func(w http.ResponseWriter, _ *http.Request) bool {
			return send(w, len(content)-1, content[:len(content)-1])
		}, "blob_size"},
		"a byte more": {func(w http.ResponseWriter, _ *http.Request) bool {
			return send(w, len(content)+1, append(bytes.Clone(content), 0))
		}, "blob_size"},
		"a page of its own instead": {func(w http.ResponseWriter, _ *http.Request) bool {
			return send(w, 16, []byte("<html>login</html>")[:16])
		}, "blob_size"},
		"another size on the way": {func(w http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("Range") == "" {
				return cutting(300_000, true)(w, r, content)
			}
			return send(w, len(content)+5, append(bytes.Clone(content), "12345"...))
		}, "blob_altered"},
	} {
		t.Run(name, func(t *testing.T) {
			u := newUpstream(t)
			u.on(func(w http.ResponseWriter, r *http.Request, _ []byte) bool { return c.answer(w, r) })
			dir := t.TempDir()
			store := openStore(t, blobs.Config{URL: "file://" + dir})
			_, err := readAll(t, store, u, content)
			wantCode(t, err, c.code)
			wantNothingKept(t, store, dir, content)

			honest := newUpstream(t, content)
			filled(t, store, honest, content)
		})
	}
}

func TestAllReadersOfABlobThatTurnsOutWrongAreToldSo(t *testing.T) {
	content := noise(24, 4<<20)
	altered := bytes.Clone(content)
	altered[len(altered)/2] ^= 1
	u := newUpstream(t)
	u.content[digest.FromBytes(content).String()] = altered
	store := openStore(t, blobs.Config{})
	opened := make(chan struct{})
	u.on(func(_ http.ResponseWriter, r *http.Request, _ []byte) bool {
		<-opened
		return false
	})
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			got, err := readAll(t, store, u, content)
			wantCode(t, err, "blob_altered")
			_ = got
		})
	}
	close(opened)
	group.Wait()
	wantMissing(t, store, digest.FromBytes(content))
}

func TestABlobWhoseLengthNobodyTellsIsGivenWhenItIsWhole(t *testing.T) {
	content := noise(25, 1<<20)
	u := newUpstream(t, content)
	u.on(func(w http.ResponseWriter, _ *http.Request, content []byte) bool {
		_ = http.NewResponseController(w).Flush() // and so no length is told
		_, _ = w.Write(content)
		return true
	})
	store := openStore(t, blobs.Config{})
	want := descriptor(content)
	want.Size = 0
	c, err := store.Fill(t.Context(), want, u.fetch(want.Digest))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.Size() != int64(len(content)) {
		t.Errorf("its size is %d", c.Size())
	}
	wantContent(t, c, content)
}

func TestABlobThatIsTooLargeIsRefused(t *testing.T) {
	content := noise(26, 1<<20)
	for name, length := range map[string]bool{"that says so": true, "that does not": false} {
		t.Run(name, func(t *testing.T) {
			u := newUpstream(t, content)
			u.on(func(w http.ResponseWriter, _ *http.Request, content []byte) bool {
				if length {
					w.Header().Set("Content-Length", strconv.Itoa(len(content)))
				}
				_, _ = w.Write(content)
				return true
			})
			dir := t.TempDir()
			store := openStore(t, blobs.Config{URL: "file://" + dir, MaxBlob: 1<<20 - 1})
			want := descriptor(content)
			want.Size = 0
			_, err := store.Fill(t.Context(), want, u.fetch(want.Digest))
			wantCode(t, err, "blob_too_large")
			wantNothingKept(t, store, dir, content)
			if requests := u.requests.Load(); requests != 1 {
				t.Errorf("%d requests were made", requests)
			}
		})
	}
}

func TestAnUpstreamsRefusalIsFinalAndItsOwn(t *testing.T) {
	content := noise(27, 1000)
	u := newUpstream(t)
	dir := t.TempDir()
	store := openStore(t, blobs.Config{URL: "file://" + dir})
	_, err := readAll(t, store, u, content)
	if f := fault.From(err); f.Kind != fault.NotFound || f.Code != "upstream" {
		t.Errorf("it is %v", err)
	}
	if u.requests.Load() != 1 {
		t.Errorf("%d requests were made", u.requests.Load())
	}
	wantNothingKept(t, store, dir, content)
}

// spoken is an upstream of a bubble of time, without a network: what each request
// answers.
type spoken struct {
	begun   time.Time
	asked   []time.Duration // since begun
	answers []func(ctx context.Context) (blobs.Stream, error)
}

func (s *spoken) fetch(ctx context.Context, _ int64) (blobs.Stream, error) {
	s.asked = append(s.asked, time.Since(s.begun))
	answer := s.answers[min(len(s.asked), len(s.answers))-1]
	return answer(ctx)
}

func TestAnUpstreamThatBreaksOffIsLeftAloneForAsLongAsItAsks(t *testing.T) {
	content := noise(28, 1000)
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		busy := func(wait time.Duration) func(context.Context) (blobs.Stream, error) {
			return func(context.Context) (blobs.Stream, error) {
				return blobs.Stream{}, fault.New(fault.Exhausted, "busy", "too many").WithRetryAfter(wait)
			}
		}
		whole := func(context.Context) (blobs.Stream, error) {
			return blobs.Stream{Body: io.NopCloser(bytes.NewReader(content)), Size: int64(len(content))}, nil
		}
		store, err := blobs.Open(t.Context(), blobs.Config{URL: "file://" + dir, Backoff: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		half := func(context.Context) (blobs.Stream, error) {
			return blobs.Stream{Body: io.NopCloser(bytes.NewReader(content[:500])), Size: int64(len(content))}, nil
		}
		patient := &spoken{begun: time.Now(), answers: []func(context.Context) (blobs.Stream, error){half, busy(7 * time.Second), busy(90 * time.Second), whole}}
		c, err := store.Fill(t.Context(), descriptor(content), patient.fetch)
		if err != nil {
			t.Fatal(err)
		}
		wantContent(t, c, content)
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if got := fmt.Sprint(patient.asked); got != "[0s 0s 7s 1m37s]" {
			t.Errorf("it was asked after %s", got)
		}
		tired := &spoken{begun: time.Now(), answers: []func(context.Context) (blobs.Stream, error){half, busy(time.Hour)}}
		c, err = store.Fill(t.Context(), descriptor(noise(29, 1000)), tired.fetch)
		if err == nil {
			_, err = io.Copy(io.Discard, c)
			_ = c.Close() // of what failed
		}
		if f := fault.From(err); f.Code != "busy" || f.RetryAfter != time.Hour || len(tired.asked) != 2 {
			t.Errorf("it was asked after %s, and is told %v", tired.asked, err)
		}
	})
}

func TestAnUpstreamThatTakesNoRequestIsAskedOnceAndTheCallerIsTold(t *testing.T) {
	store := openStore(t, blobs.Config{})
	for i, wait := range []time.Duration{0, 7 * time.Second, time.Hour} {
		busy := &spoken{begun: time.Now(), answers: []func(context.Context) (blobs.Stream, error){func(context.Context) (blobs.Stream, error) {
			return blobs.Stream{}, fault.New(fault.Exhausted, "busy", "too many").WithRetryAfter(wait)
		}}}
		_, err := store.Fill(t.Context(), descriptor(noise(uint64(290+i), 10)), busy.fetch)
		if f := fault.From(err); f.Code != "busy" || f.RetryAfter != wait || len(busy.asked) != 1 {
			t.Errorf("it was asked after %s, and is told %v", busy.asked, err)
		}
	}
}

// silent is a body that brings nothing until its context ends.
type silent struct{ ctx context.Context }

func (s silent) Read([]byte) (int, error) {
	<-s.ctx.Done()
	return 0, context.Cause(s.ctx)
}

func (silent) Close() error { return nil }

func TestAConnectionThatBringsNothingIsGivenUp(t *testing.T) {
	content := noise(30, 1000)
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		store, err := blobs.Open(t.Context(), blobs.Config{URL: "file://" + dir, Backoff: time.Second, StallTimeout: 20 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		stuck := &spoken{begun: time.Now(), answers: []func(context.Context) (blobs.Stream, error){
			func(ctx context.Context) (blobs.Stream, error) {
				return blobs.Stream{Body: silent{ctx}, Size: int64(len(content))}, nil
			},
		}}
		c, err := store.Fill(t.Context(), descriptor(content), stuck.fetch)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, err = io.ReadAll(c)
		wantCode(t, err, "blob_broken")
		if !errors.Is(err, context.DeadlineExceeded) && !strings.Contains(err.Error(), "nothing came for 20s") {
			t.Errorf("it is %v", err)
		}
		if len(stuck.asked) != 5 || stuck.asked[1] < 20*time.Second || stuck.asked[1] > 22*time.Second {
			t.Errorf("it was asked after %s", stuck.asked)
		}
	})
}
