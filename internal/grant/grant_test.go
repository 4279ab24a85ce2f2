package grant_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/grant"
	"fairlead.dev/fairlead/internal/grant/granttest"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/secret"
)

// password is of the form that Docker Hub's tokens have, so that every kind
// takes it.
const password = "dckr_pat_hunter2hunter2"

// begin is when every grant of the tests is issued.
var begin = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// setting is a fake registry with the user acme, who may pull acme/train, and
// a catalogue that reaches it.
type setting struct {
	*granttest.Registry
	transport *oci.Transport
	catalogue *grant.Catalogue
	kind      string
	material  grant.Material
	log       *bytes.Buffer
}

func newSetting(t *testing.T, options granttest.Options) setting {
	t.Helper()
	r := granttest.New(t, options)
	r.AddUser("acme", password, granttest.Pull("acme/train"))
	for _, repository := range []string{"acme/train", "acme/secret"} {
		if _, err := r.Push(t.Context(), repository, "v1", randomImage(t)); err != nil {
			t.Fatal(err)
		}
	}
	s := setting{Registry: r, transport: granttest.NewTransport(t, r), log: new(bytes.Buffer)}
	s.catalogue = grant.NewCatalogue(grant.Config{
		Transport: s.transport,
		Now:       func() time.Time { return begin },
		Logger:    slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	switch options.Kind {
	case granttest.DockerHub:
		s.kind = "docker-hub"
	case granttest.JFrog:
		s.kind = "jfrog"
	default:
		s.kind = "generic"
	}
	s.material = materialOf(s.kind, "acme", password)
	t.Cleanup(func() {
		if repeatsSecret(s.log.String()) {
			t.Errorf("the log repeats the secret:\n%s", s.log)
		}
	})
	return s
}

func materialOf(kind, user, secretText string) grant.Material {
	field := "access_token"
	if kind == "generic" {
		field = "password"
	}
	return grant.Material{
		Config:  map[string]string{"username": user},
		Secrets: map[string]secret.Text{field: secret.New(secretText)},
	}
}

// with is the material with one open field more.
func (s setting) with(name, value string) grant.Material {
	m := s.material
	m.Config = maps.Clone(m.Config)
	m.Config[name] = value
	return m
}

func randomImage(t *testing.T) v1.Image {
	t.Helper()
	image, err := random.Image(1024, 1)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func (s setting) image(t *testing.T, path string) image.Reference {
	t.Helper()
	ref, err := image.ParseReference(s.Host() + "/" + path)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// issue normalises the material and trades it for a grant to pull an image.
func (s setting) issue(t *testing.T, material grant.Material, path string) (grant.Grant, error) {
	t.Helper()
	normal, _, err := s.catalogue.Normalise(s.kind, material)
	if err != nil {
		t.Fatal(err)
	}
	return s.catalogue.Issue(t.Context(), s.kind, grant.Request{Image: s.image(t, path), Material: normal})
}

// manifest reads an image's manifest with what a grant shows.
func (s setting) manifest(t *testing.T, path string, authorization oci.Authorization) error {
	t.Helper()
	_, _, err := oci.NewClient(s.transport.For(s.Host())).Manifest(t.Context(), s.image(t, path), authorization)
	return err
}

// wantFault checks the code of an error, and that its texts hold no secret.
func wantFault(t *testing.T, err error, kind fault.Kind, code string) *fault.Error {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %s", code)
	}
	f := fault.From(err)
	if f.Kind != kind || f.Code != code {
		t.Errorf("got %s %s (%v), want %s %s", f.Kind, f.Code, err, kind, code)
	}
	if texts := fmt.Sprintf("%v %+v %s", err, f.Fields, f.Sentence()); repeatsSecret(texts) {
		t.Errorf("the error repeats the secret: %s", texts)
	}
	return f
}

// repeatsSecret reports whether a text holds the password, a part of it, or the
// header that shows it.
func repeatsSecret(text string) bool {
	return strings.Contains(text, "hunter2") ||
		strings.Contains(text, base64.StdEncoding.EncodeToString([]byte("acme:"+password)))
}
