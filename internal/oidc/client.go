package oidc

import (
	"io"
	"net/http"
	"time"

	"golang.org/x/time/rate"

	"fairlead.dev/fairlead/internal/fault"
)

// Bounds of an exchange with the provider.
const (
	answerMost = 1 << 20
	answerTime = 20 * time.Second
)

// guarded is a client that follows nobody and reads no endless answer; with a
// limit, it asks no more often.
func guarded(from *http.Client, limit *rate.Limiter) *http.Client {
	timeout := from.Timeout
	if timeout == 0 {
		timeout = answerTime
	}
	transport := from.Transport
	if transport == nil {
		transport = http.DefaultTransport
	}
	return &http.Client{
		Timeout:       timeout,
		Transport:     bounded{transport, limit},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// bounded cuts off answers that are too long, which then are no JSON.
type bounded struct {
	transport http.RoundTripper
	limit     *rate.Limiter
}

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(request *http.Request) (*http.Response, error) {
	if b.limit != nil && !b.limit.Allow() {
		return nil, fault.New(fault.Exhausted, "oidc_keys_often", "the provider's keys were looked up several times within seconds").
			WithHint("Try again in a minute.")
	}
	response, err := b.transport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	response.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(response.Body, answerMost), response.Body}
	return response, nil
}
