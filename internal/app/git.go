package app

import (
	"context"
	"crypto/x509"
	"net"
	"path/filepath"
	"strings"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/gitfetch"
)

// Bounds of what is fetched from git repositories.
const gitBytesMost = 256 << 20

// openGit makes what fetches from git repositories. It goes through the guarded
// transport: to the public internet, and to those hosts on private networks that
// the operator named.
func (s *Server) openGit() (*gitfetch.Fetcher, error) {
	hosts := make(map[string]string)
	for _, setting := range s.config.GitHosts {
		host, address, hasAddress := strings.Cut(setting, "=")
		if _, _, err := net.SplitHostPort(address); host == "" || hasAddress && err != nil {
			return nil, fault.InvalidField("git-host", "pair", "%q is no HOST and no HOST=ADDRESS:PORT", setting)
		}
		hosts[strings.ToLower(host)] = address
	}
	var roots *x509.CertPool
	if s.config.Registries.CA != "" {
		text, err := readPEM("ca", s.config.Registries.CA)
		if err != nil {
			return nil, err
		}
		if roots, err = x509.SystemCertPool(); err != nil {
			return nil, err
		}
		roots.AppendCertsFromPEM(text)
	}
	return gitfetch.New(gitfetch.Config{
		Dir: filepath.Join(s.config.DataDir, "git"), RootCAs: roots, MostBytes: gitBytesMost,
		Dial: func(ctx context.Context, network, target string) (net.Conn, error) {
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
				return nil, guarded(host, local)
			}
			return conn, err
		},
	})
}

// guarded is said of a host at an address that is not dialled.
func guarded(host string, local bool) error {
	f := fault.New(fault.Denied, "git_address_forbidden", "the git host %s has an address that no git host may have", host)
	if local {
		return f.WithHint("It is where clouds tell their machines secrets. Mend the address of the repository.")
	}
	f.Message = "the git host " + host + " is on a private network, and projects may be linked to public ones alone"
	return f.WithHint("If it is to be used, the operator starts the server with --git-host %s.", host)
}
