package courier

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/secret"
)

// Bounds of a webhook.
const (
	hookTime    = 15 * time.Second // from the dial to the end of the answer
	hookMost    = 256 << 10        // bytes of a body
	answerMost  = 4 << 10          // bytes of an answer that are read, and thrown away
	headersMost = 16 << 10
	waitMost    = time.Hour // that a receiver may ask for
)

// The headers and the prefix of the Standard Webhooks specification.
// https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
const (
	headerID        = "webhook-id"
	headerTimestamp = "webhook-timestamp"
	headerSignature = "webhook-signature"
	secretPrefix    = "whsec_"
	signatureScheme = "v1,"
)

// HooksConfig is how webhooks are sent.
type HooksConfig struct {
	// Dial connects to a host of the receivers, and to no address that it may
	// not have.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// RootCAs are trusted; nil: the system's.
	RootCAs *x509.CertPool
}

// Hooks sends webhooks: over https alone, by no proxy, and following nobody.
// Make it with NewHooks; safe for concurrent use.
type Hooks struct{ client *http.Client }

// NewHooks makes what sends webhooks.
func NewHooks(config HooksConfig) *Hooks {
	return &Hooks{client: &http.Client{
		Timeout: hookTime,
		Transport: &http.Transport{
			DialContext:            config.Dial,
			TLSClientConfig:        &tls.Config{RootCAs: config.RootCAs, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    hookTime,
			DisableKeepAlives:      true, // they are few and far between
			DisableCompression:     true,
			MaxResponseHeaderBytes: headersMost,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Hook is a webhook to be sent.
type Hook struct {
	// ID stays the same when the same is sent again.
	ID     string
	URL    string
	Secret secret.Text
	At     time.Time
	Body   []byte // JSON
}

// Send posts the webhook. A fault of the kinds Invalid and NotFound says that
// trying again would not help; any other may pass. No sentence tells more of the
// address than its host, or anything of the answer but its status.
func (h *Hooks) Send(ctx context.Context, hook Hook) error {
	address, err := url.Parse(hook.URL)
	if err != nil || address.Scheme != "https" || address.Host == "" || address.User != nil {
		return fault.New(fault.Invalid, "webhook_address", "the webhook has no address of https").WithHint("Enter it anew.")
	}
	if len(hook.Body) > hookMost {
		return fault.New(fault.Invalid, "webhook_large", "the webhook has %d bytes; at most %d", len(hook.Body), hookMost)
	}
	signature, err := Sign(hook.Secret, hook.ID, hook.At, hook.Body)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, hook.URL, bytes.NewReader(hook.Body))
	if err != nil {
		return fault.New(fault.Invalid, "webhook_address", "the webhook has no address of https").WithHint("Enter it anew.")
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "fairlead")
	request.Header.Set(headerID, hook.ID)
	request.Header.Set(headerTimestamp, strconv.FormatInt(hook.At.Unix(), 10))
	request.Header.Set(headerSignature, signature)
	response, err := h.client.Do(request)
	if err != nil {
		return unreached(address.Host, err)
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.CopyN(io.Discard, response.Body, answerMost) // what it says does not matter
	return answered(address.Host, response)
}

// unreached is said where no answer came. The error of net/http would show the
// whole address.
func unreached(host string, err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f
	}
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	_, other := errors.AsType[x509.HostnameError](err)
	timeout, isNet := errors.AsType[net.Error](err)
	switch {
	case untrusted || other:
		return fault.New(fault.Unavailable, "webhook_certificate", "the certificate of %s is not trusted", host).
			WithHint("If it is of your own authority, the operator adds it: `fairlead serve --ca FILE`.").WithCause(err)
	case isNet && timeout.Timeout() || errors.Is(err, context.DeadlineExceeded):
		return fault.New(fault.Unavailable, "webhook_timeout", "%s did not answer within %s", host, hookTime).
			WithHint("Let the receiver answer first and work afterwards.").WithCause(err)
	default:
		return fault.New(fault.Unavailable, "webhook_unreachable", "%s cannot be reached", host).
			WithHint("See that the receiver runs, and that this server may reach it.").WithCause(err)
	}
}

// answered makes a fault of an answer that is no success.
func answered(host string, response *http.Response) error {
	status := strings.TrimSpace(strconv.Itoa(response.StatusCode) + " " + http.StatusText(response.StatusCode))
	switch code := response.StatusCode; {
	case code >= 200 && code < 300:
		return nil
	case code >= 300 && code < 400:
		return fault.New(fault.Unavailable, "webhook_redirected", "%s sends on to another address (%s), and no webhook follows", host, status).
			WithHint("Enter the address that it moved to.")
	case code == http.StatusGone:
		return fault.New(fault.NotFound, "webhook_gone", "%s says that the webhook is gone for good (%s)", host, status).
			WithHint("Enter another address, or remove the channel.")
	}
	f := fault.New(fault.Unavailable, "webhook_refused", "%s answered %s", host, status).
		WithHint("The receiver's log says why. It has to answer with a status from 200 to 299.")
	if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && seconds > 0 {
		f.RetryAfter = min(time.Duration(seconds)*time.Second, waitMost)
	}
	return f
}

// Sign is the signature of a webhook, as its header has it: the HMAC-SHA256, with
// what is behind the secret's prefix, of id, timestamp and body.
func Sign(signing secret.Text, id string, at time.Time, body []byte) (string, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(signing.Reveal(), secretPrefix))
	if err != nil || len(key) == 0 {
		return "", errors.New("signing a webhook: the secret is none") // the cause would show it
	}
	mac := hmac.New(sha256.New, key)
	_, _ = fmt.Fprintf(mac, "%s.%d.%s", id, at.Unix(), body) // a hash never fails
	return signatureScheme + base64.StdEncoding.EncodeToString(mac.Sum(nil)), nil
}
