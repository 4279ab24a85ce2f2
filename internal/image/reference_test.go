package image

import (
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/fault"
)

const (
	someDigest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	longPart   = "0123456789012345678901234567890123456789012345678901234567890123" // 64 bytes
)

func TestImageNamesAreNormalisedAsDockerDoes(t *testing.T) {
	for _, test := range []struct{ name, want string }{
		{"ubuntu", "docker.io/library/ubuntu:latest"},
		{"ubuntu:22.04", "docker.io/library/ubuntu:22.04"},
		{"acme/x", "docker.io/acme/x:latest"},
		{"acme/team/x:v1", "docker.io/acme/team/x:v1"},
		{"docker.io/ubuntu", "docker.io/library/ubuntu:latest"},
		{"docker.io/library/ubuntu", "docker.io/library/ubuntu:latest"},
		{"index.docker.io/acme/x", "docker.io/acme/x:latest"},
		{"index.docker.io/ubuntu", "docker.io/library/ubuntu:latest"},
		{"registry-1.docker.io/acme/x", "docker.io/acme/x:latest"},
		{"Index.Docker.IO/acme/x", "docker.io/acme/x:latest"},
		{"GHCR.io/acme/train:V2", "ghcr.io/acme/train:V2"},
		{"myregistry.azurecr.io/ml-training:v2.0", "myregistry.azurecr.io/ml-training:v2.0"},
		{"registry:5000/x", "registry:5000/x:latest"},
		{"registry:5000/x:v1", "registry:5000/x:v1"},
		{"localhost/x", "localhost/x:latest"},
		{"LOCALHOST/x", "localhost/x:latest"},
		{"localhost:5000/a/b", "localhost:5000/a/b:latest"},
		{"10.0.0.1/x", "10.0.0.1/x:latest"},
		{"[::1]:5000/x:y", "[::1]:5000/x:y"},
		// Without a dot and a port, the first part is a user of the Hub.
		{"registry/x", "docker.io/registry/x:latest"},
		{"quay.io/u/foo@" + someDigest, "quay.io/u/foo@" + someDigest},
		{"quay.io/u/foo:v1@" + someDigest, "quay.io/u/foo:v1@" + someDigest},
		{"ubuntu@" + someDigest, "docker.io/library/ubuntu@" + someDigest},
		{"a__b/c-d/e.f/g---h", "docker.io/a__b/c-d/e.f/g---h:latest"},
	} {
		ref, err := ParseReference(test.name)
		if err != nil || ref.String() != test.want {
			t.Errorf("%q is %q (%v), want %q", test.name, ref, err, test.want)
		}
	}
}

func TestAReferenceGivesItsParts(t *testing.T) {
	type parts struct{ host, apiHost, repository, tag, digest, target, name string }
	for _, test := range []struct {
		name constant
		want parts
	}{
		{"ubuntu", parts{"docker.io", "registry-1.docker.io", "library/ubuntu", "latest", "", "latest", "docker.io/library/ubuntu"}},
		{"registry:5000/a/b:v1", parts{"registry:5000", "registry:5000", "a/b", "v1", "", "v1", "registry:5000/a/b"}},
		{"quay.io/u/foo@" + someDigest, parts{"quay.io", "quay.io", "u/foo", "", someDigest, someDigest, "quay.io/u/foo"}},
		{"quay.io/u/foo:v1@" + someDigest, parts{"quay.io", "quay.io", "u/foo", "v1", someDigest, someDigest, "quay.io/u/foo"}},
	} {
		r := MustParseReference(test.name)
		got := parts{r.Host(), r.APIHost(), r.Repository(), r.Tag(), r.Digest().String(), r.Target(), r.Name()}
		if got != test.want {
			t.Errorf("%s:\n got %q\nwant %q", test.name, got, test.want)
		}
	}
}

func TestAReferencePinnedToADigestKeepsItsTagForPeople(t *testing.T) {
	ref := MustParseReference("ghcr.io/acme/train:v2")
	pinned := ref.WithDigest(someDigest)
	if pinned.String() != "ghcr.io/acme/train:v2@"+someDigest || pinned.Target() != someDigest {
		t.Errorf("pinned it is %s and asks for %s", pinned, pinned.Target())
	}
	if ref.Target() != "v2" {
		t.Errorf("pinning changed the reference itself to %s", ref)
	}
}

func TestTheZeroReferenceNamesNothing(t *testing.T) {
	var zero Reference
	if !zero.IsZero() || zero.String() != "" || zero.Host() != "" || zero.Repository() != "" || zero.Tag() != "" {
		t.Errorf("the zero reference is %#v", zero)
	}
	if MustParsePattern("docker.io/*").Match(zero) {
		t.Error("a pattern covers the zero reference")
	}
}

