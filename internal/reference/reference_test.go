package reference_test

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/reference"
)

// small is a document with a shape that is in itself, a text that a page must not
// take for its own, and a body that is no JSON.
const small = `{"openapi":"3.1.0","info":{"title":"Fairlead","version":"1.2.3","description":"First.\n\nSecond."},
"paths":{
 "/api/v0/trees/{tree}/":{"get":{"operationId":"get-tree","summary":"A <b>tree</b>","description":"Says what it is\n\nWho may: Gardeners.","tags":["trees"],"security":[{"token":[]}],
  "x-who-may":"Gardeners.","x-errors":[{"status":404,"code":"tree_unknown"}],
  "parameters":[{"name":"tree","in":"path","required":true,"description":"Its id","schema":{"type":"string"}},{"name":"depth","in":"query","required":true,"schema":{"type":"integer","minimum":1,"description":"How deep"}}],
  "responses":{"200":{"description":"OK","content":{"application/json":{"schema":{"$ref":"#/components/schemas/Tree"}}}},"default":{"description":"Error"}}}},
 "/api/v0/trees/":{"post":{"operationId":"post-trees","summary":"Plant one","tags":["trees"],"requestBody":{"content":{"application/json":{"schema":{"$ref":"#/components/schemas/Tree"}}}},"responses":{"204":{"description":"No Content"}}},
  "put":{"operationId":"put-trees","summary":"Send one","requestBody":{"content":{"application/octet-stream":{"schema":{"type":"string","format":"binary"}}}},"responses":{}}}},
"components":{"schemas":{"Tree":{"type":"object","description":"Grows","required":["kind","name"],"properties":{
 "name":{"type":"string","description":"It's <i>name</i>"},"kind":{"type":"string","enum":["oak","","fir"]},"planted":{"type":["string","null"],"format":"date-time"},
 "branches":{"type":["array","null"],"items":{"$ref":"#/components/schemas/Tree"}},"leaves":{"type":"object","additionalProperties":{"type":"integer"}},"any":{}}},
 "Loop":{"$ref":"#/components/schemas/Loop"}}}}`

func get(t *testing.T, path string, header http.Header) *http.Response {
	t.Helper()
	pages, err := reference.New([]byte(small))
	if err != nil {
		t.Fatal(err)
	}
	request := httptest.NewRequest(http.MethodGet, path, nil)
	for name, values := range header {
		request.Header[name] = values
	}
	recorder := httptest.NewRecorder()
	pages.ServeHTTP(recorder, request)
	return recorder.Result()
}

