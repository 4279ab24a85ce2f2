package execution

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
)

// Revision is a commit of a git repository, as its host tells it.
type Revision struct {
	Hash    string // 40 hexadecimal digits
	Ref     string // the branch or tag by which it was found; "" if by its hash
	Time    time.Time
	Message string
}

// Repositories reach the git repositories that projects are linked to. A project
// that is linked to none is a NotFound fault with the code repository_none.
type Repositories interface {
	// Heads are the newest commits of the branches and tags; the last is of the
	// branch that the repository shows first.
	Heads(ctx context.Context, project account.Project) ([]Revision, error)

	// Resolve finds a commit by a branch, a tag or its hash.
	Resolve(ctx context.Context, project account.Project, rev string) (Revision, error)

	// Pack writes the code of a commit, which is a whole hash, as a package, and
	// tells what it had to leave out.
	Pack(ctx context.Context, project account.Project, hash string, w io.Writer) (warnings []string, err error)

	// ConfigPath is where in the code the valohai.yaml is.
	ConfigPath(ctx context.Context, project account.Project) (string, error)
}

// Fetch asks the repository of a project what there is, and returns the commits
// that are new. Their code comes when it is needed first.
func (s *Service) Fetch(ctx context.Context, actor account.Actor, key string) ([]Commit, error) {
	project, err := s.projects.Project(ctx, actor, key)
	if err != nil {
		return nil, err
	}
	heads, err := s.repositories.Heads(ctx, project)
	if err != nil {
		return nil, err
	}
	path, err := s.repositories.ConfigPath(ctx, project)
	if err != nil {
		return nil, err
	}
	var fetched []Commit
	for _, head := range heads {
		commit := Commit{
			ProjectID: project.ID, Identifier: head.Hash, Ref: head.Ref, Description: firstLine(head.Message),
			CreatedAt: head.Time, ConfigPath: path,
		}
		added, err := s.store.CreateCommit(ctx, commit, s.commitEvent(actor, audit.ProjectFetch, project, commit))
		if err != nil {
			return nil, err
		}
		if added {
			fetched = append(fetched, commit)
		}
	}
	return fetched, nil
}

// fromRepository finds a commit that was not uploaded, and gets its code where
// that has not been done.
func (s *Service) fromRepository(ctx context.Context, project account.Project, rev string) (Commit, error) {
	found, err := s.repositories.Resolve(ctx, project, rev)
	if err != nil {
		if f, is := errors.AsType[*fault.Error](err); is && f.Code == "repository_none" {
			return Commit{}, noCommit(project, rev)
		}
		return Commit{}, err
	}
	commit, err := s.store.CommitByIdentifier(ctx, project.ID, found.Hash)
	if err == nil && commit.Package != "" || err != nil && !fault.Is(err, fault.NotFound) {
		return commit, err
	}
	if err != nil {
		path, err := s.repositories.ConfigPath(ctx, project)
		if err != nil {
			return Commit{}, err
		}
		commit = Commit{
			ProjectID: project.ID, Identifier: found.Hash, Ref: found.Ref, Description: firstLine(found.Message),
			CreatedAt: found.Time, ConfigPath: path,
		}
		event := s.commitEvent(account.Actor{Username: "fairlead"}, audit.ProjectFetch, project, commit)
		if _, err := s.store.CreateCommit(ctx, commit, event); err != nil {
			return Commit{}, err
		}
	}
	return s.pack(ctx, project, commit)
}

// pack gets the code of a commit from its repository and keeps it as a package.
func (s *Service) pack(ctx context.Context, project account.Project, commit Commit) (Commit, error) {
	// What is linked now says where the file is: it may have been mended since
	// the commit was fetched.
	path, err := s.repositories.ConfigPath(ctx, project)
	if err != nil {
		return Commit{}, err
	}
	commit.ConfigPath = path
	reader, writer := io.Pipe()
	go func() {
		_, err := s.repositories.Pack(ctx, project, commit.Identifier, writer)
		writer.CloseWithError(err)
	}()
	commit.Package, commit.Size, err = s.packages.Put(ctx, reader, PackageMost)
	_ = reader.Close() // ends the writer where Put gave up
	if err != nil {
		return Commit{}, err
	}
	if commit.Config, err = s.readConfig(ctx, commit.Package, commit.ConfigPath); err != nil {
		return Commit{}, err
	}
	return commit, s.store.PackCommit(ctx, commit)
}

func (s *Service) commitEvent(actor account.Actor, verb audit.Verb, project account.Project, commit Commit) audit.Event {
	return audit.Event{
		Time: s.now(), Actor: actor.Name(), ActorID: actor.ID(), Remote: actor.Remote,
		Verb: verb, Result: audit.ResultOK, OrganizationID: project.Owner.OrganizationID,
		ObjectID: commit.Identifier, ObjectName: project.Name,
	}
}

// descriptionMost is how much of a commit's message is kept.
const descriptionMost = 500

func firstLine(message string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(message), "\n")
	line = CleanText(line)
	for len(line) > descriptionMost {
		line = strings.ToValidUTF8(line[:descriptionMost], "")
	}
	return line
}

func noCommit(project account.Project, identifier string) error {
	return fault.New(fault.NotFound, "commit_unknown", "the project %s has no commit %.80q", project.Name, identifier).
		WithHint("`fairlead run` uploads the code of the directory that it is called in; `fairlead project link-git` and `fetch` get commits of a repository.")
}
