// Package client speaks the API from Go: for the command line and for workers.
// Its errors are the faults that the server answered with, so that a caller
// decides on kinds and codes and shows the sentence.
package client

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/wire"
)

// answerMost bounds an answer that is read whole.
const answerMost = 256 << 20

// Config is what a Client is made of.
type Config struct {
	// Server is the server's address, such as https://fairlead.example.
	Server string

	// Token is sent with every request, to that server alone; empty: none is.
	Token secret.Text

	// UserAgent says who asks; "fairlead" if empty.
	UserAgent string

	// Transport carries the requests; a pool of its own if nil.
	Transport http.RoundTripper

	// Around makes the transport that is used of that one, for who traces calls; it is
	// that one itself if nil.
	Around func(http.RoundTripper) http.RoundTripper
}

// Client calls one server. Make it with New; safe for concurrent use.
type Client struct {
	config Config
	base   *url.URL
	http   *http.Client
}

// New checks the address and opens no connection.
func New(config Config) (*Client, error) {
	base, err := url.Parse(strings.TrimSuffix(config.Server, "/") + wire.Base)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, fault.InvalidField("server", "server_address", "%q is no address of a server", config.Server).
			WithHint("Write it as http://HOST:PORT or https://HOST.")
	}
	if base.User != nil {
		return nil, fault.InvalidField("server", "server_userinfo", "the server's address holds a user name").
			WithHint("Sign in with `fairlead login` instead.")
	}
	if config.Transport == nil {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.MaxIdleConnsPerHost = 16
		config.Transport = transport
	}
	if config.Around != nil {
		config.Transport = config.Around(config.Transport)
	}
	config.UserAgent = cmp.Or(config.UserAgent, "fairlead")
	return &Client{config: config, base: base, http: &http.Client{
		Transport: config.Transport,
		// The token is for the server that was named, and for nobody else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Server is the address of the server, without the API's path.
func (c *Client) Server() string { return strings.TrimSuffix(c.config.Server, "/") }

// path joins the parts of a resource's path, each escaped.
func path(parts ...string) string {
	for i, part := range parts {
		parts[i] = url.PathEscape(part)
	}
	return strings.Join(parts, "/") + "/"
}

// request makes a request for a resource; body may be nil.
func (c *Client) request(ctx context.Context, method, path string, query url.Values, body io.Reader) (*http.Request, error) {
	target := *c.base
	target.RawPath = target.Path + path
	unescaped, err := url.PathUnescape(target.RawPath)
	if err != nil {
		return nil, fmt.Errorf("making a request: %w", err)
	}
	target.Path = unescaped
	target.RawQuery = query.Encode()
	request, err := http.NewRequestWithContext(ctx, method, target.String(), body)
	if err != nil {
		return nil, fmt.Errorf("making a request: %w", err)
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", c.config.UserAgent)
	request.Header.Set(wire.RequestIDHeader, wire.NewRequestID())
	if !c.config.Token.IsEmpty() {
		request.Header.Set("Authorization", "Bearer "+c.config.Token.Reveal())
	}
	return request, nil
}

// send sends a request and gives the answer if it is no error. The caller
// closes the body.
func (c *Client) send(request *http.Request) (*http.Response, error) {
	response, err := c.http.Do(request)
	if err != nil {
		if ctxErr := request.Context().Err(); ctxErr != nil {
			return nil, ctxErr
		}
		return nil, c.unreachable(err)
	}
	if response.StatusCode < 300 {
		return response, nil
	}
	defer func() { _ = response.Body.Close() }() // only read
	return nil, c.problem(response)
}

// call sends in as JSON, or nothing where it is nil, and reads the answer into
// out, unless it is nil.
func (c *Client) call(ctx context.Context, method, path string, query url.Values, in, out any) error {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("making a request: %w", err)
		}
		body = bytes.NewReader(text)
	}
	request, err := c.request(ctx, method, path, query, body)
	if err != nil {
		return err
	}
	if in != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := c.send(request)
	if err != nil {
		return err
	}
	return decode(response, out)
}

// decode reads an answer and closes it.
func decode(response *http.Response, out any) error {
	defer func() { _ = response.Body.Close() }() // only read
	if out == nil || response.StatusCode == http.StatusNoContent {
		_, err := io.Copy(io.Discard, io.LimitReader(response.Body, answerMost))
		return err
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, answerMost)).Decode(out); err != nil {
		return unreadable(err)
	}
	return nil
}

