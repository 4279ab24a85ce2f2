package mirror_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/opencontainers/go-digest"

	"fairlead.dev/fairlead/internal/mirror"
)

// bytesOf are bytes that a number draws.
func bytesOf(t testing.TB, seed byte, size int) []byte {
	t.Helper()
	content := make([]byte, size)
	if _, err := rand.NewChaCha8(sha256.Sum256([]byte{seed})).Read(content); err != nil {
		t.Fatal(err)
	}
	return content
}

func randomImage(t testing.TB) (img v1.Image, manifest []byte, d digest.Digest) {
	t.Helper()
	img, err := random.Image(1000, 2)
	if err != nil {
		t.Fatal(err)
	}
	if manifest, err = img.RawManifest(); err != nil {
		t.Fatal(err)
	}
	return img, manifest, digest.FromBytes(manifest)
}

func TestAManifestIsServedByTagAndByDigestHoweverItsRegistryIsNamed(t *testing.T) {
	hub, far := newDistribution(t), newDistribution(t)
	img, manifest, d := randomImage(t)
	far.push(t, "ada/train:v1", img)
	hub.push(t, "library/ubuntu:22.04", img)
	h := newHouse(t, newPassThrough(t, map[string]*upstream{acme: far, "docker.io": hub}), options{unnamed: "docker.io"})
	mediaType, err := img.MediaType()
	if err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"a mirror, by tag":                      mirrored("/v2/ada/train/manifests/v1", acme),
		"a mirror, by digest":                   mirrored("/v2/ada/train/manifests/"+d.String(), acme),
		"a mirror, whose host has capitals":     mirrored("/v2/ada/train/manifests/v1", "Registry.Example.COM"),
		"a mirror of the Hub":                   mirrored("/v2/library/ubuntu/manifests/22.04", "docker.io"),
		"a mirror of the Hub's other name":      mirrored("/v2/library/ubuntu/manifests/22.04", "registry-1.docker.io"),
		"a mirror by path, which says it twice": mirrored(manifestPath(acme, "ada/train", "v1"), acme),
		"a mirror that Docker asks":             "/v2/library/ubuntu/manifests/22.04",
		"by path, by tag":                       manifestPath(acme, "ada/train", "v1"),
		"by path, by digest":                    manifestPath(acme, "ada/train", d.String()),
		"by path, with an escaped colon":        manifestPath(acme, "ada/train", "sha256%3A"+d.Encoded()),
		"by path, the Hub":                      manifestPath("docker.io", "library/ubuntu", "22.04"),
		"by path, the Hub's short name":         manifestPath("docker.io", "ubuntu", "22.04"),
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			a := h.send(request{method: method, path: path})
			if a.StatusCode != http.StatusOK {
				t.Errorf("%s %s: %s %s", method, name, a.Status, a.body)
				continue
			}
			wantHeader(t, a, map[string]string{
				"Content-Type": string(mediaType), "Docker-Content-Digest": d.String(), "Etag": `"` + d.String() + `"`,
				"Content-Length": strconv.Itoa(len(manifest)), "Warning": "", "Cache-Control": "private, no-cache",
				"Docker-Distribution-Api-Version": "registry/2.0", "X-Content-Type-Options": "nosniff",
			})
			want := manifest
			if method == http.MethodHead {
				want = nil
			}
			if !bytes.Equal(a.body, want) {
				t.Errorf("%s %s: other bytes", method, name)
			}
		}
	}
}

func TestAManifestThatTheClientHasIsNotSentAgain(t *testing.T) {
	far := newDistribution(t)
	img, _, d := randomImage(t)
	far.push(t, "ada/train:v1", img)
	h := newHouse(t, newPassThrough(t, map[string]*upstream{acme: far}), options{})
	a := h.send(request{path: manifestPath(acme, "ada/train", "v1"), header: http.Header{"If-None-Match": {`"` + d.String() + `"`}}})
	if a.StatusCode != http.StatusNotModified || len(a.body) != 0 {
		t.Errorf("%s with %d bytes", a.Status, len(a.body))
	}
}

