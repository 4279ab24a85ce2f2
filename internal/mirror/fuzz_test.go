package mirror

import (
	"net/url"
	"strings"
	"testing"

	"github.com/distribution/reference"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
)

// FuzzParse reads a path as it goes over the wire, with what a query says of the
// registry.
func FuzzParse(f *testing.F) {
	const d = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	for _, path := range []string{
		"/v2", "/v2/", "/v2//", "/", "/v2/_catalog", "/v2/docker.io/library/ubuntu/manifests/latest", "/v2/library/ubuntu/manifests/" + d,
		"/v2/ghcr.io/acme/train/blobs/" + d, "/v2/ghcr.io/acme/train/tags/list", "/v2/localhost:5000/x/referrers/" + d,
		"/v2/[::1]:5000/x/manifests/y", "/v2/a.b/tags/list/tags/list", "/v2/a.b/manifests/manifests/manifests/manifests",
		"/v2/a.b/../x/manifests/y", "/v2/a.b%2Fx/manifests/y", "/v2/a.b/x/manifests/y%40z", "/v2/a.b/x%00/manifests/y",
		"/v2/Docker.IO/library/Ubuntu/manifests/latest", "/v2/manifests/latest", "/v2/docker.io/manifests/latest", "/v2/a.b/x/blobs/sha1:da39a3ee",
		"/v2/a.b/x:y/manifests/z", "/v2/a.b/x@" + d + "/manifests/z", "/v2/index.docker.io/x/manifests/y", "/v2/a.b/x/blobs/uploads/",
	} {
		for _, space := range []string{"", "docker.io", "GHCR.io", "localhost", "a.b", "a.b/x", "a@b.c", "x"} {
			f.Add(path, space, space != "")
		}
	}
	f.Fuzz(func(t *testing.T, path, space string, spaced bool) {
		u, err := url.ParseRequestURI("http://cache.example" + path)
		if err != nil {
			return // net/http refuses it
		}
		u.RawQuery = ""
		if spaced {
			u.RawQuery = url.Values{namespace: {space}}.Encode()
		}
		for _, unnamed := range []string{"", image.Hub} {
			found, err := parse(u, unnamed)
			if err != nil {
				if f := fault.From(err); f.Kind != fault.Invalid && f.Kind != fault.NotFound || f.Hint == "" {
					t.Fatalf("%q: %#v", u, f)
				}
				continue
			}
			if found.noun == nounBase {
				continue
			}
			inGrammar(t, u, found.ref)
			again, err := parse(&url.URL{Path: written(found)}, "")
			if err != nil || again.noun != found.noun || again.ref != found.ref {
				t.Fatalf("%q is %s %s, whose path %q is read as %s %s: %v", u, found.noun, found.ref, written(found), again.noun, again.ref, err)
			}
			if spaced && !strings.EqualFold(space, found.ref.Host()) && found.ref.Host() != image.Hub {
				t.Fatalf("%q is of %s", u, found.ref.Host())
			}
		}
	})
}

// inGrammar fails the test unless a reference is what every client takes for one.
func inGrammar(t *testing.T, u *url.URL, ref image.Reference) {
	t.Helper()
	named, err := reference.ParseNamed(ref.String())
	if err != nil || reference.Domain(named) != ref.Host() || reference.Path(named) != ref.Repository() || len(ref.Repository()) > 255 {
		t.Fatalf("%q is %q: %v", u, ref, err)
	}
	for part := range strings.SplitSeq(ref.Repository(), "/") {
		if part == "" || part == "." || part == ".." || strings.ContainsAny(part, "%\\?#") {
			t.Fatalf("%q has the part %q", u, part)
		}
	}
}

// written is the path of a target, by path.
func written(found target) string {
	path := base + found.ref.Name() + "/" + string(found.noun) + "/"
	if found.noun == nounTags {
		return path + "list"
	}
	return path + found.ref.Target()
}
