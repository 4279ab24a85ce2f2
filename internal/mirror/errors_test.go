package mirror_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"fairlead.dev/fairlead/internal/oci"
)

// someDigest is of nothing that is anywhere.
const someDigest = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

func TestBadInputIsRefusedWithTheCodeOfTheSpecification(t *testing.T) {
	far := newDistribution(t)
	img, _, _ := randomImage(t)
	far.push(t, "ada/train:v1", img)
	h := newHouse(t, newPassThrough(t, map[string]*upstream{acme: far}), options{})
	long := strings.Repeat("a/", 127) + "aa"
	for _, c := range []struct {
		name, path string
		status     int
		code, says string
	}{
		{"dots in the name", manifestPath(acme, "ada/../ben", "v1"), 400, "NAME_INVALID", "is no repository"},
		{"escaped dots in the name", manifestPath(acme, "ada/%2e%2e/ben", "v1"), 400, "NAME_INVALID", "is no repository"},
		{"dots in front", "/v2/../" + acme + "/ada/train/manifests/v1", 400, "NAME_INVALID", "no registry host"},
		{"an escaped slash", "/v2/" + acme + "%2Fada/train/manifests/v1", 400, "NAME_INVALID", "escaped slash"},
		{"an escaped slash in lower case", "/v2/" + acme + "/ada%2ftrain/manifests/v1", 400, "NAME_INVALID", "escaped slash"},
		{"an escaped escape", manifestPath(acme, "ada%252Ftrain", "v1"), 400, "NAME_INVALID", "is no repository"},
		{"an empty part", manifestPath(acme, "ada//train", "v1"), 400, "NAME_INVALID", "is no repository"},
		{"upper case", manifestPath(acme, "ada/Train", "v1"), 400, "NAME_INVALID", "Write \"ada/train\""},
		{"upper case in the registry", manifestPath("Registry.example.com", "ada/train", "v1"), 400, "NAME_INVALID", "Write the registry as registry.example.com"},
		{"a name of 256 bytes", manifestPath(acme, long, "v1"), 400, "NAME_INVALID", "at most 255 bytes"},
		{"no repository", "/v2/" + acme + "/manifests/v1", 404, "NAME_UNKNOWN", "does not say which registry"},
		{"no name", "/v2/manifests/v1", 404, "NAME_UNKNOWN", "does not say which registry"},
		{"a tag in the name", manifestPath(acme, "ada/train:v1", "v1"), 400, "NAME_INVALID", "is no repository"},
		{"a digest in the name", manifestPath(acme, "ada/train@"+someDigest, "v1"), 400, "NAME_INVALID", "is no repository"},
		{"white space", manifestPath(acme, "ada/tr%20ain", "v1"), 400, "NAME_INVALID", "white space"},
		{"a byte of zero", manifestPath(acme, "ada/train%00", "v1"), 400, "NAME_INVALID", "has no"},
		{"a user in the registry", "/v2/eve@" + acme + "/ada/train/manifests/v1", 404, "NAME_UNKNOWN", "which registry"},
		{"a user in the query", "/v2/ada/train/manifests/v1?ns=eve%40" + acme, 400, "NAME_INVALID", "no registry host"},
		{"a path in the query", "/v2/train/manifests/v1?ns=" + acme + "%2Fada", 400, "NAME_INVALID", "no registry host"},
		{"no host in the query", "/v2/ada/train/manifests/v1?ns=", 400, "NAME_INVALID", "no registry host"},
		{"half a host in the query", "/v2/ada/train/manifests/v1?ns=registry", 400, "NAME_INVALID", "no registry host"},
		{"two hosts in the query", "/v2/ada/train/manifests/v1?ns=docker.io&ns=" + acme, 400, "NAME_INVALID", "names the registry 2 times"},

		{"an empty tag", manifestPath(acme, "ada/train", ""), 400, "NAME_INVALID", "is no tag"},
		{"no tag", manifestPath(acme, "ada/train", "-v1"), 400, "NAME_INVALID", "is no tag"},
		{"a tag of 129 bytes", manifestPath(acme, "ada/train", strings.Repeat("v", 129)), 400, "NAME_INVALID", "is no tag"},
		{"an at sign in the tag", manifestPath(acme, "ada/train", "v1@x"), 400, "NAME_INVALID", "is no tag"},

		{"a digest of another algorithm", manifestPath(acme, "ada/train", "md5:d41d8cd98f00b204e9800998ecf8427e"), 400, "DIGEST_INVALID", "is no digest"},
		{"a blob of another algorithm", "/v2/" + acme + "/ada/train/blobs/sha1:da39a3ee5e6b4b0d3255bfef95601890afd80709", 400, "DIGEST_INVALID", "is no digest"},
		{"a short digest", "/v2/" + acme + "/ada/train/blobs/sha256:abc", 400, "DIGEST_INVALID", "64 hexadecimal digits"},
		{"a digest in upper case", "/v2/" + acme + "/ada/train/blobs/" + strings.ToUpper(someDigest), 400, "DIGEST_INVALID", "is no digest"},
		{"a digest with a tail", manifestPath(acme, "ada/train", someDigest+"@x"), 400, "DIGEST_INVALID", "is no digest"},
		{"a tag for a blob", "/v2/" + acme + "/ada/train/blobs/v1", 400, "DIGEST_INVALID", "is no digest"},
		{"a tag for referrers", "/v2/" + acme + "/ada/train/referrers/v1", 400, "DIGEST_INVALID", "is no digest"},

		{"an unknown tag", manifestPath(acme, "ada/train", "v2"), 404, "MANIFEST_UNKNOWN", acme + " has no image"},
		{"an unknown digest", manifestPath(acme, "ada/train", someDigest), 404, "MANIFEST_UNKNOWN", acme + " has no image"},
		{"an unknown blob", "/v2/" + acme + "/ada/train/blobs/" + someDigest, 404, "BLOB_UNKNOWN", acme + " has no image"},
		{"an unknown repository", manifestPath(acme, "ada/other", "v1"), 404, "MANIFEST_UNKNOWN", acme + " has no image"},
		{"somebody else's repository", manifestPath(acme, "ben/train", "v1"), 404, "NAME_UNKNOWN", "none that ada may see"},
		{"somebody else's tags", "/v2/" + acme + "/ben/train/tags/list", 404, "NAME_UNKNOWN", "none that ada may see"},
		{"an unknown registry", manifestPath("registry.evil.example", "ada/train", "v1"), 403, "DENIED", "no open proxy"},
		{"an unknown registry to mirror", mirrored("/v2/ada/train/manifests/v1", "10.0.0.5:5000"), 403, "DENIED", "no open proxy"},
		{"no registry", "/v2/library/ubuntu/manifests/latest", 404, "NAME_UNKNOWN", "add ?ns=docker.io"},

		{"a list of repositories", "/v2/_catalog", 404, "UNSUPPORTED", "manifests, blobs, tags/list and referrers"},
		{"an upload", "/v2/" + acme + "/ada/train/blobs/uploads/1", 404, "UNSUPPORTED", "nothing at"},
		{"a tag by another path", "/v2/" + acme + "/ada/train/tags/v1", 404, "UNSUPPORTED", "nothing at"},
		{"another API", "/v1/search", 404, "UNSUPPORTED", "nothing at"},
		{"the root", "/", 404, "UNSUPPORTED", "nothing at"},

		{"a page of words", "/v2/" + acme + "/ada/train/tags/list?n=ten", 400, "UNSUPPORTED", "no number of entries"},
		{"a page below nothing", "/v2/" + acme + "/ada/train/tags/list?n=-1", 400, "UNSUPPORTED", "no number of entries"},
		{"a long way into a list", "/v2/" + acme + "/ada/train/tags/list?last=" + strings.Repeat("v", 1025), 400, "UNSUPPORTED", "at most 1024 bytes"},
		{"a long way into referrers", "/v2/" + acme + "/ada/train/referrers/" + someDigest + "?next=" + strings.Repeat("v", 1025), 400, "UNSUPPORTED", "at most 1024 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			told := wantError(t, h.get(c.path), c.status, c.code)
			if !strings.Contains(told.Message, c.says) || told.Detail == "" {
				t.Errorf("it says %q (%s), want %q", told.Message, told.Detail, c.says)
			}
			if a := h.send(request{method: http.MethodHead, path: c.path}); a.StatusCode != c.status || len(a.body) != 0 {
				t.Errorf("HEAD: %s %s", a.Status, a.body)
			}
		})
	}
}

