package oci

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker/auth"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/secret"
)

// TokenRequest is what a token service is asked for.
type TokenRequest struct {
	Challenge  Challenge // of the registry: names the realm and the service
	Repository string    // whose pull right is asked for

	// Scopes are asked for instead of that right, unless nil: for checks of what
	// a credential could do, whose tokens no pull ever gets. An empty list asks
	// for no right at all, which tells whether the service knows who asks.
	Scopes []string

	// User and Password are who asks, nobody where both are empty. A Password
	// without a User is a refresh token.
	User     string
	Password secret.Text
}

// Token is a token service's answer.
type Token struct {
	Value secret.Text

	// Lifetime is from the moment of asking; a minute where the answer does
	// not say (https://distribution.github.io/distribution/spec/auth/token/).
	Lifetime time.Duration

	// Access is what the token grants, where it is a JWT that says so.
	Access []Access

	// SaysAccess tells a token that grants nothing from one that cannot be
	// read.
	SaysAccess bool
}

// Access is one entry of a token's access claim.
type Access struct {
	Type    string   `json:"type"`
	Name    string   `json:"name"`
	Actions []string `json:"actions"`
}

// Bounds of what a token service answers.
const (
	mostTokenAnswer = 256 << 10
	defaultLifetime = time.Minute
	longestLifetime = 24 * time.Hour
	tokenClientID   = "fairlead"
)

// PullScope is the scope of one repository's pull right.
func PullScope(repository string) string { return "repository:" + repository + ":pull" }

// FetchToken asks the token service that a challenge names, after Realm has
// checked its address: with GET, or where the service has no GET (and for a
// refresh token) with OAuth 2.0's POST. The scope is the repository's pull
// right and nothing else, whatever the challenge proposes, unless the request
// names others.
func (r *Route) FetchToken(ctx context.Context, request TokenRequest) (Token, error) {
	realm, err := r.Realm(request.Challenge.Realm)
	if err != nil {
		return Token{}, err
	}
	options := auth.TokenOptions{
		Realm:    realm.String(),
		Service:  request.Challenge.Service,
		Scopes:   request.scopes(),
		Username: request.User,
		Secret:   request.Password.Reveal(),
	}
	client := &http.Client{Transport: tokenTransport{route: r, realm: realm, repository: request.Repository, hide: request.Password}}
	fetch := r.getToken
	if request.User == "" && !request.Password.IsEmpty() {
		fetch = r.postToken
	}
	token, err := fetch(ctx, client, options)
	if refused, ok := errors.AsType[*Error](err); ok && refused.Status == http.StatusMethodNotAllowed && request.User != "" {
		token, err = r.postToken(ctx, client, options)
	}
	if errors.Is(err, auth.ErrNoToken) {
		return Token{}, fault.New(fault.Unavailable, "token_missing", "the token service of %s, %s, answered without a token", r.api, escape(realm.Host)).
			WithHint("Ask the registry's operator; the credential was accepted.")
	}
	if _, unanswered := errors.AsType[*url.Error](err); err != nil && !unanswered {
		// The cause is left out: it may quote what was taken for a token.
		return Token{}, fault.New(fault.Unavailable, "token_missing", "the token service of %s, %s, gave an answer that cannot be read", r.api, escape(realm.Host)).
			WithHint("Ask the registry's operator; the credential was accepted.")
	}
	if err != nil {
		return Token{}, RedactError(err)
	}
	token.Access, token.SaysAccess = accessOf(token.Value)
	return token, nil
}

func (r *Route) getToken(ctx context.Context, client *http.Client, options auth.TokenOptions) (Token, error) {
	answer, err := auth.FetchToken(ctx, client, r.tokenHeader(), options)
	if err != nil {
		return Token{}, err
	}
	return Token{Value: secret.New(answer.Token), Lifetime: lifetime(answer.ExpiresInSeconds)}, nil
}

func (r *Route) postToken(ctx context.Context, client *http.Client, options auth.TokenOptions) (Token, error) {
	answer, err := auth.FetchTokenWithOAuth(ctx, client, r.tokenHeader(), tokenClientID, options)
	if err != nil {
		return Token{}, err
	}
	return Token{Value: secret.New(answer.AccessToken), Lifetime: lifetime(answer.ExpiresInSeconds)}, nil
}

// tokenHeader says who we are, where the library would name itself.
func (r *Route) tokenHeader() http.Header {
	return http.Header{"User-Agent": {r.transport.config.UserAgent}}
}

func lifetime(seconds int) time.Duration {
	if seconds <= 0 {
		return defaultLifetime
	}
	return time.Duration(min(seconds, int(longestLifetime/time.Second))) * time.Second
}

