package image

import (
	"slices"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/fault"
)

func TestPatternsAreNormalisedAsImageNamesAre(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"myregistry.azurecr.io", "myregistry.azurecr.io/*"},
		{"myregistry.azurecr.io/", "myregistry.azurecr.io/*"},
		{"myregistry.azurecr.io/*", "myregistry.azurecr.io/*"},
		{"MyRegistry.AzureCR.io/*", "myregistry.azurecr.io/*"},
		{"localhost", "localhost/*"},
		{"localhost:5000", "localhost:5000/*"},
		{"registry:5000", "registry:5000/*"},
		{"registry:5000/", "registry:5000/*"},
		{"[::1]:5000/x", "[::1]:5000/x"},
		{"index.docker.io/acme/*", "docker.io/acme/*"},
		{"registry-1.docker.io/*", "docker.io/*"},
		{"docker.io", "docker.io/*"},
		{"docker.io/ubuntu", "docker.io/library/ubuntu"},
		{"docker.io/ubuntu:22.*", "docker.io/library/ubuntu:22.*"},
		{"ubuntu", "docker.io/library/ubuntu"},
		{"ubuntu:22.04", "docker.io/library/ubuntu:22.04"},
		{"acme/x", "docker.io/acme/x"},
		{"acme/*", "docker.io/acme/*"},
		{"docker.io/u*", "docker.io/u*"},
		{"*.azurecr.io", "*.azurecr.io/*"},
		{"**.azurecr.io/a***b:v**", "*.azurecr.io/a*b:v*"},
		{"ghcr.io/acme/x:V1", "ghcr.io/acme/x:V1"},
		{"ghcr.io/acme/x:*-gpu", "ghcr.io/acme/x:*-gpu"},
	} {
		p, err := ParsePattern(test.text)
		if err != nil || p.String() != test.want {
			t.Errorf("%q is %q (%v), want %q", test.text, p, err, test.want)
		}
	}
}

