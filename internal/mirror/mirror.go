// Package mirror is the door of the pull-through cache: the pull part of the OCI
// distribution specification 1.1 over HTTP, for images of any registry. It
// understands requests and answers them; who may come in is for an
// Authenticator, and what there is to give for a Backend.
// https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md
//
// A registry is named in either of two ways. As a mirror, a client asks for the
// repository and adds `?ns=HOST`, as containerd does; Docker adds nothing and
// means Docker Hub, which Config.Unnamed allows. By path, the registry is the
// first part of the name, /v2/ghcr.io/acme/train/manifests/v1, so that
// cache.example/ghcr.io/acme/train:v1 is an image's name that every client takes.
//
// Start with New; Setup says how clients are told of it.
package mirror

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/wire"
)

// Config is what the door opens to. All of it is required, unless said
// otherwise.
type Config struct {
	Backend       Backend
	Authenticator Authenticator

	// Extension tells of the cache itself; nothing does if nil.
	Extension Extension

	// Sent is told of every byte of content that went out, if it is not nil.
	Sent func(bytes int64)

	// Unnamed is the registry of requests that name none, as Docker's are:
	// docker.io, or "" to refuse them.
	Unnamed string

	// Stall is how long a client may take for the next mebibyte of a file, or for
	// anything at all of other content, before its connection is cut; a minute
	// if 0.
	Stall time.Duration

	// Logger gets a line for each request, without its query and headers: at
	// debug level, or at info and error level where it was refused or failed.
	Logger *slog.Logger

	Observer Observer // nobody hears if nil
}

// Observer hears of requests, for those who count and trace them.
type Observer interface {
	// Serving is called with a request, and gives the one to go on with. The function
	// is called once: with what was asked for and the status of the answer.
	Serving(r *http.Request) (*http.Request, func(route string, status int))
}

// door is the distribution API. Its handlers are methods, one file per noun.
type door struct{ config Config }

// New returns the API, to be served at /v2/. It is safe for concurrent use,
// starts nothing in the background and keeps nothing between requests.
//
// It answers paths that are not clean with the specification's errors, so it
// stands in front of an http.ServeMux, which would redirect them, and not behind.
func New(config Config) (http.Handler, error) {
	if config.Backend == nil || config.Authenticator == nil || config.Logger == nil {
		return nil, errors.New("opening the cache's door: a service is missing")
	}
	if config.Unnamed != "" {
		probe, err := image.ParseReference(config.Unnamed + "/probe/probe")
		if err != nil || !isHost(config.Unnamed) || probe.Host() != config.Unnamed {
			return nil, fault.InvalidField("unnamed", "host", "%q is no registry host", config.Unnamed).
				WithHint("Write docker.io, or nothing.")
		}
	}
	if config.Stall == 0 {
		config.Stall = time.Minute
	}
	return &door{config}, nil
}

// visit is one request, as the handlers know it.
type visit struct {
	id     string // of the request
	target target
	client Client     // nil until it was let in
	remote netip.Addr // the address that it came from

	failure *fault.Error // what it came to, for the log
}

// name is the client's name, "" for nobody.
func (v *visit) name() string {
	if v.client == nil {
		return ""
	}
	return v.client.Name()
}

// ServeHTTP answers one request.
func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	id := wire.RequestID(r.Header.Get(wire.RequestIDHeader))
	r.Header.Set(wire.RequestIDHeader, id)
	served := func(string, int) {}
	if d.config.Observer != nil {
		r, served = d.config.Observer.Serving(r)
	}
	v := &visit{id: id, remote: remoteOf(r)}
	answer := newRecorder(w, d.config.Stall)
	header := w.Header()
	header.Set(wire.RequestIDHeader, id)
	header.Set("Docker-Distribution-Api-Version", "registry/2.0") // Docker before 1.10 looks for it, and some proxies still do
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "private, no-cache") // the next to ask may have no right to it
	defer func() { served(routeOf(v), answer.status) }()
	defer func() { d.log(r, v, answer.status, time.Since(began)) }()
	if d.config.Sent != nil {
		defer func() { d.config.Sent(answer.written) }()
	}
	defer func() {
		if caught := recover(); caught != nil {
			d.recovered(answer, r, v, caught)
		}
	}()
	if err := d.serve(answer, r, v); err != nil {
		d.fail(answer, r, v, err)
	}
	answer.commit()
}

// routeOf is what was asked for, as one of a few words.
func routeOf(v *visit) string { return "/v2/" + string(v.target.noun) }

