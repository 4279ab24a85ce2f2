package client

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/wire"
)

// cacheLineMost bounds a line of a cache's answer, in bytes.
const cacheLineMost = 1 << 20

// Cache is a client of a pull-through cache apart from the server, which is shown the
// same token; of the server's own where url is "". Close it.
func (c *Client) Cache(url string) (*Client, error) {
	config := c.config
	config.Server = cmp.Or(url, config.Server)
	config.Transport = nil
	return New(config)
}

// CacheStatus is how the server's pull-through cache is. Project, OWNER/NAME or an id,
// is whose usage and limits are told beside the whole; an operator is told of all, and
// needs none.
func (c *Client) CacheStatus(ctx context.Context, project string) (status wire.CacheStatus, err error) {
	response, err := c.askCache(ctx, http.MethodGet, "status", project, nil)
	if err != nil {
		return status, err
	}
	return status, decode(response, &status)
}

// WarmCache has the server's pull-through cache keep what an image is made of, with the
// rights of a project. Report is called for each blob as it is there. It gives the digest
// that the image's name stands for.
func (c *Client) WarmCache(ctx context.Context, project string, asked wire.CacheWarm, report func(wire.CacheWarmed)) (digest string, err error) {
	text, err := json.Marshal(asked)
	if err != nil {
		return "", fmt.Errorf("making a request: %w", err)
	}
	response, err := c.askCache(ctx, http.MethodPost, "warm", project, text)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }() // only read
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, cacheLineMost)
	for lines.Scan() {
		var line wire.CacheWarmed
		switch err := json.Unmarshal(lines.Bytes(), &line); {
		case err != nil:
			return "", unreadable(err)
		case line.Problem != nil:
			return "", faultOf(*line.Problem, http.StatusBadGateway)
		case line.Digest != "":
			return line.Digest, nil
		}
		report(line)
	}
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	return "", unreadable(lines.Err())
}

// UnpinCached lets an image go from the server's pull-through cache when room is needed.
func (c *Client) UnpinCached(ctx context.Context, image string) error {
	text, err := json.Marshal(wire.CacheUnpin{Image: image})
	if err != nil {
		return fmt.Errorf("making a request: %w", err)
	}
	response, err := c.askCache(ctx, http.MethodPost, "unpin", "", text)
	if err != nil {
		return err
	}
	return decode(response, nil)
}

// CacheReader is who logs in at a cache; for caches.
func (c *Client) CacheReader(ctx context.Context, login wire.CacheLogin) (reader wire.CacheReader, err error) {
	return reader, c.post(ctx, "cache/readers/", login, &reader)
}

// CacheGrant is the right of who logs in at a cache; for caches.
func (c *Client) CacheGrant(ctx context.Context, request wire.CacheGrantRequest) (given wire.CacheGrant, err error) {
	return given, c.post(ctx, "cache/grants/", request, &given)
}

// askCache sends a request to the cache, and gives the answer if it is no error.
func (c *Client) askCache(ctx context.Context, method, what, project string, body []byte) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.Server()+wire.CacheBase+what, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("making a request: %w", err)
	}
	request.Header.Set("User-Agent", c.config.UserAgent)
	switch {
	case c.config.Token.IsEmpty():
	case project == "":
		request.Header.Set("Authorization", "Bearer "+c.config.Token.Reveal())
	default:
		request.SetBasicAuth(project, c.config.Token.Reveal())
	}
	response, err := c.http.Do(request)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, c.unreachable(err)
	case response.StatusCode < 300:
		return response, nil
	}
	defer func() { _ = response.Body.Close() }() // only read
	return nil, c.cacheProblem(response)
}

// cacheProblem makes a fault of a cache's answer that is an error, in the form of the
// distribution specification. An answer in another form is no cache's.
func (c *Client) cacheProblem(response *http.Response) error {
	var answer struct {
		Errors []struct {
			Message string `json:"message"`
			Detail  string `json:"detail"` // the fault's code
		} `json:"errors"`
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, cacheLineMost))
	if err == nil && json.Unmarshal(text, &answer) == nil && len(answer.Errors) > 0 && answer.Errors[0].Detail != "" {
		return fault.New(kindOf(response.StatusCode), answer.Errors[0].Detail, "%s", answer.Errors[0].Message)
	}
	if response.StatusCode == http.StatusNotFound {
		return fault.New(fault.NotFound, "cache_none", "there is no pull-through cache at %s", c.Server()).
			WithHint("Start the server with --cache, or name a cache apart from it with --url.")
	}
	return fault.New(kindOf(response.StatusCode), codeForeign, "%s answered %s without saying why", c.Server(), response.Status).
		WithHint("Check that the address is a Fairlead cache's and that nothing in between changes answers.")
}

// unreadable is the fault of an answer that makes no sense, or that ended early.
func unreadable(cause error) error {
	return fault.New(fault.Unavailable, codeUnreadable, "the server's answer could not be read").
		WithHint("Try again; if it stays so, check that the address is a Fairlead server's.").WithCause(cause)
}
