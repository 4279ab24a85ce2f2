package oci

import (
	"net/url"
	"strings"
	"testing"
)

func TestTheNextPageIsOfTheSameListWhateverTheLinkSays(t *testing.T) {
	for link, want := range map[string]string{
		`</v2/_catalog?n=2&last=b>; rel="next"`:               "last=b&n=2",
		`</v2/_catalog?last=a%2Fb&n=2>; rel=next`:             "last=a%2Fb&n=2",
		`<https://evil.example/v2/_catalog?last=x>; rel=next`: "last=x",
		`<//evil.example/v2/../../etc?last=x y>;rel="next"`:   "last=x+y",
		`<https://evil.example/steal>; rel="next"`:            "",
		`</v2/_catalog?last=b>; rel="prev"`:                   "",
		`</v2/_catalog?last=b`:                                "",
		`<` + strings.Repeat("x", 2000) + `?a=b>; rel="next"`: "",
		"": "",
	} {
		if got := nextPage(link); got != want {
			t.Errorf("%s: %q, want %q", link, got, want)
		}
	}
}

func FuzzNextPage(f *testing.F) {
	f.Add(`</v2/_catalog?n=2&last=b>; rel="next"`)
	f.Add(`<//evil.example/?a=%zz#x>; rel=next`)
	f.Fuzz(func(t *testing.T, link string) {
		got := nextPage(link)
		address, err := url.Parse("https://registry.example.com/v2/_catalog?" + got)
		if err != nil || address.Host != "registry.example.com" || address.Path != "/v2/_catalog" || address.RawQuery != got || address.Fragment != "" {
			t.Errorf("%q leads to %v (%v)", link, address, err)
		}
	})
}

func FuzzListing(f *testing.F) {
	f.Add(`{"repositories":["acme/train"]}`)
	f.Add(`{"name":"acme/train","tags":null}`)
	f.Add(`[]`)
	f.Fuzz(func(t *testing.T, body string) {
		if page, err := readListing(strings.NewReader(body)); err != nil && (page.Repositories != nil || page.Tags != nil) {
			t.Errorf("%q is an error and %v", body, page)
		}
	})
}
