package pullthrough_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
)

// someDigest is of nothing that is anywhere.
const someDigest = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

func TestBadInputIsRefusedWithTheCodeOfTheSpecificationAndAsksTheRegistryNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.push("ml/train", "v1", []byte("a layer"))
	if err := w.pull(t.Context(), w.acme, c, nobody); err != nil {
		t.Fatal(err)
	}
	asked := w.line.requests()
	at := "/v2/" + upstreamHost + "/"
	for _, bad := range []struct {
		name, path string
		status     int
		code, says string
	}{
		{"dots in the name", at + "ml/../vision/manifests/v1", 400, "NAME_INVALID", "is no repository"},
		{"escaped dots in the name", at + "ml/%2e%2e/vision/manifests/v1", 400, "NAME_INVALID", "is no repository"},
		{"dots before the registry", "/v2/../" + upstreamHost + "/ml/train/manifests/v1", 400, "NAME_INVALID", "no registry host"},
		{"an escaped slash", at + "ml%2ftrain/manifests/v1", 400, "NAME_INVALID", "escaped slash"},
		{"a name of 256 bytes", at + strings.Repeat("a/", 127) + "aa/manifests/v1", 400, "NAME_INVALID", "at most 255 bytes"},
		{"a name of 100 kB", at + strings.Repeat("a", 100_000) + "/manifests/v1", 400, "NAME_INVALID", "at most 1024 bytes"},
		{"a tag of 129 bytes", at + "ml/train/manifests/" + strings.Repeat("v", 129), 400, "NAME_INVALID", "is no tag"},
		{"a manifest of another algorithm", at + "ml/train/manifests/md5:d41d8cd98f00b204e9800998ecf8427e", 400, "DIGEST_INVALID", "is no digest"},
		{"a blob of another algorithm", at + "ml/train/blobs/sha1:da39a3ee5e6b4b0d3255bfef95601890afd80709", 400, "DIGEST_INVALID", "is no digest"},
		{"a digest in upper case", at + "ml/train/blobs/" + strings.ToUpper(someDigest), 400, "DIGEST_INVALID", "is no digest"},
		{"an upstream that nobody named", "/v2/registry.evil.test/ml/train/manifests/v1", 403, "DENIED", "no registry credential of acme covers registry.evil.test/ml/train"},
		{"an address for an upstream", "/v2/127.0.0.1:1/ml/train/manifests/v1", 403, "DENIED", "no registry credential of acme covers"},
		{"a repository that no credential covers", at + "vision/train/manifests/v1", 403, "DENIED", "no registry credential of acme covers"},
		{"a blob that nothing leads to", at + "ml/train/blobs/" + someDigest, 404, "BLOB_UNKNOWN", "no manifest of " + upstreamHost + "/ml/train"},
		{"warming by GET", "/v2/_fairlead/cache/warm", 405, "UNSUPPORTED", "by POST"},
		{"what the cache does not tell of itself", "/v2/_fairlead/cache/secrets", 404, "UNSUPPORTED", "nothing at"},
		{"an upload", at + "ml/train/blobs/uploads/1", 404, "UNSUPPORTED", "nothing at"},
	} {
		t.Run(bad.name, func(t *testing.T) {
			_ = w.wantRefused(w.get(t.Context(), w.acme, bad.path, "", nil), bad.status, bad.code, bad.says)
		})
	}
	if again := w.line.requests() - asked; again != 0 {
		t.Errorf("the registry was asked %d times", again)
	}
}

func TestARangeOutOfBoundsIsRefusedOfWhatIsColdAndOfWhatIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.push("ml/train", "v1", noise(rand.New(rand.NewPCG(1, 1)), 1000))
	layer := c.blobs[1]
	at := c.blobPath(digest.FromBytes(layer))
	if err := w.get(t.Context(), w.acme, c.manifestPath("v1"), "", c.manifest); err != nil {
		t.Fatal(err)
	}
	for _, state := range []string{"cold", "kept"} {
		for _, part := range []string{"bytes=1000-", "bytes=1000-1001", fmt.Sprintf("bytes=%d-", int64(1)<<62)} {
			got := w.wantRefused(w.get(t.Context(), w.acme, at, part, nil), http.StatusRequestedRangeNotSatisfiable, "SIZE_INVALID", "is no range")
			if of := got.header.Get("Content-Range"); of != "bytes */1000" {
				t.Errorf("%s, %s: Content-Range is %q", state, part, of)
			}
		}
		for part, want := range map[string][]byte{"bytes=0-0": layer[:1], "bytes=-1": layer[999:], "bytes=990-5000": layer[990:], "bytes=-5000": layer} {
			if err := w.get(t.Context(), w.acme, at, part, want); err != nil {
				t.Errorf("%s, %s: %v", state, part, err)
			}
		}
		if err := w.get(t.Context(), w.acme, at, "", layer); err != nil {
			t.Error(err)
		}
	}
}

