package pull_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/inmemory" // registers the storage
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"
	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/pull"
)

func TestMain(m *testing.M) {
	if order, isChild := os.LookupEnv(childOrder); isChild {
		os.Exit(pullAsChild(order))
	}
	logrus.SetOutput(io.Discard) // distribution's
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("github.com/docker/go-events.(*Broadcaster).run"), // distribution's, never ended
	)
}

// host is what the images of the tests are named after; httptest's
// certificate is good for it.
const host = "registry.example.com"

// farSide is a real registry, with a front that counts requests and may get
// in the way.
type farSide struct {
	host      string
	app       *handlers.App
	back      *httptest.Server // to push to
	rules     []oci.HostRule
	transport *oci.Transport

	mu        sync.Mutex
	requests  []string // method, path and range
	intercept func(http.ResponseWriter, *http.Request) (answered bool)
}

func newFarSide(t testing.TB) *farSide {
	t.Helper()
	return newFarSideOf(t, host)
}

// newFarSideOf is a registry of that name, which must be good for httptest's
// certificate.
func newFarSideOf(t testing.TB, host string) *farSide {
	t.Helper()
	f := &farSide{host: host}
	config := &configuration.Configuration{Storage: configuration.Storage{
		"inmemory":    configuration.Parameters{},
		"maintenance": configuration.Parameters{"uploadpurging": map[any]any{"enabled": false}},
	}}
	config.HTTP.Secret = rand.Text()
	f.app = handlers.NewApp(context.Background(), config)
	f.back = httptest.NewServer(f.app)
	front := httptest.NewUnstartedServer(http.HandlerFunc(f.serve))
	front.Config.ErrorLog = log.New(io.Discard, "", 0) // connections are cut on purpose
	front.StartTLS()
	f.reach(t, host, front)
	t.Cleanup(func() {
		front.Close()
		f.back.Close()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		if err := f.app.Shutdown(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// reach has a server be reached by that name, which must be good for httptest's
// certificate.
func (f *farSide) reach(t testing.TB, host string, server *httptest.Server) {
	t.Helper()
	f.rules = append(f.rules, oci.HostRule{
		Host: host, Address: server.Listener.Addr().String(),
		CA: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}),
	})
	transport, err := oci.NewTransport(oci.Config{Hosts: f.rules})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(transport.CloseIdleConnections)
	f.transport = transport
}

func (f *farSide) serve(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.requests = append(f.requests, strings.TrimSpace(r.Method+" "+r.URL.Path+" "+r.Header.Get("Range")))
	intercept := f.intercept
	f.mu.Unlock()
	if intercept == nil || !intercept(w, r) {
		f.app.ServeHTTP(w, r)
	}
}

// between has a function answer requests in place of the registry from now on.
func (f *farSide) between(intercept func(http.ResponseWriter, *http.Request) (answered bool)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.intercept = intercept
}

// seen are the requests since the last call, those that hold a word.
func (f *farSide) seen(word string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var found []string
	for _, request := range f.requests {
		if strings.Contains(request, word) {
			found = append(found, request)
		}
	}
	f.requests = nil
	return found
}

func (f *farSide) push(t testing.TB, path string, what remote.Taggable) {
	t.Helper()
	ref, err := name.ParseReference(strings.TrimPrefix(f.back.URL, "http://")+"/"+path, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	switch pushed := what.(type) {
	case v1.Image:
		err = remote.Write(ref, pushed, remote.WithNondistributable)
	case v1.ImageIndex:
		err = remote.WriteIndex(ref, pushed)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (f *farSide) request(t testing.TB, path string) pull.Request {
	t.Helper()
	ref, err := image.ParseReference(f.host + "/" + path)
	if err != nil {
		t.Fatal(err)
	}
	return pull.Request{Image: ref, Route: f.transport.For(f.host)}
}

// openStore opens a store that is closed at the end of the test, and undoes gzip as
// a worker on this machine does.
func openStore(t testing.TB, config pull.Config) *pull.Store {
	t.Helper()
	if igzip, err := exec.LookPath("igzip"); err == nil {
		config.Igzip = igzip
	}
	return openStoreExactly(t, config)
}

func openStoreExactly(t testing.TB, config pull.Config) *pull.Store {
	t.Helper()
	if config.Root == "" {
		config.Root = t.TempDir()
	}
	if config.RetryWait == 0 {
		config.RetryWait = time.Millisecond
	}
	if config.FloorFree == 0 {
		config.FloorFree = 1
	}
	store, err := pull.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Reap(context.Background(), func(string) bool { return false }); err != nil {
			t.Error(err)
		}
		if err := store.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
			t.Error(err)
		}
	})
	return store
}

func mustPull(t testing.TB, store *pull.Store, request pull.Request) pull.Image {
	t.Helper()
	img, err := store.Pull(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func mustMount(t testing.TB, store *pull.Store, img pull.Image, key string) (rootfs string) {
	t.Helper()
	rootfs, err := store.Mount(t.Context(), img, key)
	if err != nil {
		t.Fatal(err)
	}
	return rootfs
}

func wantFault(t testing.TB, err error, kind fault.Kind, code string) *fault.Error {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %s", code)
	}
	f := fault.From(err)
	if f.Kind != kind || f.Code != code {
		t.Fatalf("got %s %s (%v), want %s %s", f.Kind, f.Code, err, kind, code)
	}
	return f
}

// wantNoLayer checks that neither a layer's blob, nor a part of one, nor an
// unpacked file is kept.
func wantNoLayer(t testing.TB, store *pull.Store, root string) {
	t.Helper()
	if err := store.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"overlay/snapshots", "content/ingest"} {
		entries, err := os.ReadDir(filepath.Join(root, dir))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		if len(entries) > 0 {
			t.Errorf("%s holds %v", dir, entries)
		}
	}
}

// testLayer is a layer as it is at the registry, honest or not.
type testLayer struct {
	blob      []byte
	diffID    v1.Hash
	mediaType types.MediaType
}

func (l testLayer) Digest() (v1.Hash, error) {
	hash, _, err := v1.SHA256(bytes.NewReader(l.blob))
	return hash, err
}
func (l testLayer) DiffID() (v1.Hash, error)            { return l.diffID, nil }
func (l testLayer) Size() (int64, error)                { return int64(len(l.blob)), nil }
func (l testLayer) MediaType() (types.MediaType, error) { return l.mediaType, nil }
func (l testLayer) Compressed() (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(l.blob)), nil
}
func (l testLayer) Uncompressed() (io.ReadCloser, error) { return nil, errors.ErrUnsupported }

// blobPath is where the layer is got from, as far as requests are matched.
func (l testLayer) blobPath() string {
	hash, _ := l.Digest()
	return "/blobs/" + hash.String()
}

// file and dir are entries of a layer.
func file(name, content string) tarEntry {
	return tarEntry{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content))}, content}
}