func read(t *testing.T, r io.Reader) string {
	t.Helper()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestAnOperationsPageSaysAllThatTheDocumentDoes(t *testing.T) {
	text := read(t, get(t, "/docs/api/operations/get-tree/", nil).Body)
	for _, want := range []string{
		"A &lt;b&gt;tree&lt;/b&gt;", "/api/v0/trees/{tree}/", "Gardeners.", "tree_unknown", "404 Not Found", "Its id.", "How deep.", "At least 1.",
		"One of: oak, empty, fir.", "time or null", "list of Tree or null", "map of integer", "any value", `href="/docs/api/schemas/Tree/"`,
		`/api/v0/trees/TREE/?depth=DEPTH`, "Authorization: Bearer $FAIRLEAD_TOKEN",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page has no %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "Who may: ") {
		t.Error("it says twice who may")
	}
}

func TestAnExampleHasTheFieldsThatMustBeThere(t *testing.T) {
	for path, want := range map[string]string{
		"post-trees": `-d &#39;{&#34;kind&#34;:&#34;oak&#34;,&#34;name&#34;:&#34;…&#34;}&#39;`, "put-trees": "--data-binary @FILE",
	} {
		if text := read(t, get(t, "/docs/api/operations/"+path+"/", nil).Body); !strings.Contains(text, want) {
			t.Errorf("the page of %s has no %q:\n%s", path, want, text)
		}
	}
}

func TestAPageThatTheBrowserHasIsNotSentAgain(t *testing.T) {
	first := get(t, "/docs/api/", nil)
	tag := first.Header.Get("ETag")
	again := get(t, "/docs/api/", http.Header{"If-None-Match": {tag}})
	if tag == "" || again.StatusCode != http.StatusNotModified || read(t, again.Body) != "" {
		t.Errorf("with the tag %q it is answered with %s", tag, again.Status)
	}
	packed := get(t, "/docs/api/", http.Header{"Accept-Encoding": {"br, gzip;q=0.8"}})
	if packed.Header.Get("ETag") == tag || packed.Header.Get("Content-Encoding") != "gzip" || packed.Header.Get("Vary") != "Accept-Encoding" {
		t.Errorf("packed it has the headers %v", packed.Header)
	}
	z, err := gzip.NewReader(packed.Body)
	if err != nil {
		t.Fatal(err)
	}
	if plain := read(t, first.Body); read(t, z) != plain {
		t.Error("unpacked it is another page")
	}
	if refused := get(t, "/docs/api/", http.Header{"Accept-Encoding": {"gzip;q=0"}}); refused.Header.Get("Content-Encoding") != "" {
		t.Error("it is packed for who takes no gzip")
	}
}

func TestEveryAnswerHasThePolicy(t *testing.T) {
	for path, status := range map[string]int{
		"/docs/api/": 200, "/docs/api/style.css": 200, "/docs/api/schemas/": 200, "/docs/api/schemas/Tree/": 200, "/docs/api/schemas/Loop/": 200, "/docs/api/?q=grows": 200,
		"/docs/api/nothing": 404, "/docs/api/operations/x/": 404, "/docs/api/schemas/x/": 404,
	} {
		response := get(t, path, nil)
		if response.StatusCode != status {
			t.Errorf("%s is answered with %s", path, response.Status)
		}
		if policy := response.Header.Get("Content-Security-Policy"); policy != "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'" {
			t.Errorf("%s has the policy %q", path, policy)
		}
	}
}

func TestTheStylesheetHasAColourForEveryUseInLightAndDark(t *testing.T) {
	style := read(t, get(t, "/docs/api/style.css", nil).Body)
	for _, name := range []string{"--bg", "--fg", "--muted", "--accent", "--border", "--surface"} {
		if count := strings.Count(style, name+": #"); count != 2 {
			t.Errorf("%s is set %d times", name, count)
		}
	}
	if strings.Contains(style, "url(") || strings.Contains(style, "@import") {
		t.Error("the stylesheet loads something else")
	}
}

func TestADocumentThatCannotBeShownIsRefused(t *testing.T) {
	for _, text := range []string{
		``, `[]`, `{}`, `{"paths":{"/x/":{"get":{}}}}`, `{"paths":{"/x/":{"get":{"operationId":"a/b"}}}}`,
		`{"paths":{"/x/":{"get":{"operationId":"a"},"put":{"operationId":"a"}}}}`, `{"paths":{"/x/":{"get":7}}}`,
		`{"paths":{"/x/":{"get":{"operationId":"a"}}},"components":{"schemas":{"..":{}}}}`,
	} {
		if _, err := reference.New([]byte(text)); err == nil {
			t.Errorf("%s is taken", text)
		}
	}
}

func FuzzNew(f *testing.F) {
	f.Add([]byte(small), "tree")
	f.Add([]byte(`{"paths":{"/x/":{"get":{"operationId":"a","responses":{"200":{"content":{"x":{}}}}}}},"components":{"schemas":{"A":{"items":{"$ref":"#/components/schemas/A"}}}}}`), "a")
	f.Fuzz(func(t *testing.T, document []byte, query string) {
		pages, err := reference.New(document)
		if err != nil {
			return
		}
		for _, path := range []string{"", "schemas/", "operations/a/", "operations/get-tree/", "schemas/A/", "schemas/Tree/"} {
			request := httptest.NewRequest(http.MethodGet, "/docs/api/"+path, nil)
			request.URL.RawQuery = "q=" + query
			recorder := httptest.NewRecorder()
			pages.ServeHTTP(recorder, request)
			if recorder.Code >= http.StatusInternalServerError {
				t.Errorf("%s is answered with %d", path, recorder.Code)
			}
		}
	})
}
