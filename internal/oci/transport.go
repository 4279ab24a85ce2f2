// Package oci is the distribution protocol seen from a client: the guarded
// transport that every call to a registry goes through, challenges and tokens,
// manifests, and errors that say what happened.
//
// It knows no stored credential (that is package grant) and unpacks no image
// (that is package pull). Start with NewTransport, take the Route to a
// registry from it with For, and ask through NewClient.
package oci

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/fault"
)

// Transport reaches registries and their token services. It is made once for
// a process and is safe for concurrent use. It gives out Routes, each bound to
// the registry on whose behalf a call is made; nothing else sends a request.
type Transport struct {
	config Config
	rules  map[string]HostRule
	way    string // what tells it from a transport that reaches registries otherwise; "" for the process's own

	// One pool of connections per rule and per answer to "which addresses
	// may be dialled?", so that a connection that one registry may use is
	// never found idle by another that may not.
	ruled   map[string]*http.Transport
	public  *http.Transport // public addresses only
	local   *http.Transport // hosts that are private by their very name, entered by an admin
	proxied *http.Transport // the proxy dials in our place

	// For each of these pools, one in which no two requests share a connection.
	sideBySide map[*http.Transport]*http.Transport

	realmHosts map[string][]string
}

// Config is how a process reaches registries. The zero value is ready to use:
// public registries, the system's roots and the environment's proxy.
type Config struct {
	// Hosts are the registries and token services that are reached in a way
	// of their own. At most one rule per host.
	Hosts []HostRule

	// CA holds PEM certificates that are trusted besides the system's roots.
	CA []byte

	// RealmHosts are further hosts that a registry may name as its token
	// service: the registry's host to the hosts of the token services.
	RealmHosts map[string][]string

	// UserAgent is sent with every request that has none; "fairlead" if empty.
	UserAgent string

	// Proxy says which proxy to use; http.ProxyFromEnvironment if nil. A host
	// rule with an address goes past it. Behind a proxy it is the proxy that
	// resolves names, so the rule about private addresses is then checked on
	// literal addresses only.
	Proxy func(*http.Request) (*url.URL, error)

	// proxyEntered tells that an admin of an organisation chose the proxy, and
	// not the operator of the machine.
	proxyEntered bool

	// Resolver looks up names; net.DefaultResolver if nil.
	Resolver *net.Resolver

	// Observer hears of every request; nobody does if nil.
	Observer Observer

	// Limits of time for one connection: 10 s to dial, 10 s for the TLS
	// handshake, 60 s from the request to the head of the answer, and 90 s
	// idle, where zero. How long an answer's body may take is the caller's
	// context to say.
	DialTimeout, TLSTimeout, HeaderTimeout, IdleTimeout time.Duration

	// MaxIdlePerHost bounds the idle connections kept for one host; 16 if 0.
	MaxIdlePerHost int
}

// Observer hears of requests, for who traces them.
type Observer interface {
	// Requesting is called with a request as it is sent, which it does not change;
	// the function with the head of the answer, or why there is none.
	Requesting(request *http.Request) func(*http.Response, error)
}

// HostRule says how to reach one registry or token service, as curl's
// --resolve and --cacert do: the name in the certificate and in the Host
// header stays the registry's. A rule is the admin's own permission to reach
// a private or loopback address under that name.
type HostRule struct {
	// Host is the name, with a port where an image's name has one.
	Host string

	// Address is the host:port to dial instead; empty: what Host resolves to.
	Address string

	// CA holds PEM certificates; where given, only these are trusted for Host.
	CA []byte

	// PlainHTTP allows, and chooses, http for this host.
	PlainHTTP bool
}

// NewTransport checks the configuration and opens no connection. The error is
// an Invalid fault that names the rule.
func NewTransport(config Config) (*Transport, error) {
	config = config.withDefaults()
	roots, err := config.roots()
	if err != nil {
		return nil, err
	}
	t := &Transport{
		config:     config,
		rules:      make(map[string]HostRule),
		ruled:      make(map[string]*http.Transport),
		sideBySide: make(map[*http.Transport]*http.Transport),
		realmHosts: make(map[string][]string),
	}
	t.public = t.pool(roots, nil, t.dialer(publicOnly).DialContext)
	t.local = t.pool(roots, nil, t.dialer(neverLinkLocal).DialContext)
	var proxyControl controlFunc
	if config.proxyEntered {
		proxyControl = neverLinkLocal
	}
	t.proxied = t.pool(roots, config.Proxy, t.dialer(proxyControl).DialContext)
	for i, rule := range config.Hosts {
		if err := t.addRule(rule, roots); err != nil {
			f := fault.From(err)
			f.Message = fmt.Sprintf("host rule %d (%q): %s", i+1, rule.Host, f.Message)
			return nil, f
		}
	}
	for registry, realms := range config.RealmHosts {
		key := apiHost(registry)
		for _, realm := range realms {
			t.realmHosts[key] = append(t.realmHosts[key], canonical(realm))
		}
	}
	return t, nil
}