func TestAPatternCoversWhatItSaysAndNothingElse(t *testing.T) {
	for _, test := range []struct {
		pattern         constant
		covered, spared []string
	}{
		{
			"myregistry.azurecr.io/*",
			[]string{"myregistry.azurecr.io/a", "myregistry.azurecr.io/a/b", "myregistry.azurecr.io/a/b/c:v1", "MYREGISTRY.azurecr.io/a", "myregistry.azurecr.io/a@" + someDigest},
			[]string{"myregistry.azurecr.io:443/a", "myregistry.azurecr.io.evil.example/a", "evil-myregistry.azurecr.io/a", "amyregistry.azurecr.io/a", "a.myregistry.azurecr.io/a", "docker.io/myregistry.azurecr.io/a"},
		},
		{
			"docker.io/*",
			[]string{"ubuntu", "acme/x", "docker.io/acme/x", "index.docker.io/acme/x", "registry-1.docker.io/acme/x"},
			[]string{"ghcr.io/acme/x", "docker.io.evil.example/x", "notdocker.io/x", "localhost/docker.io/x"},
		},
		{
			"docker.io/myusername/*",
			[]string{"myusername/x", "index.docker.io/myusername/x/y:v1"},
			[]string{"ubuntu", "myusernames/x", "other/myusername/x", "ghcr.io/myusername/x"},
		},
		{
			"gcr.io/my-project/my-registry:*",
			[]string{"gcr.io/my-project/my-registry", "gcr.io/my-project/my-registry:v1", "gcr.io/my-project/my-registry@" + someDigest},
			[]string{"gcr.io/my-project/my-registry/x", "gcr.io/my-project/my-registry2:v1", "us.gcr.io/my-project/my-registry:v1"},
		},
		{
			"123456789012.dkr.ecr.us-east-1.amazonaws.com/my-repo/*",
			[]string{"123456789012.dkr.ecr.us-east-1.amazonaws.com/my-repo/a", "123456789012.dkr.ecr.us-east-1.amazonaws.com/my-repo/a/b:v1"},
			[]string{"123456789012.dkr.ecr.us-east-1.amazonaws.com/my-repo", "123456789012.dkr.ecr.eu-west-1.amazonaws.com/my-repo/a", "123456789012.dkr.ecr.us-east-1.amazonaws.com.cn/my-repo/a"},
		},
		{
			"us-central1-docker.pkg.dev/my-project/ml-images/*",
			[]string{"us-central1-docker.pkg.dev/my-project/ml-images/train"},
			[]string{"us-central1-docker.pkg.dev/my-project/other/train", "europe-west1-docker.pkg.dev/my-project/ml-images/train"},
		},
		{
			"*-docker.pkg.dev/my-project/*",
			[]string{"us-central1-docker.pkg.dev/my-project/x", "europe-docker.pkg.dev/my-project/a/b"},
			[]string{"docker.pkg.dev/my-project/x", "a.us-docker.pkg.dev/my-project/x", "us-docker.pkg.dev/my-projects/x"},
		},
		{
			"*.azurecr.io/*",
			[]string{"myregistry.azurecr.io/x", "other.azurecr.io/a/b"},
			[]string{"azurecr.io/x", "a.b.azurecr.io/x", "myregistry.azurecr.io.evil.example/x", "myregistry.azurecr.io:5000/x", "myregistryazurecr.io/x"},
		},
		{
			"123456789012.dkr.ecr.*.amazonaws.com/*",
			[]string{"123456789012.dkr.ecr.us-east-1.amazonaws.com/x"},
			[]string{"123456789012.dkr.ecr.us.east.amazonaws.com/x", "123456789012.dkr.ecr.us-east-1.amazonaws.com.cn/x"},
		},
		{
			"quay.io/u/foo",
			[]string{"quay.io/u/foo", "quay.io/u/foo:v1", "quay.io/u/foo@" + someDigest, "quay.io/u/foo:v1@" + someDigest},
			[]string{"quay.io/u/foo-more", "quay.io/u/foo/bar", "quay.io/u/fo", "quay.io/x/u/foo", "quay.io/u"},
		},
		{
			"quay.io/u/foo*",
			[]string{"quay.io/u/foo", "quay.io/u/foo-more", "quay.io/u/foo/bar"},
			[]string{"quay.io/u/fo", "quay.io/u/xfoo"},
		},
		{
			"quay.io/u/t?ain",
			[]string{"quay.io/u/train", "quay.io/u/t-ain"},
			[]string{"quay.io/u/tain", "quay.io/u/trrain", "quay.io/u/t/ain"},
		},
		{
			"quay.io/*/train",
			[]string{"quay.io/u/train", "quay.io/u/v/train:v1"},
			[]string{"quay.io/train", "quay.io/u/training"},
		},
		{
			"quay.io/u/foo:v1",
			[]string{"quay.io/u/foo:v1", "quay.io/u/foo:v1@" + someDigest},
			[]string{"quay.io/u/foo", "quay.io/u/foo:v10", "quay.io/u/foo:V1", "quay.io/u/foo@" + someDigest},
		},
		{
			"quay.io/u/*:v?.*",
			[]string{"quay.io/u/foo:v1.2", "quay.io/u/foo/bar:v2."},
			[]string{"quay.io/u/foo:v10.2", "quay.io/u/foo@" + someDigest, "quay.io/u/foo"},
		},
		{
			"quay.io/u/foo:latest",
			[]string{"quay.io/u/foo", "quay.io/u/foo:latest"},
			[]string{"quay.io/u/foo@" + someDigest},
		},
		{
			"registry:5000/*",
			[]string{"registry:5000/x", "REGISTRY:5000/a/b"},
			[]string{"registry:5001/x", "registry:50000/x", "registry/x", "registry.example:5000/x"},
		},
		{
			"registry.example.com",
			[]string{"registry.example.com/x"},
			[]string{"registry.example.com:5000/x"},
		},
		{
			"ubuntu",
			[]string{"ubuntu", "docker.io/library/ubuntu:22.04", "docker.io/ubuntu"},
			[]string{"acme/ubuntu", "ubuntu/x"},
		},
	} {
		p := MustParsePattern(test.pattern)
		for _, name := range slices.Concat(test.covered, test.spared) {
			ref, err := ParseReference(name)
			if err != nil {
				t.Fatal(err)
			}
			want := slices.Contains(test.covered, name)
			if got := p.Match(ref); got != want {
				t.Errorf("%s covers %s: %v, want %v", p, ref, got, want)
			}
			agree(t, indexOf([]candidate{{pattern: p}}), []candidate{{pattern: p}}, ref)
		}
	}
}