func TestTheCacheIsForPulling(t *testing.T) {
	h := newHouse(t, newPassThrough(t, nil), options{})
	for _, c := range []struct{ method, path string }{
		{http.MethodPut, manifestPath(acme, "ada/train", "v1")},
		{http.MethodDelete, manifestPath(acme, "ada/train", someDigest)},
		{http.MethodPost, "/v2/" + acme + "/ada/train/blobs/uploads/"},
		{http.MethodPatch, "/v2/" + acme + "/ada/train/blobs/uploads/1"},
		{http.MethodDelete, "/v2/" + acme + "/ada/train/blobs/" + someDigest},
		{"BREW", "/v2/"},
	} {
		a := h.send(request{method: c.method, path: c.path})
		if told := wantError(t, a, http.StatusMethodNotAllowed, "UNSUPPORTED"); !strings.Contains(told.Message, "the cache is for pulling") {
			t.Errorf("it says %q", told.Message)
		}
		wantHeader(t, a, map[string]string{"Allow": "GET, HEAD"})
	}
}

// upstreamSays has an upstream answer everything with a status and a body.
func upstreamSays(status int, header map[string]string, body string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		for name, value := range header {
			w.Header().Set(name, value)
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
		return true
	}
}

func TestWhatTheUpstreamRefusesIsToldAsWhatItIs(t *testing.T) {
	far := newDistribution(t)
	h := newHouse(t, newPassThrough(t, map[string]*upstream{acme: far}), options{})
	ofManifest := map[string]string{"Content-Type": "application/vnd.oci.image.manifest.v1+json"}
	for _, c := range []struct {
		name     string
		upstream func(http.ResponseWriter, *http.Request) bool
		target   string

		status     int
		code, says string
		retryAfter string
	}{
		{
			name: "too many requests", upstream: upstreamSays(429, map[string]string{"Retry-After": "7"}, `{"errors":[{"code":"TOOMANYREQUESTS"}]}`),
			status: 429, code: "TOOMANYREQUESTS", says: "allows no more requests for now", retryAfter: "7",
		},
		{name: "no right", upstream: upstreamSays(403, nil, `{"errors":[{"code":"DENIED"}]}`), status: 403, code: "DENIED", says: "does not allow it"},
		{name: "Fairlead's login", upstream: upstreamSays(401, nil, `{"errors":[{"code":"UNAUTHORIZED"}]}`), status: 403, code: "DENIED", says: "the credential is missing, wrong or expired"},
		{name: "no repository", upstream: upstreamSays(404, nil, `{"errors":[{"code":"NAME_UNKNOWN"}]}`), status: 404, code: "NAME_UNKNOWN", says: "has no repository"},
		{name: "its own failure", upstream: upstreamSays(500, map[string]string{"Retry-After": "1"}, ``), status: 503, code: "UNKNOWN", says: "answered 500"},
		{name: "a page", upstream: upstreamSays(200, map[string]string{"Content-Type": "text/html"}, `<html>`), status: 503, code: "UNKNOWN", says: "a web page"},
		{name: "other bytes than were asked for", upstream: upstreamSays(200, ofManifest, `{}`), target: someDigest, status: 502, code: "DIGEST_INVALID", says: "not what was asked for"},
		{
			name:     "a digest that is none",
			upstream: upstreamSays(200, map[string]string{"Content-Type": ofManifest["Content-Type"], "Docker-Content-Digest": "md5:0"}, `{}`), status: 502, code: "DIGEST_INVALID", says: "that is none",
		},
		{name: "a manifest of more than 4 MiB", upstream: upstreamSays(200, ofManifest, strings.Repeat(" ", oci.MaxManifest+1)), status: 502, code: "MANIFEST_INVALID", says: "more than 4194304 bytes"},
		{name: "nothing", upstream: func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }, status: 503, code: "UNKNOWN", says: acme},
	} {
		t.Run(c.name, func(t *testing.T) {
			far.between(c.upstream)
			if c.target == "" {
				c.target = "v1"
			}
			a := h.get(manifestPath(acme, "ada/train", c.target))
			if told := wantError(t, a, c.status, c.code); !strings.Contains(told.Message, c.says) {
				t.Errorf("it says %q, want %q", told.Message, c.says)
			}
			if c.retryAfter != "" {
				wantHeader(t, a, map[string]string{"Retry-After": c.retryAfter})
			}
			wantHeader(t, a, map[string]string{"Www-Authenticate": "", "Cache-Control": "no-store", "Docker-Content-Digest": ""})
		})
	}
}