func TestABadImageNameIsRefusedWithItsMend(t *testing.T) {
	for _, test := range []struct {
		because, name string
		message, hint string // parts of them
	}{
		{"it is empty", "", "must not be empty", "ghcr.io/acme/train"},
		{"it is too long", strings.Repeat("a", 1025), "at most 1024 bytes", "shorter"},
		{"it has a space", "ghcr.io/acme/ train", "no white space", `Write "ghcr.io/acme/train"`},
		{"it is a space", " ", "no white space", "ghcr.io/acme/train"},
		{"it has a line end", "ubuntu\n", "no white space", `Write "ubuntu"`},
		{"it has a control character", "ubuntu\x00", `'\x00'`, "letters"},
		{"it has a letter that only looks like one", "ghcr.io/аcme/x", `'\u0430'`, "letters"},
		{"it has a scheme", "https://ghcr.io/acme/x", "no scheme", `write "ghcr.io/acme/x"`},
		{"it has a user", "bob@ghcr.io/acme/x", "no user", `Write "ghcr.io/acme/x"`},
		{"its user part is upper case", "Acme/x", "upper-case", `write its full name`},
		{"its repository is upper case", "ghcr.io/Acme/x", "upper-case", `"acme/x"`},
		{"its repository is missing", "ghcr.io/", "the repository is missing", "HOST/REPOSITORY"},
		{"its repository ends with a slash", "acme/x/", "no repository", "lower-case"},
		{"its repository has an empty part", "acme//x", "no repository", "one `/`"},
		{"its repository begins with a dash", "acme/-x", "no repository", "lower-case"},
		{"its repository has three underscores", "acme/a___b", "no repository", "`__`"},
		{"its repository is too long", "ghcr.io/" + strings.Repeat("a", 256), "at most 255 bytes", "shorter"},
		{"its host is too long", strings.Repeat("a.", 130) + "io/x", "at most 255 bytes", "shorter"},
		{"its host has an underscore", "my_host.example/x", "no registry host", "HOST:PORT"},
		{"its host has an empty label", "a..example/x", "no registry host", "HOST:PORT"},
		{"its port is no number", "registry:http/x", "no registry host", "HOST:PORT"},
		{"its tag is empty", "ubuntu:", "no tag", "1 to 128"},
		{"its tag begins with a dot", "ubuntu:.a", "no tag", "1 to 128"},
		{"its tag is too long", "ubuntu:" + strings.Repeat("a", 129), "no tag", "1 to 128"},
		{"it has a wildcard", "ghcr.io/acme/*", "no repository", "lower-case"},
		{"its digest is short", "ubuntu@sha256:abc", "no digest", "64 hexadecimal"},
		{"its digest is upper case", "ubuntu@" + strings.ToUpper(someDigest), "", ""},
		{"its digest is empty", "ubuntu@", "", ""},
		{"it is an image's ID", longPart, "ID", "NAME@sha256:" + longPart},
	} {
		t.Run(test.because, func(t *testing.T) {
			ref, err := ParseReference(test.name)
			f := fault.From(err)
			if f == nil || f.Kind != fault.Invalid || f.Code != "image_name" || f.Hint == "" {
				t.Fatalf("%q gave %q and %#v", test.name, ref, f)
			}
			if !ref.IsZero() {
				t.Errorf("a refused name gave %q", ref)
			}
			if !strings.Contains(f.Message, test.message) || !strings.Contains(f.Hint, test.hint) {
				t.Errorf("%q: %q, want %q with %q", test.name, f.Sentence(), test.message, test.hint)
			}
		})
	}
}

func TestAPasswordInARefusedNameIsNotRepeated(t *testing.T) {
	for _, text := range []string{
		"bob:hunter2@ghcr.io/acme/x", "https://bob:hunter2@ghcr.io/acme/x", "bob:hunter2@ghcr.io/*",
		"https://bob:hunter2@ghcr.io", "bob:hunter2@ghcr.io",
	} {
		_, nameErr := ParseReference(text)
		_, patternErr := ParsePattern(text)
		for _, err := range []error{nameErr, patternErr} {
			if f := fault.From(err); f == nil || strings.Contains(f.Sentence()+f.Error()+f.Fields[0].Message, "hunter2") {
				t.Errorf("%q: %v", text, f)
			}
		}
	}
}

func TestAConstantThatIsNoImageNamePanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("it did not panic")
		}
	}()
	MustParseReference("a//b")
}
