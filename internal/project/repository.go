package project

import (
	"cmp"
	"context"
	"path"
	"strings"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/secret"
)

// Link is what a project's link to a repository is made from. At most one of
// Token and SSHKey is set.
type Link struct {
	URL        string
	Username   string
	Token      secret.Text
	SSHKey     secret.Text
	KnownHosts string
	ConfigPath string // "": valohai.yaml
}

// ConfigName is where a project's steps are, unless it says otherwise.
const ConfigName = "valohai.yaml"

// Link links a project to a git repository in place of the one before. The host
// is not asked.
func (s *Service) Link(ctx context.Context, actor account.Actor, key string, link Link) (Repository, error) {
	project, err := s.accounts.Project(ctx, actor, key)
	if err != nil {
		return Repository{}, err
	}
	repository := Repository{
		ProjectID: project.ID, URL: link.URL, Username: link.Username, KnownHosts: link.KnownHosts,
		ConfigPath: cmp.Or(link.ConfigPath, ConfigName), LinkedAt: s.now(),
	}
	repository.Version = versionAt(repository.LinkedAt)
	var login secret.Text
	switch {
	case !link.Token.IsEmpty() && !link.SSHKey.IsEmpty():
		return Repository{}, fault.InvalidField("token", "git_login", "there is a token and an ssh key, and only one of them can log in").
			WithHint("Keep the token for an https address, or the key for an ssh address.")
	case !link.Token.IsEmpty():
		repository.Login, login = Token, link.Token
	case !link.SSHKey.IsEmpty():
		repository.Login, login = SSHKey, link.SSHKey
	}
	if err := fault.Join(s.hosts.CheckRepository(repository, login), validPath(repository.ConfigPath)); err != nil {
		return Repository{}, err
	}
	defer s.sealing.Begin()()
	if repository.Login != "" {
		if repository.Sealed, err = s.sealer.SealSecret(login, repository.Place()); err != nil {
			return Repository{}, err
		}
	}
	event := s.event(actor, audit.ProjectLink, project)
	event.Details["url"] = repository.URL
	return repository, s.store.SetRepository(ctx, repository, event)
}

// Unlink takes the link away, with its login. Commits that were fetched stay.
func (s *Service) Unlink(ctx context.Context, actor account.Actor, key string) error {
	project, err := s.accounts.Project(ctx, actor, key)
	if err != nil {
		return err
	}
	if _, err := s.Repository(ctx, project); err != nil {
		return err
	}
	return s.store.DeleteRepository(ctx, project.ID, s.event(actor, audit.ProjectUnlink, project))
}

// Repository is the one that the project is linked to.
func (s *Service) Repository(ctx context.Context, project account.Project) (Repository, error) {
	repository, err := s.store.Repository(ctx, project.ID)
	if fault.Is(err, fault.NotFound) {
		err = notLinked(project.Name)
	}
	return repository, err
}

// OpenRepository is the repository with what logs in to it. Only what fetches
// may call it.
func (s *Service) OpenRepository(ctx context.Context, project account.Project) (Repository, secret.Text, error) {
	repository, err := s.Repository(ctx, project)
	if err != nil || repository.Login == "" {
		return repository, secret.Text{}, err
	}
	login, err := s.sealer.OpenSecret(repository.Sealed, repository.Place())
	if err != nil {
		err = fault.New(fault.Internal, "seal_broken", "the login of the repository of the project %s does not open", project.Name).
			WithHint("It was sealed with a key that this server does not have, or its row was altered. Put the key file back, or link the repository anew with `fairlead project link-git`.").
			WithCause(err)
	}
	return repository, login, err
}

func notLinked(project string) error {
	return fault.New(fault.NotFound, "repository_none", "the project %s is linked to no git repository", project).
		WithHint("Link it: `fairlead project link-git %s URL`; or upload the code with `fairlead run`.", project)
}

// validPath refuses a path that leads out of the repository.
func validPath(name string) error {
	if path.IsAbs(name) || path.Clean(name) != name || strings.HasPrefix(name, "../") || len(name) > 1000 {
		return fault.InvalidField("yaml_path", "path", "%.80q is no path inside the repository", name)
	}
	return nil
}
