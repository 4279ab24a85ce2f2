package app

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"fairlead.dev/fairlead/internal/fault"
)

// trustedProxies reads --trusted-proxy: addresses and networks in CIDR notation.
func trustedProxies(texts []string) ([]netip.Prefix, error) {
	var proxies []netip.Prefix
	var errs []error
	for _, text := range texts {
		if address, err := netip.ParseAddr(text); err == nil {
			proxies = append(proxies, netip.PrefixFrom(address.Unmap().WithZone(""), address.Unmap().BitLen()))
			continue
		}
		network, err := netip.ParsePrefix(text)
		if err != nil || network != network.Masked() {
			errs = append(errs, fault.InvalidField("trusted-proxy", "network", "%.80q is no address and no network", text).
				WithHint("Write it as 10.1.0.7 or 10.1.0.0/24."))
			continue
		}
		proxies = append(proxies, network)
	}
	return proxies, fault.Join(errs...)
}

// behind has next see the address of the client where the connection is one of
// these proxies, which tells it in X-Forwarded-For. What others say there is not
// believed.
func behind(proxies []netip.Prefix, next http.Handler) http.Handler {
	if len(proxies) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if client, found := clientOf(proxies, r.RemoteAddr, r.Header.Values("X-Forwarded-For")); found {
			told := *r
			told.RemoteAddr = net.JoinHostPort(client.String(), "0")
			r = &told
		}
		next.ServeHTTP(w, r)
	})
}

// clientOf is the address of who asks a proxy: from the right, the first that is
// no proxy, since whoever is left of it may have written all that is left of it.
func clientOf(proxies []netip.Prefix, connection string, forwarded []string) (client netip.Addr, found bool) {
	isProxy := func(address netip.Addr) bool {
		return slices.ContainsFunc(proxies, func(p netip.Prefix) bool { return p.Contains(address) })
	}
	client, ok := parseClient(connection)
	if !ok || !isProxy(client) {
		return netip.Addr{}, false
	}
	hops := strings.Split(strings.Join(forwarded, ","), ",")
	for _, hop := range slices.Backward(hops) {
		address, ok := parseClient(strings.TrimSpace(hop))
		if !ok {
			break
		}
		if client, found = address, true; !isProxy(address) {
			break
		}
	}
	return client, found
}

// parseClient reads an address, with a port behind it or without.
func parseClient(text string) (netip.Addr, bool) {
	address, err := netip.ParseAddr(strings.Trim(text, "[]"))
	if err != nil {
		pair, err := netip.ParseAddrPort(text)
		if err != nil {
			return netip.Addr{}, false
		}
		address = pair.Addr()
	}
	return address.Unmap().WithZone(""), true
}
