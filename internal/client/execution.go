package client

import (
	"context"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"

	"fairlead.dev/fairlead/internal/wire"
)

// some reads one page of a list.
func some[T any](ctx context.Context, c *Client, path string, query url.Values, limit int) ([]T, error) {
	if query == nil {
		query = url.Values{}
	}
	query.Set("limit", strconv.Itoa(limit))
	list := wire.List[T]{Results: []T{}}
	err := c.get(ctx, path, query, &list)
	return list.Results, err
}

// Commits are a project's newest, at most limit.
func (c *Client) Commits(ctx context.Context, project string, limit int) ([]wire.Commit, error) {
	return some[wire.Commit](ctx, c, path("projects", project, "commits"), nil, limit)
}

// Commit finds a commit of a project.
func (c *Client) Commit(ctx context.Context, project, identifier string) (commit wire.Commit, err error) {
	return commit, c.get(ctx, path("commits", identifier), url.Values{"project": {project}}, &commit)
}

// CommitConfig is Commit with the parsed file of steps.
func (c *Client) CommitConfig(ctx context.Context, project, identifier string) (commit wire.Commit, err error) {
	return commit, c.get(ctx, path("commits", identifier), url.Values{"project": {project}, "include": {"config"}}, &commit)
}

// ImportPackage uploads a project's code as a gzipped tar. Its file of steps is
// config; valohai.yaml if "".
func (c *Client) ImportPackage(ctx context.Context, project, description, config string, data io.Reader) (commit wire.Commit, err error) {
	reader, writer := io.Pipe()
	form := multipart.NewWriter(writer)
	go func() {
		err := form.WriteField("description", description)
		if err == nil && config != "" {
			err = form.WriteField("yaml_path", config)
		}
		if err == nil {
			var part io.Writer
			if part, err = form.CreateFormFile("data", "data.tgz"); err == nil {
				_, err = io.Copy(part, data)
			}
		}
		if err == nil {
			err = form.Close()
		}
		writer.CloseWithError(err)
	}()
	defer func() { _ = reader.Close() }() // ends the writer
	request, err := c.request(ctx, http.MethodPost, path("projects", project, "import-package"), nil, reader)
	if err != nil {
		return wire.Commit{}, err
	}
	request.Header.Set("Content-Type", form.FormDataContentType())
	response, err := c.send(request)
	if err != nil {
		return wire.Commit{}, err
	}
	return commit, decode(response, &commit)
}

// CreateExecution queues a step.
func (c *Client) CreateExecution(ctx context.Context, draft wire.NewExecution) (created wire.Execution, err error) {
	return created, c.post(ctx, "executions/", draft, &created)
}

// Execution finds one by id, PROJECT:COUNTER or PROJECT:latest.
func (c *Client) Execution(ctx context.Context, key string) (found wire.Execution, err error) {
	return found, c.get(ctx, path("executions", key), nil, &found)
}

// Executions are the newest, at most limit: of one project, or of all where
// project is "".
func (c *Client) Executions(ctx context.Context, project, status string, limit int) ([]wire.Execution, error) {
	query := url.Values{"ordering": {"-counter"}}
	if project != "" {
		query.Set("project", project)
	}
	if status != "" {
		query.Set("status", status)
	}
	return some[wire.Execution](ctx, c, "executions/", query, limit)
}

// CopyExecution runs an execution again.
func (c *Client) CopyExecution(ctx context.Context, key string) (created wire.Execution, err error) {
	return created, c.post(ctx, path("executions", key, "copy"), nil, &created)
}

// SetTags replaces an execution's tags.
func (c *Client) SetTags(ctx context.Context, key string, tags []string) (tagged wire.Execution, err error) {
	if tags == nil {
		tags = []string{}
	}
	return tagged, c.call(ctx, http.MethodPut, path("executions", key, "tags"), nil, wire.Tags{Tags: tags}, &tagged)
}

// Stop asks for the end of an execution.
func (c *Client) Stop(ctx context.Context, key string) (stopped wire.Execution, err error) {
	return stopped, c.post(ctx, path("executions", key, "stop"), nil, &stopped)
}

// DeleteExecution removes an execution that has ended.
func (c *Client) DeleteExecution(ctx context.Context, key string) error {
	return c.delete(ctx, path("executions", key))
}

// Events are the last lines of a log; with limit 0 all of them.
func (c *Client) Events(ctx context.Context, key string, limit int) (events wire.Events, err error) {
	query := url.Values{"limit": {strconv.Itoa(limit)}}
	return events, c.get(ctx, path("executions", key, "events"), query, &events)
}
