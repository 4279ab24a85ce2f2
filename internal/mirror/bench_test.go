package mirror_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"

	"fairlead.dev/fairlead/internal/mirror"
)

// plainly serves over http, for whoever is on this machine.
func plainly(b *testing.B, backend mirror.Backend) *httptest.Server {
	b.Helper()
	door, err := mirror.New(mirror.Config{
		Backend: backend, Authenticator: &porter{networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	server := httptest.NewServer(door)
	b.Cleanup(server.Close)
	return server
}

// fetch asks for an address.
func fetch(b *testing.B, client *http.Client, address string) (*http.Response, error) {
	b.Helper()
	request, err := http.NewRequestWithContext(b.Context(), http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, err
	}
	return client.Do(request)
}

// download reads an address as often as the benchmark wants.
func download(b *testing.B, address string, size int64) {
	b.Helper()
	b.SetBytes(size)
	buffer := make([]byte, 1<<20)
	for b.Loop() {
		response, err := fetch(b, http.DefaultClient, address)
		if err != nil {
			b.Fatal(err)
		}
		n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{response.Body}, buffer)
		_ = response.Body.Close()
		if err != nil || n != size {
			b.Fatalf("%d bytes of %d: %v", n, size, err)
		}
	}
}

// BenchmarkAFile serves a file by the door and, beside it, by net/http alone.
func BenchmarkAFile(b *testing.B) {
	const size = 256 << 20
	zeros := make([]byte, size)
	d := digest.FromBytes(zeros)
	far := newDistribution(b)
	backend := newPassThrough(b, map[string]*upstream{acme: far})
	backend.files = b.TempDir()
	if err := os.WriteFile(filepath.Join(backend.files, d.Encoded()), zeros, 0o600); err != nil {
		b.Fatal(err)
	}
	b.Run("door", func(b *testing.B) {
		download(b, plainly(b, backend).URL+"/v2/"+acme+"/public/train/blobs/"+d.String(), size)
	})
	b.Run("net-http", func(b *testing.B) {
		server := httptest.NewServer(http.FileServer(http.Dir(backend.files)))
		b.Cleanup(server.Close)
		download(b, server.URL+"/"+d.Encoded(), size)
	})
}

// BenchmarkManifests asks the door for one manifest side by side, over
// connections that are kept.
func BenchmarkManifests(b *testing.B) {
	far := newDistribution(b)
	img, manifest, _ := randomImage(b)
	far.push(b, "public/train:v1", img)
	backend := newPassThrough(b, map[string]*upstream{acme: far})
	backend.remembers = true
	server := plainly(b, backend)
	address := server.URL + manifestPath(acme, "public/train", "v1")
	first, err := fetch(b, http.DefaultClient, address)
	if err != nil {
		b.Fatal(err)
	}
	_ = first.Body.Close()
	backend.first = true // it is known now
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	b.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport}
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			response, err := fetch(b, client, address)
			if err != nil {
				b.Error(err)
				return
			}
			got, err := io.ReadAll(response.Body)
			_ = response.Body.Close()
			if err != nil || !bytes.Equal(got, manifest) {
				b.Errorf("%d bytes: %v", len(got), err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
}
