package pull

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
)

var (
	train = image.MustParseReference("registry.example.com/acme/train:v1")
	amd64 = ocispec.Platform{OS: "linux", Architecture: "amd64"}
)

const (
	aDigest  = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
	aConfig  = `{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"` + aDigest + `","size":2}`
	aLayer   = `{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"` + aDigest + `","size":2}`
	aForeign = `{"mediaType":"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip","digest":"` + aDigest + `","size":2}`
)

func TestADocumentThatIsNoImageIsRefusedWithItsReason(t *testing.T) {
	for outcome, test := range map[string]struct{ body, code string }{
		"no JSON":              {`<html>`, "manifest_invalid"},
		"neither":              {`{"schemaVersion":2}`, "manifest_invalid"},
		"both":                 {`{"config":` + aConfig + `,"manifests":[]}`, "manifest_invalid"},
		"an index that lies":   {`{"mediaType":"application/vnd.oci.image.manifest.v1+json","manifests":[]}`, "manifest_invalid"},
		"a manifest that lies": {`{"mediaType":"application/vnd.oci.image.index.v1+json","config":` + aConfig + `}`, "manifest_invalid"},
		"schema 1":             {`{"schemaVersion":1,"fsLayers":[]}`, "manifest_schema1"},
		"an artifact":          {`{"config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"` + aDigest + `","size":2}}`, "not_an_image"},
		"a foreign layer":      {`{"config":` + aConfig + `,"layers":[` + aForeign + `]}`, "layer_foreign"},
		"an unknown layer":     {`{"config":` + aConfig + `,"layers":[` + strings.Replace(aLayer, "tar+gzip", "tar+xz", 1) + `]}`, "layer_type"},
		"no digest":            {`{"config":` + aConfig + `,"layers":[` + strings.Replace(aLayer, aDigest, "../../etc", 1) + `]}`, "manifest_invalid"},
		"another digest":       {`{"config":` + aConfig + `,"layers":[` + strings.Replace(aLayer, aDigest, "sha512:"+strings.Repeat("ab", 64), 1) + `]}`, "digest_algorithm"},
		"a size below zero":    {`{"config":` + aConfig + `,"layers":[` + strings.Replace(aLayer, `"size":2`, `"size":-1`, 1) + `]}`, "manifest_invalid"},
		"too large a config":   {`{"config":` + strings.Replace(aConfig, `"size":2`, `"size":99999999`, 1) + `}`, "manifest_invalid"},
		"too many layers":      {`{"config":` + aConfig + `,"layers":[` + strings.Repeat(aLayer+",", maxLayers) + aLayer + `]}`, "too_many_layers"},
	} {
		t.Run(outcome, func(t *testing.T) {
			_, err := parseDocument(train, "", []byte(test.body))
			f := fault.From(err)
			if f == nil || f.Code != test.code || f.Kind != fault.Invalid || !strings.HasPrefix(f.Message, train.String()) {
				t.Errorf("got %+v, want %s", f, test.code)
			}
		})
	}
}