// Dial opens a connection that carries no request of a registry's: to an address
// of the public internet, or where it is local of a private network too. The
// address of a cloud's metadata service is refused in either case.
func (t *Transport) Dial(ctx context.Context, network, address string, local bool) (net.Conn, error) {
	control := controlFunc(publicOnly)
	if local {
		control = neverLinkLocal
	}
	return t.dialer(control).DialContext(ctx, network, address)
}

// CloseIdleConnections closes every connection that no request is using.
func (t *Transport) CloseIdleConnections() {
	for pool, alone := range t.sideBySide {
		pool.CloseIdleConnections()
		alone.CloseIdleConnections()
	}
}

func (c Config) withDefaults() Config {
	if c.UserAgent == "" {
		c.UserAgent = "fairlead"
	}
	if c.Proxy == nil {
		c.Proxy = http.ProxyFromEnvironment
	}
	if c.DialTimeout == 0 {
		c.DialTimeout = 10 * time.Second
	}
	if c.TLSTimeout == 0 {
		c.TLSTimeout = 10 * time.Second
	}
	if c.HeaderTimeout == 0 {
		c.HeaderTimeout = time.Minute
	}
	if c.IdleTimeout == 0 {
		c.IdleTimeout = 90 * time.Second
	}
	if c.MaxIdlePerHost == 0 {
		c.MaxIdlePerHost = 16
	}
	return c
}

// roots is nil (the system's own) where no CA is added.
func (c Config) roots() (*x509.CertPool, error) {
	if len(c.CA) == 0 {
		return nil, nil
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("reading the system's certificates: %w", err)
	}
	if !roots.AppendCertsFromPEM(c.CA) {
		return nil, fault.InvalidField("ca", "ca_pem", "holds no PEM certificate")
	}
	return roots, nil
}

func (t *Transport) addRule(rule HostRule, roots *x509.CertPool) error {
	key, err := ruleKey(rule.Host)
	if err != nil {
		return err
	}
	if _, twice := t.rules[key]; twice {
		return fault.InvalidField("host", "host_twice", "has a rule already")
	}
	if len(rule.CA) > 0 {
		roots = x509.NewCertPool()
		if !roots.AppendCertsFromPEM(rule.CA) {
			return fault.InvalidField("ca", "ca_pem", "holds no PEM certificate")
		}
	}
	dialer := t.dialer(neverLinkLocal)
	dial, proxy := dialer.DialContext, t.config.Proxy
	if rule.Address != "" {
		if host, port, err := net.SplitHostPort(rule.Address); err != nil || host == "" || port == "" {
			return fault.InvalidField("address", "host_address", "%q is no host:port", rule.Address)
		}
		proxy = nil
		dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, rule.Address)
		}
	}
	t.rules[key] = rule
	t.ruled[key] = t.pool(roots, proxy, dial)
	return nil
}

// ruleKey is the host of a rule in the form that requests are looked up by.
func ruleKey(host string) (string, error) {
	u, err := url.Parse("//" + host)
	if err != nil || u.Host == "" || u.Host != host || u.Hostname() == "" {
		return "", fault.InvalidField("host", "host_name", "%q is no host name", host).
			WithHint("Write the registry's host alone, such as registry.example.org or registry.example.org:5000.")
	}
	return apiHost(host), nil
}

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

func (t *Transport) dialer(control controlFunc) *net.Dialer {
	return &net.Dialer{
		Timeout:        t.config.DialTimeout,
		KeepAlive:      30 * time.Second,
		Resolver:       t.config.Resolver,
		ControlContext: control,
	}
}

// pool makes one pool of connections, and the one that goes with it side by side.
func (t *Transport) pool(roots *x509.CertPool, proxy func(*http.Request) (*url.URL, error), dial dialFunc) *http.Transport {
	pool, alone := t.connections(roots, proxy, dial), t.connections(roots, proxy, dial)
	alone.ForceAttemptHTTP2, alone.Protocols = false, new(http.Protocols)
	alone.Protocols.SetHTTP1(true)
	t.sideBySide[pool] = alone
	return pool
}

func (t *Transport) connections(roots *x509.CertPool, proxy func(*http.Request) (*url.URL, error), dial dialFunc) *http.Transport {
	return &http.Transport{
		Proxy:                  proxy,
		DialContext:            dial,
		ForceAttemptHTTP2:      true,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		TLSHandshakeTimeout:    t.config.TLSTimeout,
		ResponseHeaderTimeout:  t.config.HeaderTimeout,
		IdleConnTimeout:        t.config.IdleTimeout,
		ExpectContinueTimeout:  time.Second,
		MaxIdleConns:           256,
		MaxIdleConnsPerHost:    t.config.MaxIdlePerHost,
		MaxResponseHeaderBytes: 256 << 10,
		// Layers are compressed already, and their digest is of the bytes
		// as they are sent.
		DisableCompression: true,
	}
}

// canonical is a host as it is compared: lower case, without the port of https.
func canonical(host string) string {
	return strings.TrimSuffix(strings.ToLower(host), ":443")
}

// apiHost is the host that serves the API of a registry, in canonical form.
// https://docs.docker.com/docker-hub/ serves docker.io from another name.
func apiHost(registry string) string {
	switch host := canonical(registry); host {
	case "docker.io", "index.docker.io":
		return "registry-1.docker.io"
	default:
		return host
	}
}