func TestAManifestThatMayBeOutOfDateSaysSo(t *testing.T) {
	far := newDistribution(t)
	img, manifest, _ := randomImage(t)
	far.push(t, "ada/train:v1", img)
	backend := newPassThrough(t, map[string]*upstream{acme: far})
	backend.remembers = true
	h := newHouse(t, backend, options{})
	path := manifestPath(acme, "ada/train", "v1")
	h.get(path)
	far.between(func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	})
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		a := h.send(request{method: method, path: path})
		if a.StatusCode != http.StatusOK || method == http.MethodGet && !bytes.Equal(a.body, manifest) {
			t.Errorf("%s %s", a.Status, a.body)
		}
		wantHeader(t, a, map[string]string{
			"Warning": `110 Fairlead "Response is stale: ` + acme + ` allows no more requests for now, so ` + acme + `/ada/train:v1 was not pulled"`,
		})
	}
}

func TestABlobIsServedInRanges(t *testing.T) {
	far := newDistribution(t)
	content := bytesOf(t, 1, 100_000)
	d, none := far.pushBlob(t, "ada/train", content), far.pushBlob(t, "ada/train", nil)
	etag := `"` + d.String() + `"`
	streamed, kept := newPassThrough(t, map[string]*upstream{acme: far}), newPassThrough(t, map[string]*upstream{acme: far})
	kept.files = t.TempDir()
	for where, backend := range map[string]mirror.Backend{"streamed": streamed, "file": kept} {
		t.Run(where, func(t *testing.T) {
			h := newHouse(t, backend, options{})
			for _, c := range []struct {
				name, method, requested, ifRange string
				blob                             digest.Digest

				status     int
				want       []byte
				rangedWith string
			}{
				{name: "all of it", status: 200, want: content},
				{name: "HEAD", method: http.MethodHead, status: 200},
				{name: "from a byte to a byte", requested: "bytes=10-19", status: 206, want: content[10:20], rangedWith: "bytes 10-19/100000"},
				{name: "one byte", requested: "bytes=0-0", status: 206, want: content[:1], rangedWith: "bytes 0-0/100000"},
				{name: "to the end", requested: "bytes=99990-", status: 206, want: content[99990:], rangedWith: "bytes 99990-99999/100000"},
				{name: "beyond the end", requested: "bytes=99990-200000", status: 206, want: content[99990:], rangedWith: "bytes 99990-99999/100000"},
				{name: "the last bytes", requested: "bytes=-5", status: 206, want: content[99995:], rangedWith: "bytes 99995-99999/100000"},
				{name: "more of the last bytes than there are", requested: "bytes=-100001", status: 206, want: content, rangedWith: "bytes 0-99999/100000"},
				{name: "HEAD of a range", method: http.MethodHead, requested: "bytes=10-19", status: 206, rangedWith: "bytes 10-19/100000"},
				{name: "if it is the same", requested: "bytes=10-19", ifRange: etag, status: 206, want: content[10:20], rangedWith: "bytes 10-19/100000"},
				{name: "if it is another", requested: "bytes=10-19", ifRange: `"sha256:0"`, status: 200, want: content},
				{name: "two ranges", requested: "bytes=0-1,5-6", status: 200, want: content},
				{name: "empty", blob: none, status: 200, want: []byte{}},
				{name: "a range of the empty one", blob: none, requested: "bytes=0-", status: 200, want: []byte{}},
			} {
				header := http.Header{}
				if c.requested != "" {
					header.Set("Range", c.requested)
				}
				if c.ifRange != "" {
					header.Set("If-Range", c.ifRange)
				}
				if c.blob == "" {
					c.blob = d
				}
				a := h.send(request{method: c.method, path: "/v2/" + acme + "/ada/train/blobs/" + c.blob.String(), header: header})
				if a.StatusCode != c.status || !bytes.Equal(a.body, c.want) {
					t.Errorf("%s: %s and %d bytes, want %d and %d", c.name, a.Status, len(a.body), c.status, len(c.want))
				}
				length := len(c.want)
				if c.method == http.MethodHead {
					if length = len(content); c.status == 206 {
						length = 10
					}
				}
				wantHeader(t, a, map[string]string{
					"Content-Type": "application/octet-stream", "Docker-Content-Digest": c.blob.String(), "Etag": `"` + c.blob.String() + `"`,
					"Content-Range": c.rangedWith, "Content-Length": strconv.Itoa(length), "Accept-Ranges": "bytes",
				})
			}
			for _, outside := range []string{"bytes=100000-", "bytes=100000-100001", "bytes=9-3", "bytes=a-b", "lines=1-2"} {
				a := h.send(request{path: "/v2/" + acme + "/ada/train/blobs/" + d.String(), header: http.Header{"Range": {outside}}})
				wantError(t, a, http.StatusRequestedRangeNotSatisfiable, "SIZE_INVALID")
				wantHeader(t, a, map[string]string{
					"Content-Range": "bytes */100000", "Etag": "", "Docker-Content-Digest": "", "Cache-Control": "no-store",
					"Content-Length": strconv.Itoa(len(a.body)),
				})
			}
			a := h.send(request{path: "/v2/" + acme + "/ada/train/blobs/" + d.String(), header: http.Header{"If-None-Match": {etag}}})
			if a.StatusCode != http.StatusNotModified || len(a.body) != 0 {
				t.Errorf("what the client has is answered with %s and %d bytes", a.Status, len(a.body))
			}
		})
	}
}

