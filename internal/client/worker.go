package client

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"fairlead.dev/fairlead/internal/wire"
)

// TakeLease waits at most wait for an execution; ok is false where none came.
func (c *Client) TakeLease(ctx context.Context, wait time.Duration) (lease wire.Lease, ok bool, err error) {
	ask := wire.LeaseRequest{WaitSeconds: int(wait / time.Second)}
	err = c.post(ctx, "leases/", ask, &lease)
	return lease, lease.ID != "", err
}

// RenewLease keeps a lease for a further life.
func (c *Client) RenewLease(ctx context.Context, id string) (state wire.LeaseState, err error) {
	return state, c.post(ctx, path("leases", id, "renew"), nil, &state)
}

// StopAsked waits at most wait for somebody to stop the execution.
func (c *Client) StopAsked(ctx context.Context, id string, wait time.Duration) (bool, error) {
	var state wire.LeaseState
	query := url.Values{"wait_seconds": {strconv.Itoa(int(wait / time.Second))}}
	err := c.get(ctx, path("leases", id, "stop"), query, &state)
	return state.Stop, err
}

// AppendEvents stores lines of the log.
func (c *Client) AppendEvents(ctx context.Context, id string, batch wire.EventBatch) error {
	return c.post(ctx, path("leases", id, "events"), batch, nil)
}

// NoteImage tells which image is run.
func (c *Client) NoteImage(ctx context.Context, id string, image wire.LeaseImage) error {
	return c.post(ctx, path("leases", id, "image"), image, nil)
}

// Finish ends the execution.
func (c *Client) Finish(ctx context.Context, id string, result wire.LeaseResult) error {
	return c.post(ctx, path("leases", id, "finish"), result, nil)
}

// Release gives the execution back to the queue.
func (c *Client) Release(ctx context.Context, id string) error {
	return c.post(ctx, path("leases", id, "release"), nil, nil)
}

// Package opens the code of a lease's execution: a gzipped tar.
func (c *Client) Package(ctx context.Context, leaseID string) (io.ReadCloser, error) {
	request, err := c.request(ctx, http.MethodGet, path("leases", leaseID, "package"), nil, nil)
	if err != nil {
		return nil, err
	}
	response, err := c.send(request)
	if err != nil {
		return nil, err
	}
	return response.Body, nil
}

// PullGrant gets the right to pull a lease's image.
func (c *Client) PullGrant(ctx context.Context, ask wire.GrantRequest) (grant wire.Grant, err error) {
	return grant, c.post(ctx, "pull-grants/", ask, &grant)
}
