package adapter

import (
	"context"
	"io"
	"slices"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/execution"
	"fairlead.dev/fairlead/internal/gitfetch"
	"fairlead.dev/fairlead/internal/project"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/vault"
)

// projectPrefix begins the binding of a project's secrets, so that none opens in
// the place of a credential's, whose binding is a UUID.
const projectPrefix = "project/"

func bindingOf(place project.Place) vault.Binding {
	return vault.Binding{CredentialID: projectPrefix + place.ProjectID + "/" + place.Name, Version: place.Version}
}

// SealSecret seals a secret of a project for its place; with OpenSecret, a
// Sealer is a project.Sealer too.
func (s Sealer) SealSecret(plain secret.Text, place project.Place) (project.Sealed, error) {
	sealed, err := s.Vault.Seal(plain, bindingOf(place))
	return project.Sealed(sealed), err
}

// OpenSecret gives the secret that was sealed for that place.
func (s Sealer) OpenSecret(sealed project.Sealed, place project.Place) (secret.Text, error) {
	return s.Vault.Open(vault.Sealed(sealed), bindingOf(place))
}

// Hosts is what gitfetch knows of addresses, as project.Hosts.
type Hosts struct{}

// CheckRepository says what is wrong with a link.
func (Hosts) CheckRepository(repository project.Repository, login secret.Text) error {
	return gitfetch.Check(remoteOf(repository, login))
}

func remoteOf(r project.Repository, login secret.Text) gitfetch.Remote {
	remote := gitfetch.Remote{URL: r.URL, Username: r.Username, KnownHosts: r.KnownHosts}
	switch r.Login {
	case project.Token:
		remote.Token = login
	case project.SSHKey:
		remote.SSHKey = login
	}
	return remote
}

// Repositories is a Fetcher with the projects' links, as execution.Repositories.
type Repositories struct {
	Fetcher  *gitfetch.Fetcher
	Projects *project.Service
}

func (r Repositories) remote(ctx context.Context, p account.Project) (gitfetch.Remote, error) {
	repository, login, err := r.Projects.OpenRepository(ctx, p)
	return remoteOf(repository, login), err
}

// Heads are the newest commits of the branches and tags, the default branch last.
func (r Repositories) Heads(ctx context.Context, p account.Project) ([]execution.Revision, error) {
	remote, err := r.remote(ctx, p)
	if err != nil {
		return nil, err
	}
	refs, err := r.Fetcher.Fetch(ctx, remote)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(refs, func(a, b gitfetch.Ref) int {
		switch {
		case a.Default == b.Default:
			return a.Time.Compare(b.Time)
		case a.Default:
			return 1
		default:
			return -1
		}
	})
	heads := make([]execution.Revision, len(refs))
	for i, ref := range refs {
		heads[i] = execution.Revision{Hash: ref.Commit, Ref: ref.Short(), Time: ref.Time, Message: ref.Message}
	}
	return heads, nil
}

// Resolve finds a commit.
func (r Repositories) Resolve(ctx context.Context, p account.Project, rev string) (execution.Revision, error) {
	remote, err := r.remote(ctx, p)
	if err != nil {
		return execution.Revision{}, err
	}
	found, err := r.Fetcher.Resolve(ctx, remote, rev)
	return execution.Revision{
		Hash: found.Hash, Ref: gitfetch.Ref{Name: found.Ref}.Short(), Time: found.Time, Message: found.Message,
	}, err
}

// Pack writes the code of a commit.
func (r Repositories) Pack(ctx context.Context, p account.Project, hash string, w io.Writer) ([]string, error) {
	remote, err := r.remote(ctx, p)
	if err != nil {
		return nil, err
	}
	return r.Fetcher.Pack(ctx, remote, hash, w)
}

// ConfigPath is where in the code the valohai.yaml is.
func (r Repositories) ConfigPath(ctx context.Context, p account.Project) (string, error) {
	repository, err := r.Projects.Repository(ctx, p)
	return repository.ConfigPath, err
}
