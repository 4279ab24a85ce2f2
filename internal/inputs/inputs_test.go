package inputs_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/inputs"
)

const (
	text    = "0123456789"
	textSum = "84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882"
)

// origin is a web server with one file, as real ones serve it.
type origin struct {
	*httptest.Server
	mu      sync.Mutex
	content string
	etag    string
	gets    atomic.Int64
	before  func(w http.ResponseWriter, r *http.Request) (done bool)
}

func newOrigin(t *testing.T) *origin {
	t.Helper()
	o := &origin{content: text, etag: `"one"`}
	o.Server = httptest.NewServer(o)
	t.Cleanup(o.Close)
	return o
}

func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		o.gets.Add(1)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.before != nil && o.before(w, r) {
		return
	}
	if o.etag != "" {
		w.Header().Set("ETag", o.etag)
	}
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(o.content))
}

func (o *origin) change(content, etag string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.content, o.etag = content, etag
}

func open(t *testing.T, config inputs.Config) *inputs.Cache {
	t.Helper()
	if config.Dir == "" {
		config.Dir = t.TempDir()
	}
	cache, err := inputs.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	return cache
}

// place places a file in a new directory and reads it.
func place(t *testing.T, cache *inputs.Cache, source inputs.Source) (inputs.File, string, error) {
	t.Helper()
	dir := t.TempDir()
	file, err := cache.Place(t.Context(), source, func(name string) (string, error) { return filepath.Join(dir, name), nil }, nil)
	if err != nil {
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("it failed and left %s", left[0].Name())
		}
		return file, "", err
	}
	content, err := os.ReadFile(filepath.Join(dir, file.Name))
	if err != nil {
		t.Fatal(err)
	}
	return file, string(content), nil
}

func TestAFileIsFetchedOnceWhileItsOriginSaysItIsTheSame(t *testing.T) {
	o, cache := newOrigin(t), open(t, inputs.Config{})
	source := inputs.Source{URL: o.URL + "/data/train.csv?signature=s3cret"}
	file, content, err := place(t, cache, source)
	if err != nil || content != text || file != (inputs.File{Name: "train.csv", Size: 10, SHA256: textSum}) {
		t.Fatalf("first: %+v, %q, %v", file, content, err)
	}
	file, content, err = place(t, cache, source)
	if err != nil || content != text || !file.Cached || o.gets.Load() != 1 {
		t.Errorf("second: %+v, %q, %v, after %d downloads", file, content, err, o.gets.Load())
	}
	o.change("new", `"two"`)
	file, content, err = place(t, cache, source)
	if err != nil || content != "new" || file.Cached {
		t.Errorf("changed: %+v, %q, %v", file, content, err)
	}
}

func TestAFileThatNothingIdentifiesIsFetchedEachTime(t *testing.T) {
	o, cache := newOrigin(t), open(t, inputs.Config{})
	o.etag = ""
	for want := int64(1); want <= 2; want++ {
		if file, content, err := place(t, cache, inputs.Source{URL: o.URL + "/x"}); err != nil || content != text || file.Cached || o.gets.Load() != want {
			t.Errorf("%+v, %q, %v, after %d downloads", file, content, err, o.gets.Load())
		}
	}
}

func TestKnowingAnAddressIsNotHavingTheFile(t *testing.T) {
	o, cache := newOrigin(t), open(t, inputs.Config{})
	source := inputs.Source{URL: o.URL + "/x"}
	if _, _, err := place(t, cache, source); err != nil {
		t.Fatal(err)
	}
	o.before = func(w http.ResponseWriter, _ *http.Request) bool {
		http.Error(w, "no", http.StatusForbidden)
		return true
	}
	_, _, err := place(t, cache, source)
	if f := fault.From(err); f.Code != "input_denied" {
		t.Errorf("it was given, or: %v", err)
	}
}

func TestAWrongChecksumGivesNothing(t *testing.T) {
	o, cache := newOrigin(t), open(t, inputs.Config{})
	wrong := strings.Repeat("0", 64)
	for range 2 {
		_, _, err := place(t, cache, inputs.Source{URL: o.URL + "/x", SHA256: wrong})
		if f := fault.From(err); f.Code != "input_checksum" || !strings.Contains(f.Message, textSum) {
			t.Errorf("it was given, or: %v", err)
		}
		if _, _, err := place(t, cache, inputs.Source{URL: o.URL + "/x"}); err != nil { // now it is here
			t.Error(err)
		}
	}
}