func TestNothingOfABlobIsFetchedForHEAD(t *testing.T) {
	far := newDistribution(t)
	d := far.pushBlob(t, "ada/train", bytesOf(t, 1, 1000))
	far.between(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodHead {
			t.Errorf("%s %s", r.Method, r.URL)
		}
		return false
	})
	h := newHouse(t, newPassThrough(t, map[string]*upstream{acme: far}), options{})
	if a := h.send(request{method: http.MethodHead, path: "/v2/" + acme + "/ada/train/blobs/" + d.String()}); a.StatusCode != http.StatusOK || a.ContentLength != 1000 {
		t.Errorf("%s of %d bytes", a.Status, a.ContentLength)
	}
}

// spy looks at how a body is sent.
type spy struct {
	http.ResponseWriter
	sources *[]io.Reader
}

func (s spy) ReadFrom(source io.Reader) (int64, error) {
	*s.sources = append(*s.sources, source.(*io.LimitedReader).R)
	return s.ResponseWriter.(io.ReaderFrom).ReadFrom(source)
}

func (s spy) Unwrap() http.ResponseWriter { return s.ResponseWriter }

func TestAFileIsLeftToTheKernelToSend(t *testing.T) {
	far := newDistribution(t)
	content := bytesOf(t, 2, 2<<20+17) // several slices
	d := far.pushBlob(t, "ada/train", content)
	backend := newPassThrough(t, map[string]*upstream{acme: far})
	backend.files = t.TempDir()
	var sources []io.Reader
	h := newHouse(t, backend, options{around: func(door http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { door.ServeHTTP(spy{w, &sources}, r) })
	}})
	for from, header := range map[int]http.Header{0: nil, 1 << 20: {"Range": {"bytes=1048576-"}}} {
		sources = nil
		if a := h.send(request{path: "/v2/" + acme + "/ada/train/blobs/" + d.String(), header: header}); !bytes.Equal(a.body, content[from:]) {
			t.Errorf("%s with other bytes", a.Status)
		}
		if len(sources) == 0 {
			t.Error("the file was copied through the process")
		}
		for _, source := range sources {
			if _, ok := source.(*os.File); !ok {
				t.Errorf("net is given a %T, which it cannot send by the kernel", source)
			}
		}
	}
}

func TestContentThatBreaksOffNeverLooksComplete(t *testing.T) {
	far := newDistribution(t)
	content := bytesOf(t, 3, 300_000)
	d := far.pushBlob(t, "ada/train", content)
	far.between(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodHead {
			return false
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		_, _ = w.Write(content[:100_000])
		panic(http.ErrAbortHandler)
	})
	h := newHouse(t, newPassThrough(t, map[string]*upstream{acme: far}), options{})
	for _, two := range []bool{false, true} {
		response, err := h.client(two).Do(h.request(request{path: "/v2/" + acme + "/ada/train/blobs/" + d.String()}))
		if err != nil {
			t.Fatal(err)
		}
		if (response.ProtoMajor == 2) != two {
			t.Fatal(response.Proto)
		}
		got, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err == nil {
			t.Errorf("%s: %d bytes seem to be all", response.Proto, len(got))
		}
		if !bytes.HasPrefix(content, got) {
			t.Errorf("%s: other bytes", response.Proto)
		}
		if line := h.line("content_cut"); line["client"] != "ada" || line["image"] != acme+"/ada/train@"+d.String() || line["level"] != "INFO" {
			t.Errorf("the log says %v", line)
		}
	}
}

