package couriertest

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Receiver is a program that takes webhooks, over https. It checks signatures as
// the specification tells receivers to.
type Receiver struct {
	server *httptest.Server

	mu      sync.Mutex
	secret  string
	now     func() time.Time
	hooks   []Hook
	answer  func(w http.ResponseWriter) // nil: 204
	changed chan struct{}               // closed at the next change
}

// Hook is a webhook that arrived. Err is what was wrong with it.
type Hook struct {
	ID     string
	Header http.Header
	Body   []byte
	Err    error
}

// NewReceiver starts a receiver, which ends with the test.
func NewReceiver(t testing.TB) *Receiver {
	t.Helper()
	r := &Receiver{now: time.Now, changed: make(chan struct{})}
	r.server = httptest.NewTLSServer(http.HandlerFunc(r.take))
	t.Cleanup(r.server.Close)
	return r
}

// URL is where it listens, at 127.0.0.1.
func (r *Receiver) URL() string { return r.server.URL + "/hook" }

// Address is HOST:PORT.
func (r *Receiver) Address() string { return r.server.Listener.Addr().String() }

// Trust checks what comes from now on with a secret; the one that was shown.
func (r *Receiver) Trust(secret string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.secret = secret
}

// SetClock has the receiver believe another clock.
func (r *Receiver) SetClock(now func() time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = now
}

// Answer has the receiver answer so from now on; nil is 204.
func (r *Receiver) Answer(answer func(w http.ResponseWriter)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

// Hooks are those that arrived.
func (r *Receiver) Hooks() []Hook {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.hooks)
}

// Wait returns a webhook as soon as one is there that is the right one; false
// when ctx ends before.
func (r *Receiver) Wait(ctx context.Context, right func(Hook) bool) (Hook, bool) {
	for {
		r.mu.Lock()
		changed := r.changed
		for _, hook := range r.hooks {
			if right(hook) {
				r.mu.Unlock()
				return hook, true
			}
		}
		r.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return Hook{}, false
		}
	}
}

func (r *Receiver) take(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		err = verify(r.secret, r.now(), request.Header, body)
	}
	r.hooks = append(r.hooks, Hook{ID: request.Header.Get("Webhook-Id"), Header: request.Header.Clone(), Body: body, Err: err})
	close(r.changed)
	r.changed = make(chan struct{})
	switch {
	case err != nil:
		http.Error(w, err.Error(), http.StatusUnauthorized)
	case r.answer != nil:
		r.answer(w)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

// tolerance is how old or new a webhook may be.
const tolerance = 5 * time.Minute

func verify(secret string, now time.Time, header http.Header, body []byte) error {
	encoded, found := strings.CutPrefix(secret, "whsec_")
	key, err := base64.StdEncoding.DecodeString(encoded)
	if !found || err != nil || len(key) < 24 || len(key) > 64 {
		return errors.New("the secret is none")
	}
	seconds, err := strconv.ParseInt(header.Get("Webhook-Timestamp"), 10, 64)
	if err != nil {
		return fmt.Errorf("the timestamp is none: %w", err)
	}
	if age := now.Sub(time.Unix(seconds, 0)); age > tolerance || age < -tolerance {
		return fmt.Errorf("it was sent %s ago", age)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(header.Get("Webhook-Id") + "." + header.Get("Webhook-Timestamp") + "."))
	mac.Write(body)
	for signature := range strings.FieldsSeq(header.Get("Webhook-Signature")) {
		version, text, _ := strings.Cut(signature, ",")
		given, err := base64.StdEncoding.DecodeString(text)
		if version == "v1" && err == nil && hmac.Equal(given, mac.Sum(nil)) {
			return nil
		}
	}
	return errors.New("the signature is wrong")
}