// serve is the table of contents.
func (d *door) serve(w *recorder, r *http.Request, v *visit) error {
	var err error
	asked, isExtension := d.extension(r.URL.Path)
	switch acts := asked == nounWarm || asked == nounUnpin; {
	case acts && r.Method != http.MethodPost:
		return fault.New(fault.Invalid, codeMethod, "this is asked for by POST, and not by %.20q", r.Method).
			WithHint("Use `fairlead cache`.")
	case !acts && r.Method != http.MethodGet && r.Method != http.MethodHead:
		return notForWriting(r.Method)
	case isExtension:
		v.target.noun = asked
	default:
		if v.target, err = parse(r.URL, d.config.Unnamed); err != nil {
			return err
		}
	}
	if v.client, err = d.admit(r, v); err != nil {
		return err
	}
	switch v.target.noun {
	case nounStatus:
		return d.status(w, r, v)
	case nounWarm:
		return d.warm(w, r, v)
	case nounUnpin:
		return d.unpin(w, r, v)
	case nounManifests:
		return d.manifest(w, r, v)
	case nounBlobs:
		return d.blob(w, r, v)
	case nounTags:
		return d.tags(w, r, v)
	case nounReferrers:
		return d.referrers(w, r, v)
	default: // the base, which tells that it is here and knows who asks
		return writeJSON(w, "application/json", struct{}{})
	}
}

// admit finds out who asks. A header that cannot be read is nobody's, and not
// as if there were none.
func (d *door) admit(r *http.Request, v *visit) (Client, error) {
	shown := Shown{Remote: v.remote}
	if header := r.Header.Get("Authorization"); header != "" {
		scheme, token, _ := strings.Cut(header, " ")
		user, password, isBasic := r.BasicAuth()
		switch {
		case isBasic:
			shown.User, shown.Password = user, secret.New(password)
		case strings.EqualFold(scheme, "Bearer"):
			shown.Token = secret.New(strings.TrimSpace(token))
		}
		if shown.IsAnonymous() {
			return nil, fault.New(fault.Unauthenticated, "authorization_unreadable", "the Authorization header is neither Basic nor Bearer").
				WithHint("Log in with a user name and a token: docker login %s.", hostOf(r))
		}
	}
	return d.config.Authenticator.Authenticate(r.Context(), shown)
}

// recovered answers a request whose handler panicked.
func (d *door) recovered(answer *recorder, r *http.Request, v *visit, caught any) {
	err, _ := caught.(error)
	if errors.Is(err, http.ErrAbortHandler) {
		panic(caught) // net/http cuts the connection
	}
	d.config.Logger.Error("a handler panicked", "request", v.id, "method", r.Method, "path", shortened(r.URL.EscapedPath()),
		"panic", caught, "stack", string(debug.Stack()))
	d.fail(answer, r, v, errPanicked)
}

var errPanicked = errors.New("the handler panicked")

// hungUp reports whether err is that of a connection whose other end has gone,
// or takes nothing more.
func hungUp(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded)
}

// log writes the request's line: no query and no header, since those can hold
// secrets.
func (d *door) log(r *http.Request, v *visit, status int, took time.Duration) {
	level := slog.LevelDebug
	switch {
	case status >= 500 || v.failure != nil && v.failure.Kind == fault.Internal:
		level = slog.LevelError
	case status >= 400 || v.failure != nil:
		level = slog.LevelInfo
	}
	if !d.config.Logger.Enabled(r.Context(), level) {
		return
	}
	attributes := []slog.Attr{
		slog.String("request", v.id),
		slog.String("method", r.Method), slog.String("path", shortened(r.URL.EscapedPath())), slog.Int("status", status),
		slog.Duration("took", took), slog.String("client", v.name()), slog.String("remote", v.remote.String()),
	}
	if !v.target.ref.IsZero() {
		attributes = append(attributes, slog.String("image", v.target.ref.String()))
	}
	if f := v.failure; f != nil {
		attributes = append(attributes, slog.String("code", f.Code))
		if f.Cause != nil {
			attributes = append(attributes, slog.String("error", f.Error()))
		}
	}
	d.config.Logger.LogAttrs(r.Context(), level, "cache request", attributes...)
}

// shortened bounds foreign text for the log: no name is longer.
func shortened(path string) string {
	const most = 1024
	if len(path) <= most {
		return path
	}
	return path[:most] + "…"
}

func remoteOf(r *http.Request) netip.Addr {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap()
}

// hostOf is the host that a request was sent to, for a sentence.
func hostOf(r *http.Request) string {
	if r.Host == "" || len(r.Host) > 255 {
		return "HOST"
	}
	return r.Host
}