func TestWhatTheRegistrySaysArrivesWithTheCodeOfTheSpecification(t *testing.T) {
	t.Parallel()
	const tokens = "/service/token"
	w := newWorld(t, "--cache-fresh", "1h")
	for i, c := range []struct {
		name   string
		at     string // what of the registry is so: a part of the path
		answer http.HandlerFunc
		status int
		code   string
		says   string
	}{
		{"an unknown tag", "/manifests/", refuses(404, "MANIFEST_UNKNOWN"), 404, "MANIFEST_UNKNOWN", "has no image"},
		{"an unknown name", "/manifests/", refuses(404, "NAME_UNKNOWN"), 404, "NAME_UNKNOWN", ""},
		{"a right that is missing", "/manifests/", refuses(403, "DENIED"), 403, "DENIED", upstreamHost},
		{"a registry that is down", "/manifests/", refuses(503, "UNAVAILABLE"), 503, "UNKNOWN", "answered 503"},
		{"a token service that is down", tokens, refuses(502, "UNAVAILABLE"), 503, "UNKNOWN", "answered 502"},
		{"a page of text", "/manifests/", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, "<html>Log in to our hotel's network</html>")
		}, 503, "UNKNOWN", ""},
		{"a manifest over 4 MiB", "/manifests/", func(w http.ResponseWriter, r *http.Request) {
			gives(types.OCIManifestSchema1, append([]byte(`{"schemaVersion":2,"layers":[]}`), bytes.Repeat([]byte(" "), 4<<20)...))(w, r)
		}, 502, "MANIFEST_INVALID", "more than 4194304 bytes"},
		{"a manifest that is none", "/manifests/", gives(types.OCIManifestSchema1, []byte("no JSON")), 502, "MANIFEST_INVALID", "cannot be read"},
		{"a manifest with another digest", "/manifests/", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Docker-Content-Digest", someDigest)
			w.Header().Set("Content-Type", string(types.OCIManifestSchema1))
			_, _ = io.WriteString(w, `{"schemaVersion":2,"layers":[]}`)
		}, 502, "DIGEST_INVALID", ""},
		{"a digest of another algorithm", "/manifests/", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Docker-Content-Digest", "md5:d41d8cd98f00b204e9800998ecf8427e")
			w.Header().Set("Content-Type", string(types.OCIManifestSchema1))
			_, _ = io.WriteString(w, `{"schemaVersion":2,"layers":[]}`)
		}, 502, "DIGEST_INVALID", ""},
		{"a redirect to the cloud's metadata", "/manifests/", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://169.254.169.254/latest/meta-data")
			w.WriteHeader(http.StatusTemporaryRedirect)
		}, 403, "DENIED", "would be reached without encryption"},
		// The last, since the broker tries no refused secret again at once.
		{"a login that is refused", tokens, refuses(401, "UNAUTHORIZED"), 403, "DENIED", `does not accept user "acme-robot"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			image := w.push(fmt.Sprint("ml/train", i), "v1", []byte("a layer"))
			w.line.answer(func(to http.ResponseWriter, r *http.Request) bool {
				if !strings.Contains(r.URL.Path, c.at) {
					return false
				}
				c.answer(to, r)
				return true
			})
			_ = w.wantRefused(w.get(t.Context(), w.acme, image.manifestPath("v1"), "", nil), c.status, c.code, c.says)
			w.line.answer(nil)
			if c.at != tokens {
				until(t, "what the registry has is given", func() bool { return w.pull(t.Context(), w.acme, image, nobody) == nil })
			}
		})
	}
}

// refuses answers with an error of the specification.
func refuses(status int, code string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"errors":[{"code":%q,"message":"it is so"}]}`, code)
	}
}