func TestTheBestEntryOfAnIndexIsChosen(t *testing.T) {
	entry := func(n, os, architecture, variant string) ocispec.Descriptor {
		return ocispec.Descriptor{
			MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString(n),
			Platform: &ocispec.Platform{OS: os, Architecture: architecture, Variant: variant},
		}
	}
	silent := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("silent")}
	for outcome, test := range map[string]struct {
		want    ocispec.Platform
		entries []ocispec.Descriptor
		chosen  string
	}{
		"the exact one":                 {amd64, []ocispec.Descriptor{entry("w", "windows", "amd64", ""), entry("i", "linux", "386", ""), entry("a", "linux", "amd64", "")}, "a"},
		"the highest variant that runs": {ocispec.Platform{OS: "linux", Architecture: "arm", Variant: "v7"}, []ocispec.Descriptor{entry("6", "linux", "arm", "v6"), entry("8", "linux", "arm", "v8"), entry("7", "linux", "arm", "v7")}, "7"},
		"one that does not say":         {amd64, []ocispec.Descriptor{entry("a", "linux", "arm64", ""), silent}, "silent"},
		"one that says before":          {amd64, []ocispec.Descriptor{silent, entry("a", "linux", "amd64", "")}, "a"},
		"none, rather than a wrong one": {amd64, []ocispec.Descriptor{entry("i", "linux", "386", ""), entry("u", "unknown", "unknown", "")}, ""},
	} {
		t.Run(outcome, func(t *testing.T) {
			chosen, err := document{Manifests: test.entries}.choose(train, test.want)
			if test.chosen == "" {
				if f := fault.From(err); f == nil || f.Code != "platform_mismatch" {
					t.Errorf("chose %s, %v; want none", chosen.Digest, err)
				}
				return
			}
			if err != nil || chosen.Digest != digest.FromString(test.chosen) {
				t.Errorf("chose %s, %v; want %s", chosen.Digest, err, test.chosen)
			}
		})
	}
}

func TestAConfigurationMustNameEveryLayer(t *testing.T) {
	manifest := document{Layers: make([]ocispec.Descriptor, 1)}
	for _, body := range []string{`[]`, `{}`, `{"rootfs":{"diff_ids":["` + aDigest + `","` + aDigest + `"]}}`, `{"rootfs":{"diff_ids":["no digest"]}}`} {
		_, err := parseConfiguration(train, manifest, amd64, []byte(body))
		if f := fault.From(err); f == nil || f.Code != "config_invalid" {
			t.Errorf("%s: got %v, want config_invalid", body, err)
		}
	}
	c, err := parseConfiguration(train, manifest, amd64, []byte(`{"rootfs":{"diff_ids":["`+aDigest+`"]}}`))
	if diff := cmp.Diff([]digest.Digest{aDigest}, c.RootFS.DiffIDs); diff != "" || err != nil {
		t.Errorf("layers (-want +got), %v:\n%s", err, diff)
	}
}

// FuzzParseDocument looks for a document that panics, that is taken though it
// breaks a bound, or whose refusal is no fault of the image.
func FuzzParseDocument(f *testing.F) {
	f.Add(ocispec.MediaTypeImageManifest, []byte(`{"schemaVersion":2,"config":`+aConfig+`,"layers":[`+aLayer+`]}`))
	f.Add(ocispec.MediaTypeImageIndex, []byte(`{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"`+aDigest+`","size":1,"platform":{"os":"linux","architecture":"amd64"}}]}`))
	f.Add("", []byte(`{"schemaVersion":1,"fsLayers":[]}`))
	f.Fuzz(func(t *testing.T, mediaType string, body []byte) {
		read, err := parseDocument(train, mediaType, body)
		if err != nil {
			mustBeInvalid(t, err)
			return
		}
		again, err := json.Marshal(read)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		if read.isIndex() {
			chosen, err := read.choose(train, amd64)
			if err != nil {
				mustBeInvalid(t, err)
			} else if chosen.Digest.Validate() != nil || isAttestation(chosen) {
				t.Errorf("chose %+v of %s", chosen, again)
			}
			return
		}
		for _, l := range append(slices.Clone(read.Layers), read.Config) {
			if l.Digest.Validate() != nil || l.Size < 0 || l.Size > maxLayerSize {
				t.Errorf("took %+v of %s", l, again)
			}
		}
		if _, err := parseConfiguration(train, read, amd64, body); err != nil {
			mustBeInvalid(t, err)
		}
	})
}

func mustBeInvalid(t *testing.T, err error) {
	t.Helper()
	f := fault.From(err)
	if f.Kind != fault.Invalid || f.Code == "" || f.Message == "" {
		t.Errorf("the refusal is %+v", f)
	}
	for _, c := range f.Message {
		if c < ' ' {
			t.Errorf("the refusal repeats a control character: %q", f.Message)
		}
	}
}
