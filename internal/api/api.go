// Package api is the HTTP door: it decodes a request, calls one trade and
// encodes what came of it. The rules are in the services that it calls, the
// shapes in package wire, and the one table from a fault's kind to a status in
// errors.go.
//
// Start with New; routes.go reads as a table of contents.
package api

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/broker"
	"fairlead.dev/fairlead/internal/dispatch"
	"fairlead.dev/fairlead/internal/execution"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/notice"
	"fairlead.dev/fairlead/internal/outbox"
	"fairlead.dev/fairlead/internal/project"
	"fairlead.dev/fairlead/internal/registry"
	"fairlead.dev/fairlead/internal/wire"
)

// Keys changes the keys that secrets are sealed with.
type Keys interface {
	// Rotate makes a new key and seals every secret anew with it.
	Rotate(ctx context.Context, actor account.Actor) (wire.KeyRotation, error)
}

// Config is what the door opens to. All of it is required, unless said
// otherwise.
type Config struct {
	Accounts   *account.Service
	Federation *account.Federation
	Projects   *project.Service
	Registries *registry.Service
	Selector   *registry.Selector
	Executions *execution.Service
	Dispatch   *dispatch.Service
	Broker     *broker.Broker
	Audit      audit.Store
	Channels   *notice.Service
	Outbox     *outbox.Outbox
	Keys       Keys

	// Readers are asked by caches apart from the server.
	Readers Readers

	// Packages are read for workers.
	Packages execution.Packages

	// Route tells how this server was told to reach a registry, so that
	// workers go the same way; nil, or a nil route: as everybody does.
	Route func(host string) *wire.RegistryRoute

	// Origin is scheme://host in front of absolute addresses; "": those of the
	// request.
	Origin string

	// Reference makes pages for people of the OpenAPI document, to be served below
	// /docs/api/; nil: there are none.
	Reference func(document []byte) (http.Handler, error)

	// Version is what the server says of itself.
	Version string

	// Logger gets a line for each request, without its query and headers: at
	// debug level, or at info and error level where it was refused or failed.
	Logger *slog.Logger

	// Now is the clock; time.Now if nil.
	Now func() time.Time

	Observer Observer // nobody hears if nil
	Doctor   Doctor   // the server cannot look at itself if nil
}

// Observer hears of requests, for those who count and trace them.
type Observer interface {
	// Serving is called with a request, and gives the one to go on with. The function
	// is called once: with the route's pattern, or what stands for none, and the
	// status of the answer; 0 where nobody waited for one.
	Serving(r *http.Request) (*http.Request, func(route string, status int))
}

// noRoute stands for requests that no route is laid for.
const noRoute = "none"

// door is the API. The handlers are its methods, one file per noun.
type door struct {
	config   Config
	mux      *http.ServeMux
	huma     huma.API
	links    *links
	document []byte // the OpenAPI document as JSON
	yaml     []byte // and as YAML
	older    []byte // and as OpenAPI 3.0
}

