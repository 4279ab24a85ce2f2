package oci

import (
	"net/http"
	"net/url"
	"strings"

	"fairlead.dev/fairlead/internal/fault"
)

// through is a pull-through cache on the way to a registry.
type through struct {
	host string // canonical
	base string // path before the API's own, without a slash at its end
	tls  bool

	within string // begins the names of the registry's repositories there: HOST/
	way    string // what Source tells it by
}

// Through is the way to a registry by a pull-through cache, which is asked in its
// place: for the repository HOST/REPOSITORY. The cache's address is http or https, a
// host and perhaps a path; entering it is the operator's permission to reach it, as a
// host rule is. Reach is how the registry is reached from the cache, if it is in a way of
// its own; this process reaches the cache as the cache says, and not by that way.
//
// What is shown is for the cache alone: no other host gets it, and no redirect keeps it.
func (t *Transport) Through(cache *url.URL, registry string, reach Reach) (*Route, error) {
	if err := CheckCache(cache); err != nil {
		return nil, err
	}
	host := canonical(cache.Host)
	r := &Route{transport: t, api: apiHost(registry), entered: true, cache: &through{
		host: host, base: strings.TrimSuffix(cache.Path, "/"), tls: cache.Scheme == "https",
		within: strings.ToLower(registry) + "/", way: "/through/" + host,
	}}
	if !reach.IsZero() {
		r.cache.way += "/" + reach.digest()
	}
	return r, nil
}

// CheckCache says what is wrong with a cache's address: an Invalid fault.
func CheckCache(cache *url.URL) error {
	switch {
	case cache.Scheme != "http" && cache.Scheme != "https" || cache.Hostname() == "" || cache.Opaque != "":
		return fault.New(fault.Invalid, "cache_address", "%q is no address of a pull-through cache", escape(Redact(cache))).
			WithHint("Write it as http://HOST:PORT or https://HOST.")
	case cache.User != nil || cache.RawQuery != "" || cache.Fragment != "":
		return fault.New(fault.Invalid, "cache_address", "the address of the pull-through cache holds more than a host and a path").
			WithHint("Write it as http://HOST:PORT or https://HOST: a worker logs in with its own token.")
	default:
		return nil
	}
}

// WithCache is the configuration of a transport that reaches a cache besides, wherever
// it is.
func (c Config) WithCache(cache *url.URL) Config {
	rule := HostRule{Host: cache.Host, PlainHTTP: cache.Scheme == "http"}
	hosts := make([]HostRule, 0, len(c.Hosts)+1)
	for _, known := range c.Hosts {
		if apiHost(known.Host) != apiHost(rule.Host) {
			hosts = append(hosts, known)
			continue
		}
		rule.Address, rule.CA = known.Address, known.CA
	}
	c.Hosts = append(hosts, rule)
	return c
}

// Cache is the host of the pull-through cache that is asked; "" where the registry is.
func (r *Route) Cache() string {
	if r.cache == nil {
		return ""
	}
	return r.cache.host
}

// Repository is the path of something in a repository: what is manifests or blobs, and
// name a tag or a digest.
func (r *Route) Repository(repository, what, name string) string {
	if r.cache != nil {
		repository = r.cache.within + repository
	}
	return "/v2/" + repository + "/" + what + "/" + name
}

// guardCache applies the rules of a cache to a request: what is shown goes to it alone,
// and to nowhere that it redirects to.
func (r *Route) guardCache(request *http.Request) error {
	if request.Response != nil {
		request.Header.Del("Authorization")
	}
	if request.Header.Get("Authorization") == "" {
		return nil
	}
	u := request.URL
	if canonical(u.Host) == r.cache.host && (u.Scheme == "https") == r.cache.tls {
		return nil
	}
	return fault.New(fault.Denied, "credential_elsewhere", "what the cache %s is shown is not sent to %s", r.cache.host, escape(u.Host))
}
