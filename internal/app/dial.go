package app

import (
	"context"
	"crypto/x509"
	"net"
	"strings"

	"fairlead.dev/fairlead/internal/fault"
)

// privateHosts reads the hosts on private networks that the operator named with a
// setting: HOST, or HOST=ADDRESS:PORT. They are in lower case, each with its
// address; "": as its name says.
func privateHosts(name string, settings []string) (map[string]string, error) {
	hosts := make(map[string]string)
	for _, setting := range settings {
		host, address, hasAddress := strings.Cut(setting, "=")
		if _, _, err := net.SplitHostPort(address); host == "" || hasAddress && err != nil {
			return nil, fault.InvalidField(name, "pair", "%q is no HOST and no HOST=ADDRESS:PORT", setting)
		}
		hosts[strings.ToLower(host)] = address
	}
	return hosts, nil
}

// dialer connects through the guarded transport: to the public internet, and to
// those hosts on private networks. forbidden is what is said of a host at an
// address that is not dialled, and hears whether it is one of those.
func (s *Server) dialer(hosts map[string]string, forbidden func(host string, local bool) error) func(ctx context.Context, network, target string) (net.Conn, error) {
	return func(ctx context.Context, network, target string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(target)
		if err != nil {
			return nil, err
		}
		address, local := hosts[strings.ToLower(host)]
		if address != "" {
			target = address
		}
		conn, err := s.reach.Dial(ctx, network, target, local)
		if fault.Is(err, fault.Denied) {
			return nil, forbidden(host, local)
		}
		return conn, err
	}
}

// roots are the authorities that are trusted besides the system's; nil: none.
func (s *Server) roots() (*x509.CertPool, error) {
	if s.config.Registries.CA == "" {
		return nil, nil
	}
	text, err := readPEM("ca", s.config.Registries.CA)
	if err != nil {
		return nil, err
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, err
	}
	roots.AppendCertsFromPEM(text)
	return roots, nil
}
