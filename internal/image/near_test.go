package image

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAPatternThatAlmostCoversAnImageIsToldWithWhatDiffers(t *testing.T) {
	for _, test := range []struct {
		because, pattern string
		image            constant
		reason           string
	}{
		{
			"a character of the host is wrong", "myregistri.azurecr.io/*", "myregistry.azurecr.io/x",
			`the host differs: the pattern has "myregistri.azurecr.io", the image "myregistry.azurecr.io"`,
		},
		{
			"two characters of the host are swapped", "ghrc.io/acme/*", "ghcr.io/acme/x",
			`the host differs: the pattern has "ghrc.io", the image "ghcr.io"`,
		},
		{
			"a dot of the host is missing", "my.azurecr.example.io/*", "my.azurecrexample.io/x",
			`the host differs: the pattern has "my.azurecr.example.io", the image "my.azurecrexample.io"`,
		},
		{
			"a character of the path is missing", "ghcr.io/acme/trai", "ghcr.io/acme/train",
			`the path differs: the pattern has "acme/trai", the image "acme/train"`,
		},
		{
			"a character of the path is too many", "ghcr.io/accme/*", "ghcr.io/acme/train",
			`the path differs: the pattern has "accme/*", the image "acme/train"`,
		},
		{
			"the path needs one more level", "ghcr.io/acme/*/x", "ghcr.io/acme/x",
			`the path differs: the pattern has "acme/*/x", the image "acme/x"`,
		},
		{
			"a question mark finds no character", "ghcr.io/acme/x?", "ghcr.io/acme/x",
			`the path differs: the pattern has "acme/x?", the image "acme/x"`,
		},
		{
			"a character of the tag is wrong", "ghcr.io/acme/x:v1", "ghcr.io/acme/x:v2",
			`the tag differs: the pattern has "v1", the image "v2"`,
		},
		{
			"the tag is quite another", "ghcr.io/acme/x:v*", "ghcr.io/acme/x",
			`the tag differs: the pattern has "v*", the image "latest"`,
		},
		{
			"the image has no tag", "ghcr.io/acme/x:v1", "ghcr.io/acme/x@" + someDigest,
			`the image is named by its digest alone, and the pattern asks for the tag "v1"`,
		},
		{
			"the image's host has a label more", "*.azurecr.io/*", "a.b.azurecr.io/x",
			"the pattern's host has one label less: the pattern has \"*.azurecr.io\", the image \"a.b.azurecr.io\", and a `*` in a host crosses no dot",
		},
		{
			"an exact host has a label less", "gcr.io/acme/*", "us.gcr.io/acme/x",
			`the pattern's host has one label less: the pattern has "gcr.io", the image "us.gcr.io"`,
		},
		{
			"the pattern's host has a label more", "*.azurecr.io/*", "azurecr.io/x",
			`the pattern's host has one label more: the pattern has "*.azurecr.io", the image "azurecr.io"`,
		},
		{
			"the pattern names no port", "registry.example.com/*", "registry.example.com:5000/x",
			"the port differs: the pattern names none, the image has 5000",
		},
		{
			"the pattern names another port", "registry.example.com:443/*", "registry.example.com:5000/x",
			"the port differs: the pattern has 443, the image has 5000",
		},

		{"the image is covered", "ghcr.io/acme/*", "ghcr.io/acme/x", ""},
		{"two characters are wrong", "ghcr.io/acme/tarin2", "ghcr.io/acme/train", ""},
		{"host and path are both wrong", "ghcr.io/acme/x", "ghcr.oi/acme/y", ""},
		{"path and tag are both wrong", "ghcr.io/acme/x:v1", "ghcr.io/acme/y:v2", ""},
		{"a label and the path are wrong", "gcr.io/acme/x", "us.gcr.io/acme/y", ""},
		{"two labels are too many", "gcr.io/acme/x", "a.us.gcr.io/acme/x", ""},
		{"the repository only begins alike", "quay.io/u/foo", "quay.io/u/foo-more", ""},
	} {
		t.Run(test.because, func(t *testing.T) {
			reason := ""
			for _, m := range patterns(t, test.pattern).Near(MustParseReference(test.image)) {
				if m.Value != test.pattern {
					t.Errorf("the value is %q", m.Value)
				}
				reason = m.Reason
			}
			if reason != test.reason {
				t.Errorf("%s and %s:\n got %s\nwant %s", test.pattern, test.image, reason, test.reason)
			}
		})
	}
}

func TestTheNearestFiveAreTold(t *testing.T) {
	x := patterns(t,
		"ghcr.io/acme/x:release", "eu.ghcr.io/acme/x", "ghcr.io/acme/*:stable", "ghcr.io/acme/x:v1",
		"ghcr.io:443/acme/x", "ghcr.io/acm/*", "ghrc.io/acme/*", "ghcr.io/acme/x", "quay.io/*")
	var got []string
	for _, m := range x.Near(MustParseReference("ghcr.io/acme/x:v2")) {
		got = append(got, m.Value)
	}
	want := []string{"ghcr.io/acme/x:v1", "ghrc.io/acme/*", "ghcr.io/acm/*", "ghcr.io:443/acme/x", "eu.ghcr.io/acme/x"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestNothingIsNearNoImage(t *testing.T) {
	if near := patterns(t, "ghcr.io/*").Near(Reference{}); len(near) != 0 {
		t.Errorf("%v", near)
	}
}

// TestEditsAreCountedAsTryingEveryEditWould compares the table behind edits with
// the plain matcher on every text that is one edit away.
func TestEditsAreCountedAsTryingEveryEditWould(t *testing.T) {
	random := rand.New(rand.NewPCG(4, 5))
	for range 10_000 {
		pattern, text := letters(random, "aab./**?", 6), letters(random, "aab./", 6)
		for _, fence := range []string{"\x00", "."} {
			matches := func(text string) bool { return plainGlob(pattern, text, fence) }
			want, swapped := 2, 2
			switch {
			case matches(text):
				want, swapped = 0, 0
			case slices.ContainsFunc(editsOf(text, "ab./"), matches):
				want, swapped = 1, 1
			case slices.ContainsFunc(swapsOf(text), matches):
				swapped = 1
			}
			if literals(pattern) == len(pattern) {
				want = swapped
			}
			if got := edits(pattern, text, fence[0]); got != want && got != swapped {
				t.Fatalf("%q and %q, fence %q: %d edits, want %d", pattern, text, fence, got, want)
			}
		}
	}
}

// editsOf is every text with one character more, less, or another.
func editsOf(text, alphabet string) []string {
	var all []string
	for i := range len(text) + 1 {
		for _, letter := range strings.Split(alphabet, "") {
			all = append(all, text[:i]+letter+text[i:])
			if i < len(text) {
				all = append(all, text[:i]+letter+text[i+1:])
			}
		}
		if i < len(text) {
			all = append(all, text[:i]+text[i+1:])
		}
	}
	return all
}

// swapsOf is every text with two neighbours swapped.
func swapsOf(text string) []string {
	var all []string
	for i := range len(text) - 1 {
		all = append(all, text[:i]+text[i+1:i+2]+text[i:i+1]+text[i+2:])
	}
	return all
}