func TestAPatternThatSaysTooMuchOrNothingIsRefusedWithItsMend(t *testing.T) {
	for _, test := range []struct {
		because, text string
		code          string
		words         string // a part of message and hint
	}{
		{"it is empty", "", "pattern_empty", "Write one"},
		{"it is too long", strings.Repeat("a", 513), "pattern_long", "at most 512 bytes"},
		{"it has a scheme", "https://ghcr.io/acme/*", "pattern_scheme", `write "ghcr.io/acme/*"`},
		{"it has another scheme", "oci://ghcr.io", "pattern_scheme", `write "ghcr.io"`},
		{"it has a digest", "ghcr.io/acme/x@" + someDigest, "pattern_digest", `Write "ghcr.io/acme/x"`},
		{"it has a tag and a digest", "ghcr.io/acme/x:v1@" + someDigest, "pattern_digest", `Write "ghcr.io/acme/x:v1"`},
		{"it has white space", "ghcr.io/acme/* ", "pattern_white_space", `Write "ghcr.io/acme/*"`},
		{"it has a tab", "ghcr.io/\tacme", "pattern_white_space", `Write "ghcr.io/acme"`},
		{"it has a control character", "ghcr.io/\x01", "pattern_character", `'\x01'`},
		{"it has a foreign letter", "ghcr.io/ä", "pattern_character", `'\u00e4'`},
		{"it has a bracket expression", "ghcr.io/[ab]*", "pattern_character", "wildcards"},
		{"it has a user", "bob:x@ghcr.io/*", "pattern_user", `Write "ghcr.io/*"`},
		{"its host is a star", "*", "pattern_host_wildcard", "every registry"},
		{"its host is a star with a path", "*/acme/x", "pattern_host_wildcard", "every registry"},
		{"its host is two stars", "**/x", "pattern_host_wildcard", "every registry"},
		{"its last label is a star", "ghcr.*/acme/*", "pattern_host_wildcard", "last two labels"},
		{"its last label is in part a star", "ghcr.i*/acme/*", "pattern_host_wildcard", "last two labels"},
		{"its last but one label is a star", "*.io/acme/*", "pattern_host_wildcard", "last two labels"},
		{"its last but one label is in part a star", "reg.my*.io/*", "pattern_host_wildcard", "last two labels"},
		{"its last labels are stars", "ghcr.*.*/x", "pattern_host_wildcard", "last two labels"},
		{"its only label has a star", "local*:5000/x", "pattern_host_wildcard", "last two labels"},
		{"its host has a question mark", "gh?r.example.io/x", "pattern_host", "`*` for all or part"},
		{"its host has an underscore", "my_host.example/x", "pattern_host", "no registry host"},
		{"its host has an empty label", "a..b.io/x", "pattern_host", "no registry host"},
		{"its host is too long", strings.Repeat("a.", 130) + "io/x", "pattern_host", "at most 255 bytes"},
		{"its port is a star", "registry.example.com:*/x", "pattern_port", "without a wildcard"},
		{"its port is too large", "registry.example.com:70000/x", "pattern_port", "65535"},
		{"its port is a tag", "registry.example.com:v1", "pattern_port", "HOST/PATH:TAG"},
		{"its path begins with a slash", "ghcr.io//x", "pattern_path", "no repository"},
		{"its path ends with a slash", "ghcr.io/acme/", "pattern_path", `Write "ghcr.io/acme/*"`},
		{"its path with a wildcard ends with a slash", "ghcr.io/ac*/", "pattern_path", "empty part"},
		{"its path is missing before the tag", "ghcr.io/:v1", "pattern_path", "missing"},
		{"its path is too long", "ghcr.io/" + strings.Repeat("a", 256), "pattern_path", "at most 255 bytes"},
		{"its path is too long in the Hub's library", strings.Repeat("a", 250), "pattern_path", "at most 255 bytes"},
		{"it is too long with the Hub's name", strings.Repeat("a*", 254), "pattern_long", "at most 512 bytes"},
		{"its path is upper case", "ghcr.io/Acme/*", "pattern_upper_case", `"acme/*"`},
		{"its user part is upper case", "Acme/x", "pattern_upper_case", "full name"},
		{"its tag is empty", "ghcr.io/acme/x:", "pattern_tag", "1 to 128"},
		{"its tag has a slash", "ghcr.io/acme/x:v1/y", "pattern_tag", "1 to 128"},
		{"its tag begins with a dash", "ghcr.io/acme/x:-v*", "pattern_tag", "begins with none"},
		{"it has two tags", "ghcr.io/acme/x:v1:v2", "pattern_tag", "1 to 128"},
	} {
		t.Run(test.because, func(t *testing.T) {
			p, err := ParsePattern(test.text)
			f := fault.From(err)
			if f == nil || f.Kind != fault.Invalid || f.Hint == "" {
				t.Fatalf("%q gave %q and %#v", test.text, p, f)
			}
			if f.Code != test.code || len(f.Fields) != 1 || f.Fields[0].Name != "image_patterns" || f.Fields[0].Code != test.code {
				t.Errorf("%q is refused as %s in %v, want %s", test.text, f.Code, f.Fields, test.code)
			}
			if !strings.Contains(f.Sentence(), test.words) {
				t.Errorf("%q: %q, want %q in it", test.text, f.Sentence(), test.words)
			}
			if !p.IsZero() {
				t.Errorf("a refused pattern gave %q", p)
			}
		})
	}
}

func TestAMendedPatternIsTaken(t *testing.T) {
	for _, text := range []string{"https://ghcr.io/acme/*", "ghcr.io/acme/x@" + someDigest, "ghcr.io/ acme/*", "ghcr.io/acme/", "GHCR.io/Acme"} {
		_, err := ParsePattern(text)
		f := fault.From(err)
		if f == nil {
			t.Fatalf("%q is taken", text)
		}
		quoted := strings.Split(f.Hint, `"`)
		if len(quoted) < 3 {
			t.Fatalf("the hint %q writes out nothing", f.Hint)
		}
		if _, err := ParsePattern(quoted[len(quoted)-2]); err != nil {
			t.Errorf("%q: the hint %q leads to %v", text, f.Hint, err)
		}
	}
}

func TestTheZeroPatternCoversNothing(t *testing.T) {
	var zero Pattern
	if !zero.IsZero() || zero.Match(MustParseReference("ubuntu")) || zero.Match(Reference{}) {
		t.Error("it covers something")
	}
	x := NewIndex[int]()
	x.Add(zero, 0, 1)
	if _, ok := x.Lookup(MustParseReference("ubuntu")); ok || x.Len() != 0 {
		t.Error("the index took it")
	}
}

func TestAConstantThatIsNoPatternPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("it did not panic")
		}
	}()
	MustParsePattern("*")
}
