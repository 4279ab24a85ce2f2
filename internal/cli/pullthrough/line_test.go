package pullthrough_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"fairlead.dev/fairlead/internal/grant/granttest"
)

// line is the way to the registry under its own name: it counts what goes over it, and
// can break, lie and answer in the registry's place.
type line struct {
	server *httptest.Server

	sent atomic.Int64 // bytes of blobs
	all  atomic.Int64 // requests

	mu      sync.Mutex
	asked   []string // METHOD PATH, of manifests and blobs
	instead func(w http.ResponseWriter, r *http.Request) (answered bool)
	alter   func(r *http.Request, body io.Reader) io.Reader // of a blob that is got
	passed  func(sent int64)
}

func newLine(t testing.TB, far *granttest.Registry) *line {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(far.CA())
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, ServerName: far.Host()},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, far.Address())
		},
		MaxIdleConnsPerHost: 64,
	}
	l := new(line)
	proxy := &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "https", far.Host(), r.In.Host
		},
		ModifyResponse: func(answer *http.Response) error {
			if answer.Request.Method == http.MethodGet && strings.Contains(answer.Request.URL.Path, "/blobs/") {
				answer.Body = &carried{line: l, Reader: l.altered(answer.Request, answer.Body), Closer: answer.Body}
			}
			return nil
		},
		ErrorLog: log.New(io.Discard, "", 0),
	}
	l.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if l.take(w, r) {
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	l.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	l.server.StartTLS()
	t.Cleanup(func() {
		l.server.CloseClientConnections()
		l.server.Close()
		transport.CloseIdleConnections()
	})
	return l
}

func (l *line) address() string { return l.server.Listener.Addr().String() }

func (l *line) ca() []byte { return toPEM(l.server.Certificate().Raw) }

// take notes a request, and answers it in the registry's place if it is to be.
func (l *line) take(w http.ResponseWriter, r *http.Request) bool {
	l.all.Add(1)
	l.mu.Lock()
	if strings.Contains(r.URL.Path, "/manifests/") || strings.Contains(r.URL.Path, "/blobs/") {
		l.asked = append(l.asked, r.Method+" "+r.URL.Path)
	}
	instead := l.instead
	l.mu.Unlock()
	return instead != nil && instead(w, r)
}

// requests is how many there were, whatever they were for.
func (l *line) requests() int64 { return l.all.Load() }

// gets are the manifests and blobs that were asked for since the last call, HEAD
// requests left out.
func (l *line) gets() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var gets []string
	for _, asked := range l.asked {
		if strings.HasPrefix(asked, http.MethodGet) {
			gets = append(gets, asked)
		}
	}
	l.asked = nil
	return gets
}

// answer has requests answered in the registry's place; nil ends that.
func (l *line) answer(instead func(w http.ResponseWriter, r *http.Request) (answered bool)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.instead = instead
}

// change has the bytes of blobs altered on their way; nil ends that.
func (l *line) change(alter func(r *http.Request, body io.Reader) io.Reader) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.alter = alter
}

// tell has the bytes of blobs that were carried told, all together; nil ends that.
func (l *line) tell(passed func(sent int64)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.passed = passed
}

func (l *line) altered(r *http.Request, body io.Reader) io.Reader {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.alter == nil {
		return body
	}
	return l.alter(r, body)
}

// carried is a blob on its way.
type carried struct {
	line *line
	io.Reader
	io.Closer
}

// pieceMost is how many bytes go at a time, so that there are moments between them.
const pieceMost = 8 << 10

func (c *carried) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p[:min(len(p), pieceMost)])
	sent := c.line.sent.Add(int64(n))
	c.line.mu.Lock()
	passed := c.line.passed
	c.line.mu.Unlock()
	if passed != nil {
		passed(sent)
	}
	return n, err
}

// errBroken is that of a line which breaks.
var errBroken = errors.New("the line broke")

// breaking is a body that breaks off after so many bytes.
type breaking struct {
	io.Reader
	left int64
}

func (b *breaking) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errBroken
	}
	n, err := b.Reader.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// lying is a body whose first byte is another one.
type lying struct {
	io.Reader
	done bool
}

func (l *lying) Read(p []byte) (int, error) {
	n, err := l.Reader.Read(p)
	if n > 0 && !l.done {
		p[0], l.done = p[0]^1, true
	}
	return n, err
}
