package client

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/wire"
)

// AuditFilter says which rows of the trail are asked for; all of it must hold.
type AuditFilter struct {
	// Organization is a name or an id, Actor a name, Object an id or a name, Execution
	// an id, and Verb a verb or a noun; "": any.
	Organization, Actor, Object, Execution, Verb string

	// Result is ok, the code of an error, or failed; "": any.
	Result string

	// Since and Until bound the time, without Until itself; zero: nothing does.
	Since, Until time.Time
}

func (f AuditFilter) query() url.Values {
	query := url.Values{}
	for name, value := range map[string]string{
		"organization": f.Organization, "actor": f.Actor, "object": f.Object, "execution": f.Execution, "verb": f.Verb, "result": f.Result,
	} {
		if value != "" {
			query.Set(name, value)
		}
	}
	for name, value := range map[string]time.Time{"since": f.Since, "until": f.Until} {
		if !value.IsZero() {
			query.Set(name, value.UTC().Format(time.RFC3339Nano))
		}
	}
	return query
}

// Audit are the newest rows of the trail, at most limit, and how many there are:
// exactly if there are no more than that.
func (c *Client) Audit(ctx context.Context, filter AuditFilter, limit int) (list wire.AuditList, err error) {
	const page = 10_000
	query := filter.query()
	for {
		query.Set("limit", strconv.Itoa(min(page, limit-len(list.Results))))
		var next wire.AuditList
		if err := c.get(ctx, "audit/", query, &next); err != nil {
			return list, err
		}
		next.Results = append(list.Results, next.Results...)
		list = next
		if list.Next == nil || len(list.Results) >= limit {
			return list, nil
		}
		query.Set("before", strconv.FormatInt(list.Results[len(list.Results)-1].ID, 10))
	}
}

// ExportAudit are all rows of the trail that are asked for, the oldest first, as
// jsonl or csv. Read to its end, it is whole; the caller closes it.
func (c *Client) ExportAudit(ctx context.Context, filter AuditFilter, format string) (io.ReadCloser, error) {
	query := filter.query()
	query.Set("format", format)
	request, err := c.request(ctx, http.MethodGet, path("audit", "export"), query, nil)
	if err != nil {
		return nil, err
	}
	response, err := c.send(request)
	if err != nil {
		return nil, err
	}
	return response.Body, nil
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
