package oci

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/image"
)

// RateLimit is what a registry says about how much may still be asked of it.
type RateLimit struct {
	Limit     int
	Remaining int
	Window    time.Duration // for which Limit counts; 0: not said
	Reset     time.Duration // until something may be asked again; 0: not said
	Source    string        // whom it counts for: an address or an account
}

// ParseRateLimit reads the headers of Docker Hub (`ratelimit-limit:
// 200;w=21600`, https://docs.docker.com/docker-hub/usage/pulls/), and those of
// the same name elsewhere. It reports false where there are none: paid
// accounts have no limit.
func ParseRateLimit(header http.Header) (RateLimit, bool) {
	limit, window, found := limitAndWindow(header.Get("ratelimit-limit"))
	remaining, w, foundRemaining := limitAndWindow(header.Get("ratelimit-remaining"))
	if !found && !foundRemaining {
		return RateLimit{}, false
	}
	return RateLimit{
		Limit:     limit,
		Remaining: remaining,
		Window:    max(window, w),
		Reset:     seconds(header.Get("ratelimit-reset")),
		Source:    escape(header.Get("docker-ratelimit-source")),
	}, true
}

// String is for people: `0 of 200 pulls left in 6h0m0s`.
func (l RateLimit) String() string {
	s := fmt.Sprintf("%d of %d pulls left", l.Remaining, l.Limit)
	if l.Window > 0 {
		s += fmt.Sprintf(" in %s", l.Window)
	}
	if l.Reset > 0 {
		s += fmt.Sprintf(", more in %s", l.Reset)
	}
	return s
}

// For is whom the limit counts for, behind String: ` (for account …)` or `
// (for address …)`, and empty where the registry does not say.
func (l RateLimit) For() string {
	if l.Source == "" {
		return ""
	}
	if _, err := netip.ParseAddr(l.Source); err == nil {
		return " (for address " + l.Source + ")"
	}
	return " (for account " + l.Source + ")"
}

// RateLimit asks how much a registry still gives, with a HEAD request for an
// image, which Docker Hub does not count. It reports false where the registry
// speaks of no limit.
func (c *Client) RateLimit(ctx context.Context, ref image.Reference, authorization Authorization) (RateLimit, bool, error) {
	response, err := c.manifest(ctx, http.MethodHead, ref, authorization)
	if err != nil {
		return RateLimit{}, false, err
	}
	defer drain(response)
	limit, found := ParseRateLimit(response.Header)
	if !found && response.StatusCode >= http.StatusBadRequest {
		return RateLimit{}, false, ReadError(response, ref.Repository(), authorization.Secret())
	}
	return limit, found, nil
}

// LastLimit is what the registry said last, in an answer to this client, about
// how much it still gives; false where it said nothing.
func (c *Client) LastLimit() (RateLimit, bool) {
	if last := c.limit.Load(); last != nil {
		return *last, true
	}
	return RateLimit{}, false
}

func limitAndWindow(value string) (int, time.Duration, bool) {
	number, parameter, _ := strings.Cut(value, ";")
	n, err := strconv.Atoi(strings.TrimSpace(number))
	if err != nil || n < 0 {
		return 0, 0, false
	}
	window, _ := strings.CutPrefix(strings.TrimSpace(parameter), "w=")
	return n, seconds(window), true
}

// longestWait bounds what a registry can make us wait.
const longestWait = 24 * time.Hour

// retryAfter reads the header of that name in both of its forms.
// https://www.rfc-editor.org/rfc/rfc9110#name-retry-after
func retryAfter(value string, now time.Time) time.Duration {
	if wait := seconds(value); wait > 0 {
		return wait
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now).Round(time.Second), 0), longestWait)
}

func seconds(value string) time.Duration {
	n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return time.Duration(min(n, int64(longestWait/time.Second))) * time.Second
}