func TestATrustedChecksumNeedsNoQuestion(t *testing.T) {
	o, cache := newOrigin(t), open(t, inputs.Config{})
	source := inputs.Source{URL: o.URL + "/x", SHA256: textSum, Trusted: true}
	if _, _, err := place(t, cache, source); err != nil {
		t.Fatal(err)
	}
	o.Close()
	if file, content, err := place(t, cache, source); err != nil || content != text || !file.Cached {
		t.Errorf("%+v, %q, %v", file, content, err)
	}
}

func TestADownloadGoesOnWhereItBroke(t *testing.T) {
	o, cache := newOrigin(t), open(t, inputs.Config{})
	broken := 0
	o.before = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || broken == 2 {
			if r.Method == http.MethodGet && r.Header.Get("Range") != "bytes=6-" {
				t.Errorf("the third asks for %q", r.Header.Get("Range"))
			}
			return false
		}
		at := broken * 3
		broken++
		w.Header().Set("ETag", o.etag)
		w.Header().Set("Content-Length", fmt.Sprint(len(text)-at))
		if at > 0 {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-9/10", at))
			w.WriteHeader(http.StatusPartialContent)
		}
		_, _ = w.Write([]byte(text[at : at+3])) // and no more: the connection is closed
		return true
	}
	if file, content, err := place(t, cache, inputs.Source{URL: o.URL + "/x"}); err != nil || content != text || file.SHA256 != textSum {
		t.Errorf("%+v, %q, %v", file, content, err)
	}
}

func TestAFileThatChangesMeanwhileIsNoMixture(t *testing.T) {
	o, cache := newOrigin(t), open(t, inputs.Config{})
	o.before = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || r.Header.Get("Range") != "" {
			return false
		}
		w.Header().Set("ETag", o.etag)
		w.Header().Set("Content-Length", "10")
		_, _ = w.Write([]byte("012"))
		o.content, o.etag = "abcdefghij", `"two"`
		return true
	}
	_, _, err := place(t, cache, inputs.Source{URL: o.URL + "/x"})
	if f := fault.From(err); f.Code != "input_changed" {
		t.Errorf("it was given, or: %v", err)
	}
}

