package mirror_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/types"
	specs "github.com/opencontainers/distribution-spec/specs-go/v1"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// read reads an answer's body.
func read[T any](t testing.TB, a answer) T {
	t.Helper()
	var value T
	if err := json.Unmarshal(a.body, &value); err != nil || a.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %v", a.Status, a.body, err)
	}
	return value
}

// next is the path that an answer's Link leads to, "" for none.
func next(t testing.TB, a answer) string {
	t.Helper()
	text := a.Header.Get("Link")
	if text == "" {
		return ""
	}
	path, found := strings.CutSuffix(text, `>; rel="next"`)
	path, begun := strings.CutPrefix(path, "<")
	if !found || !begun {
		t.Fatalf("the link is %q", text)
	}
	if _, err := url.ParseRequestURI(path); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTagsAreListedInPages(t *testing.T) {
	far := newDistribution(t)
	img, _, _ := randomImage(t)
	all := []string{"v1", "v2", "v3", "v4", "v5"}
	for _, tag := range all {
		far.push(t, "ada/train:"+tag, img)
	}
	h := newHouse(t, newPassThrough(t, map[string]*upstream{acme: far}), options{})
	byPath, mirror := "/v2/"+acme+"/ada/train/tags/list", mirrored("/v2/ada/train/tags/list", acme)
	for _, c := range []struct {
		path string
		want []string
		more string
	}{
		{byPath, all, ""},
		{byPath + "?n=2", all[:2], byPath + "?last=v2&n=2"},
		{byPath + "?n=2&last=v2", all[2:4], byPath + "?last=v4&n=2"},
		{byPath + "?n=2&last=v4", all[4:], ""},
		{byPath + "?last=v3", all[3:], ""},
		{byPath + "?last=v9", []string{}, ""},
		{byPath + "?n=0", []string{}, ""},
		{byPath + "?n=1000000", all, ""},
		{mirror, all, ""},
		{mirror + "&n=4", all[:4], "/v2/ada/train/tags/list?last=v4&n=4&ns=" + acme},
	} {
		a := h.get(c.path)
		list := read[specs.TagList](t, a)
		if diff := cmp.Diff(c.want, list.Tags); diff != "" || next(t, a) != c.more {
			t.Errorf("%s leads to %q, want %q:\n%s", c.path, next(t, a), c.more, diff)
		}
		if name, _ := strings.CutPrefix(strings.SplitN(c.path, "/tags/", 2)[0], "/v2/"); list.Name != name {
			t.Errorf("%s: the list is of %q", c.path, list.Name)
		}
		if a.Header.Get("Content-Type") != "application/json" || strings.Contains(string(a.body), "null") {
			t.Errorf("%s: %s %s", c.path, a.Header.Get("Content-Type"), a.body)
		}
	}
	if a := h.send(request{method: http.MethodHead, path: byPath}); a.StatusCode != http.StatusOK || len(a.body) != 0 {
		t.Errorf("HEAD: %s %s", a.Status, a.body)
	}
	wantError(t, h.get("/v2/"+acme+"/ada/none/tags/list?n=0"), http.StatusNotFound, "NAME_UNKNOWN")
}

// refer pushes an artifact of a type that refers to an image.
func refer(t testing.TB, far *upstream, repository string, subject v1.Image, artifact types.MediaType) string {
	t.Helper()
	described, err := partial.Descriptor(subject)
	if err != nil {
		t.Fatal(err)
	}
	layered, err := random.Image(10, 1)
	if err != nil {
		t.Fatal(err)
	}
	referring := mutate.Subject(mutate.ConfigMediaType(mutate.MediaType(layered, types.OCIManifestSchema1), artifact), *described).(v1.Image)
	d, err := referring.Digest()
	if err != nil {
		t.Fatal(err)
	}
	far.push(t, repository+"@"+d.String(), referring)
	return d.String()
}

func TestReferrersAreListedInPagesAndByType(t *testing.T) {
	far := newLinked(t)
	img, _, d := randomImage(t)
	far.push(t, "ada/train:v1", img)
	const signature, bill = "application/vnd.acme.signature", "application/vnd.acme.sbom"
	var signatures, bills []string
	for range 3 {
		signatures = append(signatures, refer(t, far, "ada/train", img, signature))
	}
	bills = append(bills, refer(t, far, "ada/train", img, bill))
	h := newHouse(t, newPassThrough(t, map[string]*upstream{linked: far}), options{})
	path := mirrored("/v2/ada/train/referrers/"+d.String(), linked)
	for _, c := range []struct {
		name, query, filtered string
		want                  []string
	}{
		{"all", "", "", slices.Concat(signatures, bills)},
		{"of a type", "&artifactType=" + url.QueryEscape(signature), "artifactType", signatures},
		{"of another type", "&artifactType=" + url.QueryEscape(bill), "artifactType", bills},
		{"of a type that none is of", "&artifactType=none", "artifactType", nil},
	} {
		var got []string
		pages := 0
		for at := path + c.query; at != ""; pages++ {
			a := h.get(at)
			wantHeader(t, a, map[string]string{"Content-Type": ocispec.MediaTypeImageIndex, "Oci-Filters-Applied": c.filtered})
			index := read[ocispec.Index](t, a)
			if index.SchemaVersion != 2 || index.MediaType != ocispec.MediaTypeImageIndex || index.Manifests == nil {
				t.Errorf("%s: %s", c.name, a.body)
			}
			for _, m := range index.Manifests {
				got = append(got, m.Digest.String())
			}
			at = next(t, a)
		}
		slices.Sort(c.want)
		slices.Sort(got)
		if diff := cmp.Diff(c.want, got); diff != "" || pages != 2 {
			t.Errorf("%s, in %d pages:\n%s", c.name, pages, diff)
		}
	}
	if index := read[ocispec.Index](t, h.get("/v2/"+linked+"/ada/train/referrers/"+someDigest)); index.Manifests == nil || len(index.Manifests) != 0 {
		t.Errorf("an unknown manifest has the referrers %v", index.Manifests)
	}
}

func TestARegistryWithoutReferrersSaysSo(t *testing.T) {
	far := newDistribution(t)
	img, _, d := randomImage(t)
	far.push(t, "ada/train:v1", img)
	h := newHouse(t, newPassThrough(t, map[string]*upstream{acme: far}), options{})
	wantError(t, h.get("/v2/"+acme+"/ada/train/referrers/"+d.String()), http.StatusNotFound, "MANIFEST_UNKNOWN")
}
