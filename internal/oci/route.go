package oci

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"fairlead.dev/fairlead/internal/fault"
)

// Route is the way to one registry: an http.RoundTripper for the calls that
// are made on its behalf, to itself, to its token service and to where its
// blobs redirect. It lets no request pass that breaks the rules:
//
//   - https, unless a host rule (or a loopback registry that an admin entered)
//     allows http, and never http after https;
//   - no link-local address, and no private or loopback one that was not
//     entered by an admin, checked on the address that is really dialled;
//   - an Authorization header goes to the registry and its token service
//     alone. A redirect to another host drops it, a redirected blob download
//     always does;
//   - at most five redirects, and none that would send a body elsewhere.
//
// What it refuses is a Denied fault with a sentence. It is safe for concurrent
// use and holds no connections of its own.
type Route struct {
	transport *Transport
	api       string // canonical host of the registry's API
	entered   bool
	cache     *through // that is asked in the registry's place; nil: the registry is

	sideBySide bool // no two requests share a connection
}

// For is the way to a registry that an admin entered, in a credential or a
// host rule. Entering it is the permission to reach it where its very name is
// a private or loopback address (10.0.0.5:5000, localhost:5000). The host is
// as in an image's name: docker.io is Docker Hub.
func (t *Transport) For(registry string) *Route {
	return &Route{transport: t, api: apiHost(registry), entered: true}
}

// ForStranger is the way to a registry that only an image's name speaks of:
// no private or loopback address is reached without a host rule.
func (t *Transport) ForStranger(registry string) *Route {
	return &Route{transport: t, api: apiHost(registry)}
}

// SideBySide is the same way for requests that are to go on at the same time:
// each has a connection of its own, where HTTP/2 would have them share one and its
// windows. Otherwise the rules are the same.
func (r *Route) SideBySide() *Route {
	other := *r
	other.sideBySide = true
	return &other
}

// Host is the host of the registry's API, with a port where it is not the
// scheme's own.
func (r *Route) Host() string { return r.api }

// Source tells the registry from every other that may bring other bytes: it is the
// host, and how a credential says that it is reached, if it says so. An organisation
// can lead a registry's name to a server of its own. Behind a pull-through cache, it is
// another one: the cache says of a layer that a manifest leads to it, and the registry
// that the repository has it.
func (r *Route) Source() string {
	if r.cache != nil {
		return r.api + r.cache.way
	}
	return r.api + r.transport.way
}

// Scheme is what the registry, or the cache in its place, is spoken to in: https, or
// http where that is allowed.
func (r *Route) Scheme() string {
	if r.cache != nil && r.cache.tls || r.cache == nil && !r.plainHTTP(r.api) {
		return "https"
	}
	return "http"
}

// URL is an address in the API of the registry, or of the cache in its place; path
// begins with a slash.
func (r *Route) URL(path string) *url.URL {
	if r.cache != nil {
		return &url.URL{Scheme: r.Scheme(), Host: r.cache.host, Path: r.cache.base + path}
	}
	return &url.URL{Scheme: r.Scheme(), Host: r.api, Path: path}
}

// RoundTrip sends one request, if the rules allow it. It follows no redirect:
// an http.Client around the Route does, and each step of it comes back here.
func (r *Route) RoundTrip(request *http.Request) (*http.Response, error) {
	guarded, pool, err := r.guard(request)
	if err != nil {
		if request.Body != nil {
			_ = request.Body.Close()
		}
		return nil, err
	}
	if r.transport.config.Observer == nil {
		return pool.RoundTrip(guarded)
	}
	done := r.transport.config.Observer.Requesting(guarded)
	response, err := pool.RoundTrip(guarded)
	done(response, err)
	return response, err
}

// guard applies the rules to a copy of the request and picks the connections
// it may use.
func (r *Route) guard(request *http.Request) (*http.Request, *http.Transport, error) {
	u := request.URL
	if u.User != nil {
		return nil, nil, fault.New(fault.Denied, "url_userinfo", "an address with a user name in it is not followed: %s", Redact(u))
	}
	if err := r.mayBeScheme(u); err != nil {
		return nil, nil, err
	}
	guarded := request.Clone(request.Context())
	if err := r.guardRedirect(guarded); err != nil {
		return nil, nil, err
	}
	if r.cache != nil {
		if err := r.guardCache(guarded); err != nil {
			return nil, nil, err
		}
	} else if guarded.Header.Get("Authorization") != "" {
		if err := r.mayHoldCredential(u); err != nil {
			return nil, nil, err
		}
	}
	if guarded.Header.Get("User-Agent") == "" {
		guarded.Header.Set("User-Agent", r.transport.config.UserAgent)
	}
	pool, err := r.pool(guarded)
	if err == nil && r.sideBySide {
		pool = r.transport.sideBySide[pool]
	}
	return guarded, pool, err
}

func (r *Route) mayBeScheme(u *url.URL) error {
	switch {
	case u.Scheme == "https", u.Scheme == "http" && r.plainHTTP(canonical(u.Host)):
		return nil
	case u.Scheme == "http":
		return fault.New(fault.Denied, "plain_http", "%s would be reached without encryption", escape(u.Host)).
			WithHint("Use https, or let an admin of this Fairlead enter a host rule that allows plain http for it.")
	default:
		return fault.New(fault.Denied, "url_scheme", "%q is no scheme that a registry is reached by", u.Scheme)
	}
}

// plainHTTP reports whether a host (in canonical form) may be spoken to
// without TLS.
func (r *Route) plainHTTP(host string) bool {
	if rule, found := r.transport.rules[host]; found {
		return rule.PlainHTTP
	}
	return r.isOwnLocalHost(host) && reachOfName(hostname(host)) == loopback
}

// mayHoldCredential reports an error unless u is the registry or a token
// service that it may name.
func (r *Route) mayHoldCredential(u *url.URL) error {
	if canonical(u.Host) == r.api || r.isRealmHost(u) {
		return nil
	}
	return fault.New(fault.Denied, "credential_elsewhere", "a credential for %s is not sent to %s", r.api, escape(u.Host))
}

// pool picks the connections by what may be dialled for the request.
func (r *Route) pool(request *http.Request) (*http.Transport, error) {
	host := canonical(request.URL.Host)
	if pool, found := r.transport.ruled[host]; found {
		return pool, nil
	}
	if r.isOwnLocalHost(host) {
		return r.transport.local, nil
	}
	if reach := reachOfName(hostname(host)); reach != public {
		return nil, forbidden(host, reach)
	}
	proxy, err := r.transport.config.Proxy(request)
	if err != nil {
		return nil, fmt.Errorf("choosing a proxy: %w", err)
	}
	if proxy != nil {
		return r.transport.proxied, nil
	}
	return r.transport.public, nil
}

// isOwnLocalHost reports whether host is the registry itself, private by its
// very name, and entered by an admin under that name.
func (r *Route) isOwnLocalHost(host string) bool {
	name := hostname(host)
	if !r.entered || r.cache != nil || name != hostname(r.api) {
		return false
	}
	reach := reachOfName(name)
	return reach == private || reach == loopback
}

// hostname is host without its port and brackets.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return strings.Trim(host, "[]")
}