// gives answers with a manifest.
func gives(of types.MediaType, body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", string(of))
		w.Header().Set("Docker-Content-Digest", digest.FromBytes(body).String())
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		if r.Method != http.MethodHead {
			_, _ = w.Write(body)
		}
	}
}

func TestARegistryThatAsksForPatienceIsHeardByTheClient(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i, at := range []string{"/manifests/", "/service/token", "/v2/"} {
		t.Run(at, func(t *testing.T) {
			c := w.push(fmt.Sprint("ml/train", i), "v1", []byte("a layer"))
			defer w.line.answer(nil)
			w.line.answer(func(to http.ResponseWriter, r *http.Request) bool {
				if !strings.Contains(r.URL.Path, at) {
					return false
				}
				to.Header().Set("Retry-After", "37")
				refuses(http.StatusTooManyRequests, "TOOMANYREQUESTS")(to, r)
				return true
			})
			got := w.wantRefused(w.get(t.Context(), w.acme, c.manifestPath("v1"), "", nil), http.StatusTooManyRequests, "TOOMANYREQUESTS")
			if after := got.header.Get("Retry-After"); after != "37" {
				t.Errorf("it asks to come again after %q seconds", after)
			}
		})
	}
}

func TestARegistryThatThrottlesBlobsIsHeardByTheClient(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.push("ml/train", "v1", []byte("a layer"))
	if err := w.get(t.Context(), w.acme, c.manifestPath("v1"), "", c.manifest); err != nil {
		t.Fatal(err)
	}
	w.line.answer(func(to http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/blobs/") {
			return false
		}
		to.Header().Set("Retry-After", "37")
		refuses(http.StatusTooManyRequests, "TOOMANYREQUESTS")(to, r)
		return true
	})
	got := w.wantRefused(w.get(t.Context(), w.acme, c.blobPath(digest.FromBytes(c.blobs[1])), "", nil), http.StatusTooManyRequests, "TOOMANYREQUESTS")
	if after := got.header.Get("Retry-After"); after != "37" {
		t.Errorf("it asks to come again after %q seconds", after)
	}
}

// A blob whose length or bytes are not what the manifest says is completed at no client.
func TestABlobThatTheRegistryLiesAboutIsCompletedAtNoClient(t *testing.T) {
	t.Parallel()
	w, draw := newWorld(t), rand.New(rand.NewPCG(2, 2))
	lies := make(map[string][]byte) // by the end of the path
	images := make(map[string]*content)
	for name, lie := range map[string]func(layer []byte) []byte{
		"shorter":      func(layer []byte) []byte { return layer[:99_999] },
		"longer":       func(layer []byte) []byte { return append(layer, 0) },
		"another byte": func(layer []byte) []byte { layer[50_000] ^= 1; return layer },
		"nothing":      func([]byte) []byte { return nil },
	} {
		layer := noise(draw, 100_000)
		images[name] = w.push("ml/train", "v"+strconv.Itoa(len(lies)), layer)
		lies[digest.FromBytes(layer).String()] = lie(bytes.Clone(layer))
	}
	w.line.answer(func(to http.ResponseWriter, r *http.Request) bool {
		lie, is := lies[path.Base(r.URL.Path)]
		if is {
			http.ServeContent(to, r, "", time.Time{}, bytes.NewReader(lie))
		}
		return is
	})
	var clients sync.WaitGroup // each of which waits while the cache tries again
	for name, c := range images {
		clients.Go(func() {
			if err := w.get(t.Context(), w.acme, c.manifestPath(c.tag), "", c.manifest); err != nil {
				t.Error(err)
			}
			err := w.get(t.Context(), w.acme, c.blobPath(digest.FromBytes(c.blobs[1])), "", c.blobs[1])
			if err == nil || errors.Is(err, errBad) {
				t.Errorf("%s: it came to %v", name, err)
			}
			if got, is := errors.AsType[*refusal](err); is && got.status < 500 {
				t.Errorf("%s: the client is blamed: %v", name, err)
			}
		})
	}
	clients.Wait()
	w.line.answer(nil)
	for name, c := range images {
		if err := w.pull(t.Context(), w.acme, c, nobody); err != nil {
			t.Errorf("%s: when the registry was honest again: %v", name, err)
		}
	}
}
