package browsertest_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/browsertest"
)

func TestASeriousFaultOfAccessibilityFailsTheTest(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body string
		want []string
	}{
		"no label":      {`<input name="x">`, []string{"axe: label (critical)", `<input name="x">`, "https://dequeuniversity.com/rules/axe/"}},
		"no name":       {`<button></button>`, []string{"axe: button-name (critical)", "<button></button>"}},
		"no contrast":   {`<p style="color: #999; background: #fff">pale</p>`, []string{"axe: color-contrast (serious)", "pale"}},
		"no other text": {`<img src="data:,">`, []string{"axe: image-alt (critical)", "<img"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := site{"/": c.body}.serve(t)
			for _, scripts := range []bool{true, false} {
				said := failure(t, func(b *browsertest.Browser) {
					if !scripts {
						b.NoScript()
					}
					b.Visit(url)
					b.Axe()
				})
				wants(t, said, c.want...)
				if strings.Contains(said, "complained") {
					t.Error(said)
				}
			}
		})
	}
}

func TestAPageWithoutFaultsPassesUnderTheStrictestPolicy(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'none'; require-trusted-types-for 'script'; trusted-types 'none'; sandbox allow-scripts allow-same-origin allow-forms")
		page(w, form)
	}))
	defer server.Close()
	b := browsertest.New(t)
	b.Visit(server.URL)
	b.Axe()
	b.Axe()
}

func TestOnlyThatPartOfThePageIsAskedAbout(t *testing.T) {
	t.Parallel()
	url := site{"/": `<section aria-label="Good"><p>fine</p></section><section aria-label="Bad"><input></section>`}.serve(t)
	said := failure(t, func(b *browsertest.Browser) { b.Visit(url); b.In("region", "Good").Axe() })
	if said != "" {
		t.Error(said)
	}
	wants(t, failure(t, func(b *browsertest.Browser) { b.Visit(url); b.In("region", "Bad").Axe() }), "axe: label (critical)")
}
