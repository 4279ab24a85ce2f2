package oci

import (
	"strings"
	"testing"
)

func TestTheNextPageIsOnTheSameRegistryWhateverTheLinkSays(t *testing.T) {
	for link, want := range map[string]string{
		`</v2/_catalog?n=2&last=b>; rel="next"`:               "/v2/_catalog?n=2&last=b",
		`<https://evil.example/v2/_catalog?last=x>; rel=next`: "/v2/_catalog?last=x",
		`<https://evil.example/steal>; rel="next"`:            "",
		`<//evil.example/v2/../../etc>; rel="next"`:           "/v2/../../etc",
		`</v2/_catalog>; rel="prev"`:                          "",
		"":                                                    "",
	} {
		if got := nextPage(link); got != want {
			t.Errorf("%s: %q, want %q", link, got, want)
		}
	}
}

func FuzzNextPage(f *testing.F) {
	f.Add(`</v2/_catalog?n=2&last=b>; rel="next"`)
	f.Fuzz(func(t *testing.T, link string) {
		if got := nextPage(link); got != "" && (!strings.HasPrefix(got, "/v2/") || strings.Contains(got, "://") && !strings.Contains(got, "?")) {
			t.Errorf("%q leads to %q", link, got)
		}
	})
}
