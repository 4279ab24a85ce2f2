package gitfetch

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"

	"fairlead.dev/fairlead/internal/fault"
)

const (
	refsPath     = "/info/refs"
	service      = "git-upload-pack"
	redirectMost = 5
)

// web is a visit over https. It uses no proxy, no cookies and no netrc.
type web struct {
	remote  Remote
	address address
	client  *http.Client
	base    string // of the repository, after redirects
}

// newTransport is what all visits of a Fetcher share. A connection belongs to no
// login.
func (f *Fetcher) newTransport() *http.Transport {
	return &http.Transport{
		DialContext:            f.dial,
		TLSClientConfig:        &tls.Config{RootCAs: f.config.RootCAs, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    15 * time.Second,
		ResponseHeaderTimeout:  stall,
		IdleConnTimeout:        30 * time.Second,
		MaxIdleConnsPerHost:    2,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

func (f *Fetcher) newWeb(r Remote, a address) *web {
	w := &web{remote: r, address: a, base: a.scheme + "://" + a.hostPort() + a.path}
	w.client = &http.Client{Transport: f.transport, CheckRedirect: w.mayFollow}
	return w
}

func (w *web) close() {}

func (w *web) isAnonymous() bool { return w.remote.Token.IsEmpty() }

// mayFollow lets a redirect pass that stays at the same host, port and scheme,
// as a renamed repository's does. Any other is refused before it is asked for,
// so that no other host hears of the token.
func (w *web) mayFollow(next *http.Request, before []*http.Request) error {
	first := before[0].URL
	if next.URL.Scheme == first.Scheme && next.URL.Hostname() == first.Hostname() && portOf(next.URL) == portOf(first) {
		if len(before) > redirectMost || next.Method != http.MethodGet {
			return noGit(w.address)
		}
		return nil
	}
	return fault.InvalidField("url", "git_moved", "the git host %s sends on to %.100q, and a login goes to no other host", w.address.host, next.URL.Host).
		WithHint("If the repository moved there, enter its new address.")
}

func portOf(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}

// do sends a request with the login, and makes faults of bad answers.
func (w *web) do(request *http.Request) (*http.Response, error) {
	request.Header.Set("User-Agent", "git/2.0 (fairlead)") // some hosts serve git to nobody else
	if !w.isAnonymous() {
		request.SetBasicAuth(w.remote.username(w.address), w.remote.Token.Reveal())
	}
	response, err := w.client.Do(request)
	if err != nil {
		return nil, w.explain(err)
	}
	if err := status(response, w.address, w.isAnonymous()); err != nil {
		_ = response.Body.Close()
		return nil, err
	}
	return response, nil
}

// explain tells a certificate that is not trusted from a host that is away.
func (w *web) explain(err error) error {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f
	}
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	_, other := errors.AsType[x509.HostnameError](err)
	if untrusted || other {
		return fault.New(fault.Unavailable, "git_certificate", "the certificate of the git host %s is not trusted", w.address.host).
			WithHint("If the host's certificate is of your own authority, the operator can add it to those that the server trusts.").
			WithCause(foreign(w.remote, err))
	}
	return err
}

func (w *web) advertised(ctx context.Context) (*packp.AdvRefs, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, w.base+refsPath+"?service="+service, nil)
	if err != nil {
		return nil, noGit(w.address)
	}
	response, err := w.do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.Header.Get("Content-Type") != "application/x-"+service+"-advertisement" {
		return nil, noGit(w.address)
	}
	final := *response.Request.URL
	path, found := strings.CutSuffix(final.EscapedPath(), refsPath)
	if !found {
		return nil, noGit(w.address)
	}
	w.base = final.Scheme + "://" + final.Host + path
	return decodeAdvertised(response.Body)
}

func (w *web) exchange(ctx context.Context, request *packp.UploadPackRequest) (io.ReadCloser, error) {
	var body bytes.Buffer
	if err := errors.Join(
		request.UploadRequest.Encode(&body),
		request.UploadHaves.Encode(&body, false),
		pktline.NewEncoder(&body).EncodeString("done\n"),
	); err != nil {
		return nil, fmt.Errorf("writing the request: %w", err)
	}
	post, err := http.NewRequestWithContext(ctx, http.MethodPost, w.base+"/"+service, &body)
	if err != nil {
		return nil, noGit(w.address)
	}
	post.Header.Set("Content-Type", "application/x-"+service+"-request")
	post.Header.Set("Accept", "application/x-"+service+"-result")
	response, err := w.do(post)
	if err != nil {
		return nil, err
	}
	if response.Header.Get("Content-Type") != "application/x-"+service+"-result" {
		_ = response.Body.Close()
		return nil, noGit(w.address)
	}
	return response.Body, nil
}
