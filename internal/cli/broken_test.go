package cli_test

import (
	"bytes"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"fairlead.dev/fairlead/internal/demoimage"
)

// newBrokenRegistry is a public registry at the end of a bad line: the layers of
// the repository altered arrive with a byte that is another one, and those of
// the repository truncated without their ends. It gives its address.
func newBrokenRegistry(t *testing.T) string {
	t.Helper()
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/blobs/") {
			inner.ServeHTTP(w, r)
			return
		}
		whole := httptest.NewRecorder()
		r.Header.Del("Range")
		inner.ServeHTTP(whole, r)
		body := whole.Body.Bytes()
		const smallest = 4 << 10 // the configuration is below that, and arrives
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		if len(body) > smallest {
			if strings.HasPrefix(r.URL.Path, "/v2/altered/") {
				body = bytes.Clone(body)
				body[len(body)/2] ^= 1
			} else {
				body = body[:len(body)/2] // and the connection is closed
			}
		}
		_, _ = w.Write(body) // whoever leaves early has seen enough
	}))
	t.Cleanup(server.Close)
	// Its own layer is in no other image, so that no worker has it already.
	noise := make([]byte, 64<<10)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(noise) // it cannot fail
	image, err := demoimage.New(demoimage.Options{Files: map[string][]byte{"noise": noise}})
	if err != nil {
		t.Fatal(err)
	}
	address := strings.TrimPrefix(server.URL, "http://")
	for _, repository := range []string{"altered", "truncated"} {
		reference, err := name.ParseReference(address+"/"+repository+":v1", name.Insecure)
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.Write(reference, image); err != nil {
			t.Fatal(err)
		}
	}
	return address
}
