// Package web is the door for people: pages that a browser shows, made on the
// server of templates, with htmx for what changes in place and server-sent events
// for what goes on. It asks the same services as the API, holds no rules of its own,
// and keeps nothing between requests but what a session's cookie names, and what a
// CacheWatch remembers of figures.
//
// Start with New; routes.go reads as a table of contents. Every page works without
// JavaScript, but for what is live.
package web

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

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
	"fairlead.dev/fairlead/internal/signon"
	"fairlead.dev/fairlead/internal/wire"
)

// Config is what the pages show and change. All of it is required, unless said
// otherwise.
type Config struct {
	Accounts   *account.Service
	Projects   *project.Service
	Registries *registry.Service
	Selector   *registry.Selector
	Executions *execution.Service
	Dispatch   *dispatch.Service
	Broker     *broker.Broker
	Audit      audit.Store
	Channels   *notice.Service
	Outbox     *outbox.Outbox

	// SignOn is the way to the provider that people sign in at; nil: there is none.
	SignOn *signon.SignOn

	// Cache is the pull-through cache inside the server; nil: there is none.
	Cache *CacheWatch

	// Origin is scheme://host, as people reach the server; "": as they asked.
	Origin string

	// Version is what the server says of itself.
	Version string

	// Logger gets a line for each request, without its query, at debug level, or at
	// info and error level where it was refused or failed.
	Logger *slog.Logger

	// Now is the clock; time.Now if nil.
	Now func() time.Time

	Observer Observer // nobody hears if nil
}

// Observer hears of requests, for those who count and trace them.
type Observer interface {
	// Serving is called with a request, and gives the one to go on with. The function
	// is called once, with the route's pattern, or "none", and the status.
	Serving(r *http.Request) (*http.Request, func(route string, status int))
}

// site is the pages. The handlers are its methods, one file per noun.
type site struct {
	config Config
	mux    *http.ServeMux
	assets *assets
	views  *views
	origin *http.CrossOriginProtection
}

// New returns the pages, to be served for every path that no other door has. It is
// safe for concurrent use and starts nothing in the background.
func New(config Config) (http.Handler, error) {
	if config.Accounts == nil || config.Projects == nil || config.Registries == nil || config.Selector == nil || config.Executions == nil ||
		config.Dispatch == nil || config.Broker == nil || config.Audit == nil || config.Channels == nil || config.Outbox == nil || config.Logger == nil {
		return nil, errors.New("opening the pages: a service is missing")
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	s := &site{config: config, mux: http.NewServeMux(), origin: http.NewCrossOriginProtection()}
	if config.Origin != "" {
		if err := s.origin.AddTrustedOrigin(config.Origin); err != nil {
			return nil, err
		}
	}
	var err error
	if s.assets, err = openAssets(); err != nil {
		return nil, err
	}
	s.views = newViews(s)
	s.routes()
	return s, nil
}

// policy lets a page load what this server has, and nothing else: no inline script or
// style, no frame, no outside address.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// ServeHTTP answers one request.
func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	header := w.Header()
	header.Set("Content-Security-Policy", policy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "same-origin")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cache-Control", "no-store") // pages; assets say otherwise
	if s.isSecure(r) {
		header.Set("Strict-Transport-Security", "max-age=31536000")
	}
	id := wire.RequestID(r.Header.Get(wire.RequestIDHeader))
	r.Header.Set(wire.RequestIDHeader, id)
	header.Set(wire.RequestIDHeader, id)
	served := func(string, int) {}
	if s.config.Observer != nil {
		r, served = s.config.Observer.Serving(r)
	}
	v := &visit{site: s, id: id, w: &recorder{ResponseWriter: w}, r: r}
	v.htmx = r.Header.Get("HX-Request") == "true"
	defer func() {
		defer func() { served(routeOf(v.r), v.w.status) }()
		if caught := recover(); caught != nil {
			if err, is := caught.(error); is && errors.Is(err, http.ErrAbortHandler) {
				panic(caught)
			}
			s.config.Logger.Error("a page panicked", "request", v.id, "method", r.Method, "path", r.URL.EscapedPath(), "panic", caught, "stack", string(debug.Stack()))
			if v.w.status == 0 {
				v.fail(errPanicked)
			}
		}
		s.log(v, time.Since(began))
	}()
	if err := s.origin.Check(r); err != nil {
		v.fail(fault.New(fault.Denied, "cross_origin", "this was sent by a page of another site").
			WithHint("Open the page here and try again; if a proxy is between, set --public-url to the address that people use."))
		return
	}
	v.r = r.WithContext(context.WithValue(r.Context(), visitKey{}, v))
	s.mux.ServeHTTP(v.w, v.r)
}

// routeOf is the path of the route that a request took, without the method; what no
// route is laid for is none.
func routeOf(r *http.Request) string {
	_, path, found := strings.Cut(r.Pattern, " ")
	if !found {
		return "none"
	}
	return strings.TrimSuffix(path, "{$}")
}

var errPanicked = errors.New("a page panicked")

// log writes the request's line.
func (s *site) log(v *visit, took time.Duration) {
	level := slog.LevelDebug
	switch {
	case v.w.status >= http.StatusInternalServerError:
		level = slog.LevelError
	case v.w.status >= http.StatusBadRequest:
		level = slog.LevelInfo
	}
	if !s.config.Logger.Enabled(v.r.Context(), level) {
		return
	}
	attributes := []slog.Attr{
		slog.String("request", v.id),
		slog.String("method", v.r.Method), slog.String("path", pathForLog(v.r.URL)), slog.Int("status", v.w.status),
		slog.Duration("took", took), slog.String("actor", v.actor.Name()), slog.String("remote", v.remote()),
	}
	if v.failure != nil {
		attributes = append(attributes, slog.String("code", v.failure.Code))
		if v.failure.Cause != nil {
			attributes = append(attributes, slog.String("error", v.failure.Error()))
		}
	}
	s.config.Logger.LogAttrs(v.r.Context(), level, "page", attributes...)
}

// pathForLog is the path without what may be a secret in it.
func pathForLog(u *url.URL) string {
	if path, _, found := strings.Cut(u.EscapedPath(), "/invitations/"); found {
		return path + "/invitations/***"
	}
	return u.EscapedPath()
}

// isSecure reports whether the browser came by https, as far as is known.
func (s *site) isSecure(r *http.Request) bool {
	return r.TLS != nil || strings.HasPrefix(s.config.Origin, "https://")
}

// recorder remembers the status of an answer.
type recorder struct {
	http.ResponseWriter
	status int
}

// WriteHeader notes the status.
func (a *recorder) WriteHeader(status int) {
	if a.status == 0 {
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
