package app

import (
	"path/filepath"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/gitfetch"
)

// Bounds of what is fetched from git repositories.
const gitBytesMost = 256 << 20

// openGit makes what fetches from git repositories. It goes through the guarded
// transport: to the public internet, and to those hosts on private networks that
// the operator named.
func (s *Server) openGit() (*gitfetch.Fetcher, error) {
	hosts, err := privateHosts("git-host", s.config.GitHosts)
	if err != nil {
		return nil, err
	}
	roots, err := s.roots()
	if err != nil {
		return nil, err
	}
	return gitfetch.New(gitfetch.Config{
		Dir: filepath.Join(s.config.DataDir, "git"), RootCAs: roots, MostBytes: gitBytesMost,
		Dial: s.dialer(hosts, guarded),
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