// New returns the API, to be served below wire.Base. It is safe for concurrent
// use, starts nothing in the background and keeps nothing between requests.
func New(config Config) (http.Handler, error) {
	if config.Accounts == nil || config.Federation == nil || config.Projects == nil || config.Registries == nil || config.Selector == nil || config.Executions == nil ||
		config.Dispatch == nil || config.Broker == nil || config.Audit == nil || config.Keys == nil ||
		config.Channels == nil || config.Outbox == nil || config.Packages == nil || config.Readers == nil || config.Logger == nil {
		return nil, errors.New("opening the API: a service is missing")
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	d := &door{config: config, mux: http.NewServeMux(), links: newLinks()}
	d.huma = humago.New(exactMux{d.mux}, describe(config.Version))
	d.routes()
	if err := d.writeDocument(); err != nil {
		return nil, err
	}
	return d, d.showReference()
}

// exactMux lays patterns that end in a slash for that very path, and not for all
// below it.
type exactMux struct{ *http.ServeMux }

// HandleFunc lays one route.
func (m exactMux) HandleFunc(pattern string, handler func(http.ResponseWriter, *http.Request)) {
	m.ServeMux.HandleFunc(exact(pattern), handler)
}

func exact(pattern string) string {
	if pattern[len(pattern)-1] == '/' {
		return pattern + "{$}"
	}
	return pattern
}

// visit is one request, as the handlers know it.
type visit struct {
	actor  account.Actor
	remote string   // the address that it came from
	id     string   // of the request
	origin string   // scheme://host, in front of absolute addresses
	url    *url.URL // what was asked for

	failure *fault.Error // what it came to, for the log
}

type visitKey struct{}

// visitOf is the visit of a request's context.
func visitOf(ctx context.Context) *visit { return ctx.Value(visitKey{}).(*visit) }

// ServeHTTP answers one request. Every answer is final for its moment: nothing
// may be kept by a cache.
func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	id := wire.RequestID(r.Header.Get(wire.RequestIDHeader))
	r.Header.Set(wire.RequestIDHeader, id)
	served := func(string, int) {}
	if d.config.Observer != nil {
		r, served = d.config.Observer.Serving(r)
	}
	v := &visit{id: id, remote: remoteOf(r), origin: cmp.Or(d.config.Origin, originOf(r)), url: r.URL}
	answer := &recorder{ResponseWriter: w}
	header := w.Header()
	header.Set(wire.RequestIDHeader, id)
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	routed := r.WithContext(context.WithValue(r.Context(), visitKey{}, v))
	defer func() {
		defer func() { served(routeOf(routed), answer.status) }()
		if caught := recover(); caught != nil {
			d.recovered(answer, r, v, caught)
		}
		d.log(r, v, answer.status, time.Since(began))
	}()
	d.mux.ServeHTTP(answer, routed)
}

// routeOf is the path of the route that a request took, without the method.
func routeOf(r *http.Request) string {
	_, path, found := strings.Cut(r.Pattern, " ")
	if !found {
		return noRoute
	}
	return strings.TrimSuffix(path, "{$}")
}

// recovered answers a request whose handler panicked.
func (d *door) recovered(answer *recorder, r *http.Request, v *visit, caught any) {
	err, isError := caught.(error)
	switch {
	case errors.Is(err, http.ErrAbortHandler):
		panic(caught)
	case isError && answer.status != 0 && (r.Context().Err() != nil || hungUp(err)):
		return // nobody is there to read the answer
	}
	d.config.Logger.Error("a handler panicked", "request", v.id, "method", r.Method, "path", shownPath(r.URL.EscapedPath()),
		"panic", caught, "stack", string(debug.Stack()))
	if answer.status == 0 {
		d.fail(answer, r, v, errPanicked)
	}
}

var errPanicked = errors.New("the handler panicked")

// hungUp reports whether err is that of a connection whose other end has gone.
func hungUp(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded)
}

// log writes the request's line: no query, no header and no body, since those
// can hold secrets.
func (d *door) log(r *http.Request, v *visit, status int, took time.Duration) {
	level := slog.LevelDebug
	switch {
	case status >= 500:
		level = slog.LevelError
	case status >= 400:
		level = slog.LevelInfo
	}
	if !d.config.Logger.Enabled(r.Context(), level) {
		return
	}
	attributes := []slog.Attr{
		slog.String("request", v.id),
		slog.String("method", r.Method), slog.String("path", shownPath(r.URL.EscapedPath())), slog.Int("status", status),
		slog.Duration("took", took), slog.String("actor", v.actor.Name()), slog.String("remote", v.remote),
	}
	if f := v.failure; f != nil {
		attributes = append(attributes, slog.String("code", f.Code))
		if f.Cause != nil {
			attributes = append(attributes, slog.String("error", f.Error()))
		}
	}
	d.config.Logger.LogAttrs(r.Context(), level, "request", attributes...)
}

// recorder remembers the status of an answer.
type recorder struct {
	http.ResponseWriter
	status int
}

// WriteHeader notes the status.
func (a *recorder) WriteHeader(status int) {
	if a.status == 0 && status >= 200 {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

// Write notes the status that a body without one has.
func (a *recorder) Write(data []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	return a.ResponseWriter.Write(data)
}

// Unwrap lets http.ResponseController flush and set deadlines.
func (a *recorder) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func remoteOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

func originOf(r *http.Request) string {
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}
