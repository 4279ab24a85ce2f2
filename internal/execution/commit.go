package execution

import (
	"cmp"
	"context"
	"io"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/source"
	"fairlead.dev/fairlead/internal/valohaiyaml"
)

// Commit is a state of a project's code that steps can be run of.
type Commit struct {
	ProjectID string

	// Identifier is a tilde and the SHA-256 of the uploaded package in
	// hexadecimal, or the hash of a commit of the project's repository.
	Identifier string

	// Ref is the branch or tag by which a commit of a repository was found.
	Ref string

	// Package is the identifier of the code, which is an upload's own; "" for a
	// commit of a repository whose code nobody needed yet.
	Package string

	Description string
	CreatedAt   time.Time

	// Config is the text of its valohai.yaml, which is read with the package, and
	// ConfigPath where in the package it is.
	Config     string
	ConfigPath string

	// Size is the package's bytes.
	Size int64
}

// Origin is where commits come from.
type Origin string

// The origins; the zero Origin stands for both.
const (
	Uploaded Origin = "uploaded"
	Fetched  Origin = "fetched"
)

// Packages keeps the uploaded code, one file for each identifier. Its methods
// may be called concurrently.
type Packages interface {
	// Put stores what it reads under the hash of the bytes and returns its
	// identifier and size. A package that is there already is kept. More than
	// most bytes are an Exhausted fault, and nothing is kept.
	Put(ctx context.Context, r io.Reader, most int64) (identifier string, size int64, err error)

	// Open reads a package; NotFound if it is not there.
	Open(ctx context.Context, identifier string) (io.ReadSeekCloser, int64, error)
}

// PackageMost is the largest package that is taken, in bytes: what the clients
// of the API know as the limit.
const PackageMost = 1 << 30

// configName is where a project's steps are, unless a commit says otherwise.
const configName = "valohai.yaml"

// NewPackage describes uploaded code. ConfigPath is where its valohai.yaml is;
// "" for the package's root.
type NewPackage struct {
	Project     string
	Description string
	ConfigPath  string
}

// Import keeps an uploaded package as a commit of the project. The valohai.yaml
// in it must be one that can be run; what is wrong with it is told with line and
// column. The same bytes are the same commit.
func (s *Service) Import(ctx context.Context, actor account.Actor, draft NewPackage, r io.Reader) (Commit, error) {
	project, err := s.projects.Project(ctx, actor, draft.Project)
	if err != nil {
		return Commit{}, err
	}
	identifier, size, err := s.packages.Put(ctx, r, PackageMost)
	if err != nil {
		return Commit{}, err
	}
	commit := Commit{
		ProjectID: project.ID, Identifier: identifier, Description: draft.Description, CreatedAt: s.now(),
		ConfigPath: cmp.Or(draft.ConfigPath, configName), Size: size, Package: identifier,
	}
	if commit.Config, err = s.readConfig(ctx, identifier, commit.ConfigPath); err != nil {
		return Commit{}, err
	}
	_, err = s.store.CreateCommit(ctx, commit, s.commitEvent(actor, audit.CommitImport, project, commit))
	return commit, err
}

// readConfig reads a valohai.yaml in a package; it is one that can be run.
func (s *Service) readConfig(ctx context.Context, identifier, path string) (string, error) {
	file, _, err := s.packages.Open(ctx, identifier)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }() // only read
	text, err := source.ReadFile(ctx, file, path, valohaiyaml.MaxSize)
	if err != nil {
		return "", err
	}
	_, findings := valohaiyaml.Parse(path, text)
	return string(text), findings.Err()
}

// Commits are a project's of that origin, newest first, without their Config.
func (s *Service) Commits(ctx context.Context, actor account.Actor, project string, origin Origin, page Page) ([]Commit, int, error) {
	found, err := s.projects.Project(ctx, actor, project)
	if err != nil {
		return nil, 0, err
	}
	return s.store.Commits(ctx, found.ID, origin, page.bounded())
}

// Commit finds a commit of a project that actor may see: by its identifier, or
// where the project is linked to a repository by a branch, a tag or a part of
// the hash. The code of a commit of a repository is fetched where it was not.
func (s *Service) Commit(ctx context.Context, actor account.Actor, project, identifier string) (Commit, error) {
	found, err := s.projects.Project(ctx, actor, project)
	if err != nil {
		return Commit{}, err
	}
	return s.commit(ctx, found, identifier)
}

func (s *Service) commit(ctx context.Context, project account.Project, identifier string) (Commit, error) {
	commit, err := s.store.CommitByIdentifier(ctx, project.ID, identifier)
	switch {
	case err == nil && commit.Package != "":
		return commit, nil
	case err == nil:
		return s.pack(ctx, project, commit)
	case !fault.Is(err, fault.NotFound):
		return Commit{}, err
	case strings.HasPrefix(identifier, "~"):
		return Commit{}, noCommit(project, identifier)
	default:
		return s.fromRepository(ctx, project, identifier)
	}
}
