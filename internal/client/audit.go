package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/wire"
)

// Audit are the newest events, at most limit, of an execution if one is given.
func (c *Client) Audit(ctx context.Context, execution string, limit int) ([]wire.AuditEvent, error) {
	query := url.Values{}
	if execution != "" {
		query.Set("execution", execution)
	}
	return some[wire.AuditEvent](ctx, c, "audit/", query, limit)
}

// VerifyAudit has the whole trail verified, and compared with a head that was
// noted before: HASH@ID, HASH, or "". tell hears how many rows were read, now and
// then.
func (c *Client) VerifyAudit(ctx context.Context, head string, tell func(wire.AuditProgress)) (wire.AuditVerification, error) {
	query := url.Values{}
	if head != "" {
		query.Set("head", head)
	}
	request, err := c.request(ctx, http.MethodGet, path("audit", "verify"), query, nil)
	if err != nil {
		return wire.AuditVerification{}, err
	}
	request.Header.Set("Accept", "application/x-ndjson")
	response, err := c.send(request)
	if err != nil {
		return wire.AuditVerification{}, err
	}
	defer func() { _ = response.Body.Close() }() // only read
	for lines := json.NewDecoder(response.Body); ; {
		var event wire.AuditVerifyEvent
		if err := lines.Decode(&event); err != nil {
			if ctx.Err() != nil {
				return wire.AuditVerification{}, ctx.Err()
			}
			return wire.AuditVerification{}, fault.New(fault.Unavailable, codeUnreadable, "the server broke off in the middle of verifying").
				WithHint("Try again.").WithCause(err)
		}
		switch {
		case event.Progress != nil:
			tell(*event.Progress)
		case event.Problem != nil:
			return wire.AuditVerification{}, faultOf(*event.Problem, response.StatusCode)
		case event.Verification != nil:
			return *event.Verification, nil
		}
	}
}