func TestContentWhoseFirstByteDoesNotComeIsARefusal(t *testing.T) {
	far := newDistribution(t)
	d := far.pushBlob(t, "ada/train", bytesOf(t, 6, 1000))
	busy := upstreamSays(429, map[string]string{"Retry-After": "7"}, `{"errors":[{"code":"TOOMANYREQUESTS"}]}`)
	far.between(func(w http.ResponseWriter, r *http.Request) bool { return r.Method == http.MethodGet && busy(w, r) })
	h := newHouse(t, newPassThrough(t, map[string]*upstream{acme: far}), options{})
	for _, header := range []http.Header{nil, {"Range": {"bytes=100-"}}} {
		a := h.send(request{path: "/v2/" + acme + "/ada/train/blobs/" + d.String(), header: header})
		wantError(t, a, http.StatusTooManyRequests, "TOOMANYREQUESTS")
		wantHeader(t, a, map[string]string{"Retry-After": "7", "Content-Range": "", "Etag": "", "Docker-Content-Digest": ""})
	}
}

func TestAFileThatIsShorterThanItSeemedNeverLooksComplete(t *testing.T) {
	far := newDistribution(t)
	content := bytesOf(t, 4, 2<<20)
	d := far.pushBlob(t, "ada/train", content)
	backend := newPassThrough(t, map[string]*upstream{acme: far})
	backend.files = t.TempDir()
	var cutAt func()
	h := newHouse(t, backend, options{around: func(door http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { door.ServeHTTP(shortening{w, cutAt}, r) })
	}})
	path := "/v2/" + acme + "/ada/train/blobs/" + d.String()
	cutAt = func() {
		if err := os.Truncate(backend.files+"/"+d.Encoded(), 1<<20+1); err != nil {
			t.Error(err)
		}
	}
	got, err := h.try(request{path: path})
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%s: %d bytes and %v", got.Status, len(got.body), err)
	}
	h.line("content_cut")
}

// shortening cuts a file when it begins to be sent.
type shortening struct {
	http.ResponseWriter
	cut func()
}

func (s shortening) WriteHeader(status int) {
	s.cut()
	s.ResponseWriter.WriteHeader(status)
}

func (s shortening) ReadFrom(source io.Reader) (int64, error) {
	return s.ResponseWriter.(io.ReaderFrom).ReadFrom(source)
}

func TestAClientThatTakesNothingIsCutOff(t *testing.T) {
	zeros := make([]byte, 32<<20) // more than the sockets hold
	d := digest.FromBytes(zeros)
	far := newDistribution(t)
	far.between(func(w http.ResponseWriter, r *http.Request) bool {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(zeros))
		return true
	})
	streamed, kept := newPassThrough(t, map[string]*upstream{acme: far}), newPassThrough(t, map[string]*upstream{acme: far})
	kept.files = t.TempDir()
	for where, backend := range map[string]mirror.Backend{"streamed": streamed, "file": kept} {
		t.Run(where, func(t *testing.T) {
			h := newHouse(t, backend, options{stall: 50 * time.Millisecond})
			response, err := h.client(false).Do(h.request(request{path: "/v2/" + acme + "/ada/train/blobs/" + d.String()}))
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			if line := h.line("client_gone"); line["level"] != "INFO" {
				t.Errorf("the log says %v", line)
			}
			if n, err := io.Copy(io.Discard, response.Body); err == nil {
				t.Errorf("%d bytes seem to be all", n)
			}
		})
	}
}

func TestAConnectionServesOnAfterABlob(t *testing.T) {
	far := newDistribution(t)
	d := far.pushBlob(t, "ada/train", bytesOf(t, 5, 2<<20))
	backend := newPassThrough(t, map[string]*upstream{acme: far})
	backend.files = t.TempDir()
	h := newHouse(t, backend, options{})
	client := h.client(false)
	client.Transport.(*http.Transport).MaxConnsPerHost = 1
	for _, path := range []string{"blobs/" + d.String(), "blobs/" + digest.FromString("none").String(), "blobs/" + d.String(), "tags/list"} {
		response, err := client.Do(h.request(request{path: fmt.Sprintf("/v2/%s/ada/train/%s", acme, path)}))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			t.Error(err)
		}
		_ = response.Body.Close()
	}
}