func TestAFailureOfOurOwnTellsNothingOfItsCause(t *testing.T) {
	far := newDistribution(t)
	img, _, _ := randomImage(t)
	far.push(t, "ada/train:v1", img)
	backend := newPassThrough(t, map[string]*upstream{acme: far})
	backend.files = t.TempDir() + "/is/nowhere"
	h := newHouse(t, backend, options{})
	d := far.pushBlob(t, "ada/train", []byte("x"))
	a := h.get("/v2/" + acme + "/ada/train/blobs/" + d.String())
	if told := wantError(t, a, http.StatusInternalServerError, "UNKNOWN"); strings.Contains(told.Message, "nowhere") {
		t.Errorf("it says %q", told.Message)
	}
	if line := h.line("internal"); line["level"] != "ERROR" || !strings.Contains(line["error"].(string), "nowhere") {
		t.Errorf("the log says %v", line)
	}
}

func TestAPanicIsAFailureAndNotTheEndOfTheServer(t *testing.T) {
	h := newHouse(t, nilBackend(t), options{})
	told := wantError(t, h.get("/v2/"+acme+"/ada/train/blobs/"+digest.FromString("x").String()), http.StatusInternalServerError, "UNKNOWN")
	if strings.Contains(told.Message, "nil") {
		t.Errorf("it says %q", told.Message)
	}
	if a := h.get("/v2/"); a.StatusCode != http.StatusOK {
		t.Errorf("then %s", a.Status)
	}
}

// nilBackend is one that was never made, so that each of its methods panics.
func nilBackend(testing.TB) *passThrough { return nil }
