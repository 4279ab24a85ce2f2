package oci

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"fairlead.dev/fairlead/internal/fault"
)

// Reach is how one credential's registry, and the cloud behind it, are reached
// in a way of their own, over and above the process's Config: what an admin of
// an organisation enters. It opens nothing that the process's rules close but
// the addresses that it names: those may be private, and never link-local.
type Reach struct {
	// Proxy is what every connection goes through; nil: as the process does.
	Proxy *url.URL

	// CA holds PEM certificates that are trusted besides.
	CA []byte

	// Addresses are the host:port to dial instead of what a host's name
	// resolves to: private endpoints.
	Addresses map[string]string
}

// IsZero reports whether nothing is in a way of its own.
func (r Reach) IsZero() bool { return r.Proxy == nil && len(r.CA) == 0 && len(r.Addresses) == 0 }

// ParseReach reads a way as it is told to workers and kept: a proxy's address, PEM
// certificates, and HOST=ADDRESS:PORT with commas between. Each may be "".
func ParseReach(proxy, ca, addresses string) (Reach, error) {
	reach := Reach{Addresses: make(map[string]string)}
	if ca != "" {
		reach.CA = []byte(ca)
	}
	if proxy != "" {
		address, err := url.Parse(proxy)
		if err != nil {
			return Reach{}, fault.InvalidField("proxy", "proxy_address", "is no address")
		}
		reach.Proxy = address
	}
	for entry := range strings.SplitSeq(addresses, ",") {
		if host, address, found := strings.Cut(entry, "="); found {
			reach.Addresses[host] = address
		}
	}
	return reach, nil
}

// With is a transport of its own, with its own connections, that reaches
// registries as t does but for what reach says. The error is an Invalid fault
// that names what is wrong with it.
func (t *Transport) With(reach Reach) (*Transport, error) {
	config := t.config
	if reach.Proxy != nil {
		proxy := *reach.Proxy
		config.Proxy = func(*http.Request) (*url.URL, error) { return &proxy, nil }
		config.proxyEntered = true
	}
	if len(reach.CA) > 0 {
		config.CA = bytes.Join([][]byte{config.CA, reach.CA}, []byte("\n"))
	}
	config.Hosts = slices.Clone(config.Hosts)
	for _, host := range slices.Sorted(maps.Keys(reach.Addresses)) {
		rule := HostRule{Host: host, Address: reach.Addresses[host]}
		at := slices.IndexFunc(config.Hosts, func(r HostRule) bool { return apiHost(r.Host) == apiHost(host) })
		if at < 0 {
			config.Hosts = append(config.Hosts, rule)
			continue
		}
		config.Hosts[at].Address = rule.Address
	}
	made, err := NewTransport(config)
	if err != nil {
		return nil, err
	}
	made.way = t.way
	if !reach.IsZero() {
		made.way += "/" + reach.digest()
	}
	return made, nil
}

// digest is the same for the same way alone.
func (r Reach) digest() string {
	h := sha256.New()
	proxy := ""
	if r.Proxy != nil {
		proxy = r.Proxy.String()
	}
	fmt.Fprintf(h, "%q %q", proxy, r.CA) // a hash never fails
	for _, host := range slices.Sorted(maps.Keys(r.Addresses)) {
		fmt.Fprintf(h, " %q=%q", host, r.Addresses[host])
	}
	return hex.EncodeToString(h.Sum(nil))
}