func (c *Client) get(ctx context.Context, path string, query url.Values, out any) error {
	return c.call(ctx, http.MethodGet, path, query, nil, out)
}

func (c *Client) post(ctx context.Context, path string, in, out any) error {
	return c.call(ctx, http.MethodPost, path, nil, in, out)
}

func (c *Client) delete(ctx context.Context, path string) error {
	return c.call(ctx, http.MethodDelete, path, nil, nil, nil)
}

// all reads every page of a list.
func all[T any](ctx context.Context, c *Client, path string, query url.Values) ([]T, error) {
	const page = 1000
	if query == nil {
		query = url.Values{}
	}
	query.Set("limit", strconv.Itoa(page))
	things := []T{}
	for {
		query.Set("offset", strconv.Itoa(len(things)))
		var list wire.List[T]
		if err := c.get(ctx, path, query, &list); err != nil {
			return nil, err
		}
		things = append(things, list.Results...)
		if len(list.Results) == 0 || len(things) >= list.Count {
			return things, nil
		}
	}
}

// Codes of what is wrong between us and the server.
const (
	codeUnreachable = "server_unreachable"
	codeForeign     = "answer_foreign"
	codeUnreadable  = "answer_unreadable"
)

// IsUnreachable reports whether a call failed on the way to the server or back,
// and not by the server's decision: the same call may well succeed later.
func IsUnreachable(err error) bool {
	f := fault.From(err)
	return f != nil && f.Kind == fault.Unavailable &&
		(f.Code == codeUnreachable || f.Code == codeForeign || f.Code == codeUnreadable)
}

func (c *Client) unreachable(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err // without the address, which the message has
	}
	return fault.New(fault.Unavailable, codeUnreachable, "the server %s cannot be reached", c.Server()).
		WithHint("Check that `fairlead serve` runs there and that --server or FAIRLEAD_SERVER is right (%s).", err).WithCause(err)
}

// problem makes a fault of an answer that is an error.
func (c *Client) problem(response *http.Response) error {
	const most = 1 << 20
	var p wire.Problem
	text, err := io.ReadAll(io.LimitReader(response.Body, most))
	kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	isJSON := kind == "application/problem+json" || kind == "application/json"
	if err != nil || !isJSON || json.Unmarshal(text, &p) != nil || p.Detail == "" {
		return fault.New(kindOf(response.StatusCode), codeForeign, "%s answered %s without saying why", c.Server(), response.Status).
			WithHint("Check that the address is a Fairlead server's and that nothing in between changes answers.")
	}
	f := faultOf(p, response.StatusCode)
	if f.Kind == fault.Internal && f.Hint == "" && p.RequestID != "" {
		f.Hint = fmt.Sprintf("Look for the request %s there.", p.RequestID)
	}
	return f
}

// faultOf is the fault that a problem tells of.
func faultOf(p wire.Problem, status int) *fault.Error {
	f := &fault.Error{
		Kind: fault.Kind(p.Kind), Code: p.Code, Message: cmp.Or(p.Message, p.Detail), Hint: p.Hint,
		RetryAfter: time.Duration(p.RetryAfterSeconds) * time.Second,
	}
	if f.Kind == "" {
		f.Kind = kindOf(status)
	}
	for _, field := range p.Errors {
		f.Fields = append(f.Fields, fault.Field{Name: field.Name, Code: field.Code, Message: field.Message})
	}
	return f
}

func kindOf(status int) fault.Kind {
	switch {
	case status == http.StatusUnauthorized:
		return fault.Unauthenticated
	case status == http.StatusForbidden:
		return fault.Denied
	case status == http.StatusNotFound:
		return fault.NotFound
	case status == http.StatusConflict:
		return fault.Conflict
	case status == http.StatusTooManyRequests || status == http.StatusRequestEntityTooLarge:
		return fault.Exhausted
	case status >= http.StatusInternalServerError:
		return fault.Unavailable
	default:
		return fault.Invalid
	}
}