func dir(name string) tarEntry {
	return tarEntry{tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755}, ""}
}

func link(kind byte, name, target string) tarEntry {
	return tarEntry{tar.Header{Typeflag: kind, Name: name, Linkname: target, Mode: 0o777}, ""}
}

type tarEntry struct {
	tar.Header
	content string
}

func archiveOf(t testing.TB, entries ...tarEntry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		if err := w.WriteHeader(&e.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// layer is entries compressed by gzip.
func layer(t testing.TB, entries ...tarEntry) testLayer {
	t.Helper()
	return compressedBy(t, types.OCILayer, archiveOf(t, entries...))
}

// compressedBy is an archive in the form that a media type names.
func compressedBy(t testing.TB, mediaType types.MediaType, archive []byte) testLayer {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	switch mediaType {
	case types.OCILayer, types.DockerLayer:
		w = gzip.NewWriter(&b)
	case types.OCILayerZStd:
		encoder, err := zstd.NewWriter(&b)
		if err != nil {
			t.Fatal(err)
		}
		w = encoder
	default:
		b.Write(archive)
	}
	if w != nil {
		if _, err := w.Write(archive); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	diffID, _, err := v1.SHA256(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	return testLayer{b.Bytes(), diffID, mediaType}
}

// imageOf is an OCI image for this machine's kind.
func imageOf(t testing.TB, layers ...testLayer) v1.Image {
	t.Helper()
	return imageFor(t, "amd64", layers...)
}

func imageFor(t testing.TB, architecture string, layers ...testLayer) v1.Image {
	t.Helper()
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	for _, l := range layers {
		var err error
		if img, err = mutate.Append(img, mutate.Addendum{Layer: l}); err != nil {
			t.Fatal(err)
		}
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", architecture
	config.Config.Cmd = []string{"/hello"}
	if img, err = mutate.ConfigFile(img, config); err != nil {
		t.Fatal(err)
	}
	return img
}

// noise is content that no compression makes small.
func noise(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b) // never fails
	return string(b)
}

// readTree is every file below root, with its content, link target or kind.
func readTree(t testing.TB, root string) map[string]string {
	t.Helper()
	tree := make(map[string]string)
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		switch {
		case entry.IsDir():
			tree[rel+"/"] = ""
		case entry.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			tree[rel] = "-> " + target
			return err
		case entry.Type().IsRegular():
			content, err := os.ReadFile(path)
			tree[rel] = string(content)
			return err
		default:
			tree[rel] = entry.Type().String()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}
