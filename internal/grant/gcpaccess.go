package grant

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"cloud.google.com/go/auth"
	"golang.org/x/sync/singleflight"

	"fairlead.dev/fairlead/internal/diagnosis"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/secret"
)

// googleScopes are what an access token is good for, whatever its account may:
// reading through Artifact Registry's API, which takes the first, and
// downloading from the registry itself, for which the second has been enough
// since it was Container Registry, and is what GKE's nodes pull with.
// https://cloud.google.com/artifact-registry/docs/integrate-compute
var googleScopes = []string{
	"https://www.googleapis.com/auth/cloud-platform.read-only",
	"https://www.googleapis.com/auth/devstorage.read_only",
}

// googleAccess is an access token of a service account.
type googleAccess struct {
	email string
	token secret.Text
	ends  time.Time
}

// emailOf is the service account of a credential.
func emailOf(m Material) string {
	if email := m.Config[fieldAccount]; email != "" {
		return email
	}
	return m.Config[fieldClientEmail]
}

// googleTokens keep access tokens until shortly before they end, so that any
// number of repositories cause one trade. They are kept by all that a credential
// is made of, its key as well: one that only claims to be another gets nothing
// of it.
type googleTokens struct {
	flights singleflight.Group

	mu     sync.Mutex
	access map[materialID]googleAccess
}

// accessAhead is how long before its end a token is asked for anew, and
// accessMost how many are kept.
const (
	accessAhead = 5 * time.Minute
	accessMost  = 1000
)

func (t *googleTokens) get(id materialID) googleAccess {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.access[id]
}

func (t *googleTokens) put(id materialID, fresh googleAccess) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.access == nil || len(t.access) >= accessMost {
		t.access = make(map[materialID]googleAccess)
	}
	t.access[id] = fresh
}

// forget drops a token that is refused, unless another has taken its place.
func (t *googleTokens) forget(id materialID, refused googleAccess) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.access[id].token.Equal(refused.token) {
		delete(t.access, id)
	}
}

// access is an access token for the credential's account, and whether it was
// known already. One that is about to end is used to its end while Google gives
// no other. The error is a fault.
func (g gcp) access(ctx context.Context, m Material, ref image.Reference) (_ googleAccess, known bool, _ error) {
	id := idOf(m)
	held := g.tokens.get(id)
	if g.exchange.now().Add(accessAhead).Before(held.ends) {
		return held, true, nil
	}
	// Whoever waits may go; the trade goes on for the others.
	flight := g.tokens.flights.DoChan(string(id[:]), func() (any, error) {
		return g.trade(context.WithoutCancel(ctx), m, ref)
	})
	select {
	case <-ctx.Done():
		return googleAccess{}, false, googleFault(ctx.Err(), m, ref)
	case result := <-flight:
		passes := fault.Is(result.Err, fault.Exhausted) || fault.Is(result.Err, fault.Unavailable)
		switch {
		case passes && g.exchange.now().Before(held.ends): // which serves until it has passed
			return held, true, nil
		case result.Err != nil:
			return googleAccess{}, false, result.Err
		}
		return result.Val.(googleAccess), false, nil //nolint:forcetypeassert // the flight returns nothing else
	}
}

// trade gets an access token from Google and keeps it. The error is a fault.
func (g gcp) trade(ctx context.Context, m Material, ref image.Reference) (googleAccess, error) {
	transport, err := g.exchange.ways.of(m)
	if err != nil {
		return googleAccess{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, roleExchangeMost)
	defer cancel()
	begin := g.exchange.now()
	way := g.byKey
	if m.Config[fieldProvider] != "" {
		way, transport = g.byIdentity, g.exchange.ways.base // see Config.IdentityToken
	}
	token, err := way(ctx, m, transport)
	if err != nil {
		return googleAccess{}, googleFault(err, m, ref)
	}
	fresh := googleAccess{email: emailOf(m), token: secret.New(token.Value), ends: begin.Add(lifeOf(token))}
	g.tokens.put(idOf(m), fresh)
	return fresh, nil
}

// googleFault is the diagnosis of an error of Google's APIs, or of one on the way
// there.
func googleFault(err error, m Material, ref image.Reference) *fault.Error {
	return diagnosis.Of(err, diagnosis.Subject{Service: diagnosis.Google, Image: ref, User: emailOf(m)})
}

// lifeOf is how long a token holds from now on, by Google's library's own clock.
func lifeOf(token *auth.Token) time.Duration {
	if token.Expiry.IsZero() { // which Google always tells
		return untraded
	}
	return time.Until(token.Expiry)
}

// noGoogleLog keeps Google's library from logging requests and answers, which it
// does where the environment tells it to.
var noGoogleLog = slog.New(slog.DiscardHandler)

// googleClient reaches the named hosts of Google's and no other. A refusal is
// an error that holds an *oci.Error: Google's library keeps of some answers
// nothing but a text.
func googleClient(transport *oci.Transport, hide []secret.Text, hosts ...string) *http.Client {
	return &http.Client{Transport: googleAnswers{transport.Services(hosts...), hide}, CheckRedirect: noRedirects}
}

type googleAnswers struct {
	services http.RoundTripper
	hide     []secret.Text
}

// RoundTrip gives the answer, or as an error what a refusal says.
func (g googleAnswers) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := g.services.RoundTrip(request)
	if err != nil || response.StatusCode < http.StatusMultipleChoices {
		return response, err
	}
	defer func() { _ = response.Body.Close() }() // only read
	return nil, readGoogle(response, g.hide...)
}

// readGoogle reads a refusal: in OAuth 2.0's form, or in Google's own with a
// status and reasons. https://google.aip.dev/193
func readGoogle(response *http.Response, hide ...secret.Text) *oci.Error {
	const most = 64 << 10
	body, _ := io.ReadAll(io.LimitReader(response.Body, most)) // a part is better than nothing
	plain := *response
	plain.Body = io.NopCloser(bytes.NewReader(body))
	told := oci.ReadError(&plain, "", hide...)
	var said struct {
		Error struct {
			Status  string `json:"status"`
			Message string `json:"message"`
			Details []struct {
				Reason string `json:"reason"`
			} `json:"details"`
		} `json:"error"`
	}
	if json.Unmarshal(body, &said) != nil || said.Error.Message == "" {
		return told
	}
	told.Message = oci.Clean(said.Error.Message, hide...)
	told.Codes = nil
	for _, detail := range said.Error.Details {
		if reason := oci.Clean(detail.Reason); reason != "" && len(told.Codes) < googleReasons {
			told.Codes = append(told.Codes, reason)
		}
	}
	if status := oci.Clean(said.Error.Status); status != "" {
		told.Codes = append(told.Codes, status)
	}
	return told
}

// googleReasons is how many reasons of one refusal are kept; Google gives one.
const googleReasons = 4
