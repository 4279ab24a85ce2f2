//go:build conformance

package pullthrough_test

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"sync"
)

// cacheHost is the cache's name for its clients. Certificates of httptest are for it.
const cacheHost = "cache.example.com"

// outside is the network as clients have it: a proxy that leads to nothing but the
// cache, which has TLS in front of it as docs/setup.md tells operators to.
type outside struct {
	proxy string // its address
	ca    string // a file with the authority of the cache's certificate

	mu        sync.Mutex
	elsewhere []string // hosts that were asked for besides
}

func (w *world) newOutside() *outside {
	w.t.Helper()
	behind, err := url.Parse(w.server.url)
	w.check(err)
	through := httputil.NewSingleHostReverseProxy(behind)
	through.ErrorLog = log.New(io.Discard, "", 0)
	front := httptest.NewUnstartedServer(through)
	front.Config.ErrorLog = log.New(io.Discard, "", 0)
	front.EnableHTTP2 = true
	front.StartTLS()
	w.t.Cleanup(front.Close)

	o := &outside{ca: filepath.Join(w.dir, "cache.pem")}
	w.check(os.WriteFile(o.ca, toPEM(front.Certificate().Raw), 0o600))
	proxy := httptest.NewServer(http.HandlerFunc(func(to http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.Host != cacheHost+":443" {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.elsewhere = append(o.elsewhere, r.Host)
			http.Error(to, "there is nothing but the cache", http.StatusForbidden)
			return
		}
		far, err := new(net.Dialer).DialContext(r.Context(), "tcp", front.Listener.Addr().String())
		if err != nil {
			http.Error(to, err.Error(), http.StatusBadGateway)
			return
		}
		near, buffered, err := http.NewResponseController(to).Hijack()
		if err != nil {
			_ = far.Close() // nothing was sent
			return
		}
		fmt.Fprint(near, "HTTP/1.1 200 Connection established\r\n\r\n")
		var both sync.WaitGroup
		both.Go(func() { _, _ = io.Copy(far, buffered); _ = far.Close() }) // until either
		both.Go(func() { _, _ = io.Copy(near, far); _ = near.Close() })    // end is gone
		both.Wait()
	}))
	w.t.Cleanup(proxy.Close)
	o.proxy = proxy.URL
	return o
}

// environment is what has a program reach the cache, and trust it.
func (o *outside) environment(home string) []string {
	return []string{
		"HTTPS_PROXY=" + o.proxy, "HTTP_PROXY=" + o.proxy, "NO_PROXY=", "https_proxy=" + o.proxy, "http_proxy=" + o.proxy, "no_proxy=",
		"SSL_CERT_FILE=" + o.ca, "SSL_CERT_DIR=/nonexistent", "HOME=" + home, "DOCKER_CONFIG=" + home, "XDG_RUNTIME_DIR=" + home,
		"REGISTRY_AUTH_FILE=" + filepath.Join(home, "none.json"),
	}
}

// wentElsewhere are the hosts that were asked for besides the cache.
func (o *outside) wentElsewhere() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.elsewhere
}