func (t TokenRequest) scopes() []string {
	if t.Scopes != nil {
		return t.Scopes
	}
	return []string{PullScope(t.Repository)}
}

// Actions are what the token's own words let its bearer do in a repository.
func (t Token) Actions(repository string) []string {
	var actions []string
	for _, a := range t.Access {
		if a.Type == "repository" && a.Name == repository {
			actions = append(actions, a.Actions...)
		}
	}
	return actions
}

// Grants reports whether the token's own words give the pull right of a
// repository; true where the token cannot be read.
func (t Token) Grants(repository string) bool {
	return !t.SaysAccess || slices.ContainsFunc(t.Access, func(a Access) bool { return a.pulls(repository) })
}

// OnlyPulls reports whether the token's own words give the pull right of that
// repository and nothing else; false where the token cannot be read.
func (t Token) OnlyPulls(repository string) bool {
	return len(t.Access) > 0 && !slices.ContainsFunc(t.Access, func(a Access) bool {
		return !a.pulls(repository) || len(a.Actions) != 1 || a.Actions[0] != "pull"
	})
}

func (a Access) pulls(repository string) bool {
	return a.Type == "repository" && a.Name == repository &&
		(slices.Contains(a.Actions, "pull") || slices.Contains(a.Actions, "*"))
}

// signatures that token services use; nothing is verified here, since the
// registry does that and only the right to read the claim is ours.
var signatures = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
	jose.ES256, jose.ES384, jose.ES512, jose.EdDSA, jose.HS256, jose.HS384, jose.HS512,
}

// accessOf reads the access claim of a JWT, unverified.
func accessOf(token secret.Text) (access []Access, says bool) {
	parsed, err := jwt.ParseSigned(token.Reveal(), signatures)
	if err != nil {
		return nil, false
	}
	var claims struct {
		Access json.RawMessage `json:"access"`
	}
	if err := parsed.UnsafeClaimsWithoutVerification(&claims); err != nil || claims.Access == nil {
		return nil, false
	}
	if err := json.Unmarshal(claims.Access, &access); err != nil {
		return nil, false
	}
	return access, true
}

// tokenTransport makes a refusal an *Error, which the library's own error does
// not carry enough of, and bounds what is read of an answer.
type tokenTransport struct {
	route      *Route
	realm      *url.URL
	repository string
	hide       secret.Text
}

func (t tokenTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Response != nil && !t.hide.IsEmpty() && canonical(request.URL.Host) != canonical(t.realm.Host) {
		// The rules drop the credential there, and what nobody gets would
		// look like what the credential gets.
		if request.Body != nil {
			_ = request.Body.Close()
		}
		return nil, fault.New(fault.Denied, "realm_redirected", "the token service of %s redirects from %s to %s, where the credential is not sent",
			t.route.api, escape(t.realm.Host), escape(request.URL.Host)).
			WithHint("Ask the registry's operator to set the realm of its token service to its final address.")
	}
	response, err := t.route.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	isRedirect := response.StatusCode >= 300 && response.StatusCode < 400 && response.Header.Get("Location") != ""
	if isRedirect {
		return response, nil
	}
	original := *response
	defer drain(&original)
	if response.StatusCode != http.StatusOK {
		return nil, ReadError(response, t.repository, t.hide)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, mostTokenAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("reading the token service's answer: %w", err)
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	if len(body) > mostTokenAnswer || !json.Valid(body) {
		return nil, ReadError(response, t.repository, t.hide)
	}
	return response, nil
}

// ReadToken is a token that was got in a way of a registry's own, as FetchToken
// would give it; its lifetime is what it says itself, as a JWT.
func ReadToken(value secret.Text, now time.Time) (Token, error) {
	if value.IsEmpty() {
		return Token{}, fault.New(fault.Unavailable, "token_missing", "the token service answered without a token").
			WithHint("Ask the registry's operator; the credential was accepted.")
	}
	token := Token{Value: value, Lifetime: defaultLifetime}
	if ends, ok := EndOf(value); ok {
		token.Lifetime = min(max(ends.Sub(now), 0), longestLifetime)
	}
	token.Access, token.SaysAccess = accessOf(value)
	return token, nil
}

// EndOf is when a token ends that is a JWT and says so; nothing is verified.
func EndOf(token secret.Text) (time.Time, bool) {
	parsed, err := jwt.ParseSigned(token.Reveal(), signatures)
	if err != nil {
		return time.Time{}, false
	}
	var claims jwt.Claims
	if err := parsed.UnsafeClaimsWithoutVerification(&claims); err != nil || claims.Expiry == nil {
		return time.Time{}, false
	}
	return claims.Expiry.Time().UTC(), true
}
