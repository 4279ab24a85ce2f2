package oci_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"fairlead.dev/fairlead/internal/diagnosis"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/oci"
)

const (
	manifest     = `{"schemaVersion":2}`
	manifestType = "application/vnd.oci.image.manifest.v1+json"
)

var manifestDigest = digest.FromString(manifest)

func TestAManifestIsReadWithTheDigestOfItsBytes(t *testing.T) {
	want := oci.Descriptor{MediaType: manifestType, Digest: manifestDigest, Size: int64(len(manifest))}
	for name, header := range map[string][]string{
		"named by the registry":     {"Content-Type", manifestType, "Docker-Content-Digest", manifestDigest.String()},
		"not named by the registry": {"Content-Type", manifestType},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFarSide(t, answer(200, manifest, header...))
			found, body, err := f.client().Manifest(t.Context(), train, oci.Anonymous)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, found); diff != "" || string(body) != manifest {
				t.Errorf("body %q, descriptor (-want +got):\n%s", body, diff)
			}
			resolved, err := f.client().ResolveManifest(t.Context(), train, oci.Anonymous)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, resolved); diff != "" {
				t.Errorf("resolved (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAManifestThatIsNotWhatWasAskedForIsRefused(t *testing.T) {
	other := digest.FromString("other")
	pinned := train.WithDigest(other)
	tests := map[string]struct {
		ref    image.Reference
		header string
		code   string
	}{
		"other bytes than the digest asked for":   {pinned, "", "digest_mismatch"},
		"a header that is not what was asked for": {pinned, manifestDigest.String(), "digest_mismatch"},
		"other bytes than the registry's header":  {train, other.String(), "digest_mismatch"},
		"a header that is no digest":              {train, "sha256:abc", "digest_invalid"},
		"a header of an algorithm nobody knows":   {train, "crc32:00000000", "digest_invalid"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFarSide(t, answer(200, manifest, "Docker-Content-Digest", test.header))
			_, _, err := f.client().Manifest(t.Context(), test.ref, oci.Anonymous)
			wantFault(t, err, fault.Unavailable, test.code)
		})
	}
	t.Run("more bytes than a manifest may have", func(t *testing.T) {
		f := newFarSide(t, answer(200, strings.Repeat(" ", oci.MaxManifest+1)))
		_, _, err := f.client().Manifest(t.Context(), train, oci.Anonymous)
		wantFault(t, err, fault.Exhausted, "manifest_too_large")
	})
	t.Run("exactly as many bytes", func(t *testing.T) {
		body := bytes.Repeat([]byte(" "), oci.MaxManifest)
		f := newFarSide(t, answer(200, string(body)))
		if _, got, err := f.client().Manifest(t.Context(), train, oci.Anonymous); err != nil || len(got) != oci.MaxManifest {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	})
	t.Run("bytes that are broken off", func(t *testing.T) {
		f := newFarSide(t, answer(200, manifest, "Content-Length", "1000"))
		_, _, err := f.client().Manifest(t.Context(), train, oci.Anonymous)
		wantFault(t, diagnosis.Of(err, diagnosis.Subject{Service: diagnosis.Registry, Image: train}), fault.Unavailable, "connection_lost")
	})
}

func TestARegistryThatRefusesHEADIsAskedWithGET(t *testing.T) {
	var methods []string
	f := newFarSide(t, func(w http.ResponseWriter, r *http.Request) {
		methods = append(methods, r.Method)
		if r.Method == http.MethodHead {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		if diff := cmp.Diff(oci.ManifestTypes, r.Header["Accept"]); diff != "" {
			t.Errorf("accept (-want +got):\n%s", diff)
		}
		_, _ = io.WriteString(w, manifest)
	})
	found, err := f.client().ResolveManifest(t.Context(), train, oci.Anonymous)
	if err != nil || found.Digest != manifestDigest {
		t.Errorf("%v, %v", found, err)
	}
	if diff := cmp.Diff([]string{http.MethodHead, http.MethodGet}, methods); diff != "" {
		t.Errorf("methods (-want +got):\n%s", diff)
	}
}

func TestPingTellsHowARegistryWantsToBeAsked(t *testing.T) {
	open, err := newFarSide(t, answer(200, "{}")).client().Ping(t.Context(), oci.Anonymous)
	if err != nil || len(open) != 0 {
		t.Errorf("an open registry: %v, %v", open, err)
	}
	closed, err := newFarSide(t, answer(401, "", "WWW-Authenticate", `Basic realm="r"`)).client().Ping(t.Context(), oci.Anonymous)
	if diff := cmp.Diff([]oci.Challenge{{Scheme: oci.SchemeBasic, Realm: "r"}}, closed); diff != "" || err != nil {
		t.Errorf("%v, challenges (-want +got):\n%s", err, diff)
	}
	_, err = newFarSide(t, answer(401, "")).client().Ping(t.Context(), oci.Anonymous)
	wantFault(t, diagnosis.Of(err, diagnosis.Subject{Service: diagnosis.Registry, Image: train}), fault.Unauthenticated, "unauthorized")
}

func TestAClientOfOneRegistryIsNotAskedForAnImageOfAnother(t *testing.T) {
	f := newFarSide(t, answer(200, manifest))
	if _, err := f.client().ResolveManifest(t.Context(), image.MustParseReference("docker.io/library/alpine:3"), oci.Anonymous); err == nil {
		t.Error("it answered")
	}
}
