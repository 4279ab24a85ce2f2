package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"fairlead.dev/fairlead/internal/execution"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/valohaiyaml"
	"fairlead.dev/fairlead/internal/wire"
)

type projectCommits struct {
	Project string `path:"project" doc:"Id, name or OWNER/NAME"`
	Page
}

func (d *door) listProjectCommits(ctx context.Context, v *visit, in *projectCommits) (wire.List[wire.Commit], error) {
	return d.commits(ctx, v, in.Project, "", in.Page)
}

type commitsQuery struct {
	Project string `query:"project" required:"true" doc:"Id, name or OWNER/NAME"`
	Adhoc   string `query:"adhoc" enum:"true,false" doc:"Only those that were uploaded, or only those of a repository"`
	Page
}

func (d *door) listCommits(ctx context.Context, v *visit, in *commitsQuery) (wire.List[wire.Commit], error) {
	return d.commits(ctx, v, in.Project, in.Adhoc, in.Page)
}

func (d *door) commits(ctx context.Context, v *visit, project, adhoc string, p Page) (list wire.List[wire.Commit], err error) {
	origin := execution.Origin("")
	switch adhoc {
	case "true":
		origin = execution.Uploaded
	case "false":
		origin = execution.Fetched
	}
	commits, count, err := d.config.Executions.Commits(ctx, v.actor, project, origin, p.rows())
	if err != nil {
		return list, err
	}
	return listOf(v, p, each(commits, v.commit), count), nil
}

type commitKey struct {
	Identifier string   `path:"identifier" doc:"A tilde and the SHA-256 of the package, or of the linked repository a commit's hash, a branch or a tag"`
	Project    string   `query:"project" required:"true" doc:"Id, name or OWNER/NAME"`
	Include    []string `query:"include" doc:"config: the parsed valohai.yaml too"`
}

func (d *door) getCommit(ctx context.Context, v *visit, in *commitKey) (wire.Commit, error) {
	commit, err := d.config.Executions.Commit(ctx, v.actor, in.Project, in.Identifier)
	if err != nil {
		return wire.Commit{}, err
	}
	shown := v.commit(commit)
	for _, part := range in.Include {
		if part == "config" {
			shown.Config, err = configData(commit)
		}
	}
	return shown, err
}

func (v *visit) commit(commit execution.Commit) wire.Commit {
	return wire.Commit{
		ID: commit.Identifier, Identifier: commit.Identifier, Ref: commit.Ref, Project: commit.ProjectID, Description: commit.Description,
		Adhoc: strings.HasPrefix(commit.Identifier, "~"), CommitTime: wire.NewTime(commit.CreatedAt), ConfigPath: commit.ConfigPath,
		URL: v.resource("commits", commit.Identifier) + "?project=" + url.QueryEscape(commit.ProjectID),
	}
}

// configData is a commit's valohai.yaml as JSON: what clients build their own
// commands of.
func configData(commit execution.Commit) (json.RawMessage, error) {
	file, findings := valohaiyaml.Parse(commit.ConfigPath, []byte(commit.Config))
	if err := findings.Err(); err != nil { // our fault: it could be run when it was uploaded
		return nil, fault.New(fault.Internal, "commit_broken", "the %s of %s can no longer be read", commit.ConfigPath, commit.Identifier).WithCause(err)
	}
	text, err := json.Marshal(file.Data())
	if err != nil {
		return nil, fmt.Errorf("showing the %s of %s: %w", commit.ConfigPath, commit.Identifier, err)
	}
	return text, nil
}

func describeImport(op *huma.Operation, registry huma.Registry) {
	op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
		"multipart/form-data": {Schema: &huma.Schema{
			Type: huma.TypeObject, Required: []string{"data"},
			Description: "The fields stand before the data.",
			Properties: map[string]*huma.Schema{
				"description": {Type: huma.TypeString, Description: "What to call the commit"},
				"yaml_path":   {Type: huma.TypeString, Description: "Where in the package its valohai.yaml is"},
				"data":        bytesOf("The code as a gzipped tar"),
			},
		}},
	}}
	answersJSON[wire.Commit](op, registry)
}

// importPackage streams the uploaded code to where packages are kept.
func (d *door) importPackage(w http.ResponseWriter, r *http.Request, v *visit) error {
	draft := execution.NewPackage{Project: r.PathValue("project")}
	// A stranger's upload is refused before it is read.
	if _, err := d.config.Accounts.Project(r.Context(), v.actor, draft.Project); err != nil {
		return err
	}
	upload, err := openUpload(w, r, func(name, value string) bool {
		switch name {
		case "description":
			draft.Description = value
		case "yaml_path":
			draft.ConfigPath = value
		default:
			return false
		}
		return true
	})
	if err != nil {
		return err
	}
	commit, err := d.config.Executions.Import(r.Context(), v.actor, draft, upload)
	if upload.err != nil {
		return upload.err
	}
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusCreated, v.commit(commit))
}
