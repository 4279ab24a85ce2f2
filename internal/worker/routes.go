package worker

import (
	"net/url"
	"sync"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/wire"
)

// routes are the ways to registries, made once for each way that the server
// told.
type routes struct {
	base oci.Config

	mu         sync.Mutex
	transports map[routeKey]*oci.Transport
	caches     map[string]*oci.Transport // by address
}

type routeKey struct {
	host  string
	route wire.RegistryRoute
	reach wire.RegistryReach
}

// to is the way to the registry of a grant. One that nobody entered anywhere,
// in a credential or a host rule, is a stranger: no private address is reached
// for it.
func (r *routes) to(grant wire.Grant) (*oci.Route, error) {
	key := routeKey{host: grant.Host}
	if grant.Route != nil {
		key.route = *grant.Route
	}
	if grant.Reach != nil {
		key.reach = *grant.Reach
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	transport, known := r.transports[key]
	if !known {
		var err error
		if transport, err = r.transport(key, grant.Route != nil); err != nil {
			return nil, err
		}
		if r.transports == nil {
			r.transports = make(map[routeKey]*oci.Transport)
		}
		r.transports[key] = transport
	}
	if grant.Credential == "" && grant.Route == nil {
		return transport.ForStranger(grant.Host), nil
	}
	return transport.For(grant.Host), nil
}

// through is the way to the registry of a grant by a pull-through cache. The cache is
// reached as this machine's operator says, whatever the grant says of the registry.
func (r *routes) through(cache string, grant wire.Grant) (*oci.Route, error) {
	address, err := url.Parse(cache)
	if err != nil {
		return nil, fault.New(fault.Invalid, "cache_address", "the address of the pull-through cache cannot be read")
	}
	if err := oci.CheckCache(address); err != nil {
		return nil, err
	}
	var reach oci.Reach
	if grant.Reach != nil {
		if reach, err = oci.ParseReach(grant.Reach.Proxy, grant.Reach.CA, grant.Reach.Addresses); err != nil {
			return nil, err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	transport, known := r.caches[cache]
	if !known {
		if transport, err = oci.NewTransport(r.base.WithCache(address)); err != nil {
			return nil, fault.From(err)
		}
		if r.caches == nil {
			r.caches = make(map[string]*oci.Transport)
		}
		r.caches[cache] = transport
	}
	return transport.Through(address, grant.Host, reach)
}

func (r *routes) transport(key routeKey, ruled bool) (*oci.Transport, error) {
	config := r.base
	own := false
	for _, rule := range config.Hosts {
		own = own || rule.Host == key.host
	}
	if ruled && !own {
		config.Hosts = append(config.Hosts[:len(config.Hosts):len(config.Hosts)], oci.HostRule{
			Host: key.host, Address: key.route.Address, CA: []byte(key.route.CA), PlainHTTP: key.route.PlainHTTP,
		})
	}
	transport, err := oci.NewTransport(config)
	if err != nil {
		return nil, fault.From(err)
	}
	if key.reach == (wire.RegistryReach{}) {
		return transport, nil
	}
	reach, err := oci.ParseReach(key.reach.Proxy, key.reach.CA, key.reach.Addresses)
	if err != nil {
		return nil, err
	}
	return transport.With(reach)
}