func TestManyAtOnceFetchOnce(t *testing.T) {
	o, cache := newOrigin(t), open(t, inputs.Config{})
	var all sync.WaitGroup
	for range 8 {
		dir := t.TempDir()
		all.Go(func() {
			_, err := cache.Place(t.Context(), inputs.Source{URL: o.URL + "/x"}, func(name string) (string, error) { return filepath.Join(dir, name), nil }, nil)
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if o.gets.Load() != 1 {
		t.Errorf("there were %d downloads", o.gets.Load())
	}
}

func TestAStepThatWritesToItsInputChangesNobodyElses(t *testing.T) {
	o, cache := newOrigin(t), open(t, inputs.Config{})
	dir := t.TempDir()
	target := filepath.Join(dir, "x")
	if _, err := cache.Place(t.Context(), inputs.Source{URL: o.URL + "/x"}, func(string) (string, error) { return target, nil }, nil); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(target, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, content, err := place(t, cache, inputs.Source{URL: o.URL + "/x"}); err != nil || content != text {
		t.Errorf("%q, %v", content, err)
	}
}

func TestTheCacheStaysWithinItsBounds(t *testing.T) {
	o, dir := newOrigin(t), t.TempDir()
	cache := open(t, inputs.Config{Dir: dir, MostBytes: 25})
	for i := range 5 {
		if _, _, err := place(t, cache, inputs.Source{URL: fmt.Sprintf("%s/%d", o.URL, i)}); err != nil {
			t.Fatal(err)
		}
	}
	var sum int64
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if filepath.Ext(entry.Name()) == "" {
			info, err := entry.Info()
			if err != nil {
				t.Fatal(err)
			}
			sum += info.Size()
		}
	}
	if sum == 0 || sum > 25 {
		t.Errorf("it holds %d bytes", sum)
	}
}

func TestWhatAKilledProcessLeftIsCleared(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "abc.half"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	open(t, inputs.Config{Dir: dir})
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestEachFailureHasItsSentenceAndShowsNoSignature(t *testing.T) {
	o, cache := newOrigin(t), open(t, inputs.Config{})
	o.before = func(w http.ResponseWriter, r *http.Request) bool {
		switch r.URL.Path {
		case "/gone":
			w.WriteHeader(http.StatusGone)
		case "/private":
			w.WriteHeader(http.StatusUnauthorized)
		case "/odd":
			w.WriteHeader(http.StatusTeapot)
		case "/metadata":
			http.Redirect(w, r, "http://169.254.169.254/latest/", http.StatusFound)
		default:
			return false
		}
		return true
	}
	for address, want := range map[string]string{
		o.URL + "/gone?signature=s3cret":                 "input_missing",
		o.URL + "/private?signature=s3cret":              "input_denied",
		o.URL + "/odd?signature=s3cret":                  "input_refused",
		o.URL + "/metadata?signature=s3cret":             "address_forbidden",
		"http://169.254.169.254/latest?signature=s3cret": "address_forbidden",
		"http://[fe80::1%25lo]/x?signature=s3cret":       "address_forbidden",
		"ftp://example.com/x?signature=s3cret":           "input_url",
		"s3://bucket?signature=s3cret":                   "input_url",
		"azure://account/container?signature=s3cret":     "input_url",
		"https://%zz": "input_url",
	} {
		_, _, err := place(t, cache, inputs.Source{URL: address})
		f := fault.From(err)
		if f.Code != want || f.Hint == "" || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v (%s), want %s", address, err, f.Code, want)
		}
	}
}

func TestHeadersGoToNoOtherHost(t *testing.T) {
	var heard atomic.Value
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		heard.Store(r.Header.Get("Authorization") + r.Header.Get("X-Key"))
		_, _ = w.Write([]byte(text))
	}))
	t.Cleanup(other.Close)
	o, cache := newOrigin(t), open(t, inputs.Config{})
	o.before = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("X-Key") != "s3cret" {
			t.Error("the origin itself does not get the header")
		}
		http.Redirect(w, r, other.URL, http.StatusFound)
		return true
	}
	source := inputs.Source{URL: o.URL + "/x", Header: http.Header{"Authorization": {"Bearer s3cret"}, "X-Key": {"s3cret"}}}
	if _, content, err := place(t, cache, source); err != nil || content != text {
		t.Fatalf("%q, %v", content, err)
	}
	if heard.Load() != "" {
		t.Errorf("the other host heard %q", heard.Load())
	}
}

func TestTheNameIsTheServersAndLeadsNowhere(t *testing.T) {
	o, cache := newOrigin(t), open(t, inputs.Config{})
	for header, want := range map[string]string{
		`attachment; filename="report.csv"`:       "report.csv",
		`attachment; filename="../../etc/passwd"`: "passwd",
		`attachment; filename="..\\..\\evil.bat"`: "evil.bat",
		`attachment; filename=".."`:               "file",
		`attachment`:                              "x",
	} {
		o.before = func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Disposition", header)
			return false
		}
		o.change(text, fmt.Sprintf("%q", want))
		if file, _, err := place(t, cache, inputs.Source{URL: o.URL + "/x"}); err != nil || file.Name != want {
			t.Errorf("%s: %q, %v", header, file.Name, err)
		}
	}
}

func TestADownloadEndsWithItsContext(t *testing.T) {
	o, cache := newOrigin(t), open(t, inputs.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	o.before = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodGet {
			w.Header().Set("Content-Length", "10")
			_, _ = w.Write([]byte("012"))
			_ = http.NewResponseController(w).Flush()
			cancel()
			<-r.Context().Done()
			return true
		}
		return false
	}
	target := filepath.Join(t.TempDir(), "x")
	_, err := cache.Place(ctx, inputs.Source{URL: o.URL + "/x"}, func(string) (string, error) { return target, nil }, nil)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
}
