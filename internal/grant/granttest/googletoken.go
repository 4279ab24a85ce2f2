package granttest

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	// googleLeeway is how far clocks may differ.
	googleLeeway = time.Minute

	// googleLongest is how long an assertion may hold.
	googleLongest = time.Hour

	// googleForm bounds what is read of a request.
	googleForm = 64 << 10
)

// serveToken trades an assertion for an access token.
// https://developers.google.com/identity/protocols/oauth2/service-account#httprest
func (g *Google) serveToken(w http.ResponseWriter, request *http.Request) {
	if g.count("token") {
		googleThrottled(w, "Token requests")
		return
	}
	request.Body = http.MaxBytesReader(w, request.Body, googleForm)
	switch err := request.ParseForm(); {
	case request.Method != http.MethodPost || request.URL.Path != "/token":
		http.NotFound(w, request)
		return
	case err != nil || request.PostForm.Get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer":
		refuseOAuth(w, "unsupported_grant_type", "Invalid grant_type: "+request.PostForm.Get("grant_type"))
		return
	}
	email, scopes, refused := g.verifyAssertion(request.PostForm.Get("assertion"))
	if refused != nil {
		refuseOAuth(w, refused.code, refused.words)
		return
	}
	token := g.newAccess(email, scopes, g.lifetime)
	writeJSON(w, http.StatusOK, map[string]any{"access_token": token, "expires_in": int(g.lifetime / time.Second), "token_type": "Bearer"})
}

// googleRefusal is a refusal in OAuth 2.0's form.
type googleRefusal struct{ code, words string }

// verifyAssertion tells whose assertion it is.
func (g *Google) verifyAssertion(text string) (email string, scopes []string, _ *googleRefusal) {
	var claims struct {
		jwt.Claims
		Scope string `json:"scope"`
	}
	parsed, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil || len(parsed.Headers) != 1 || parsed.UnsafeClaimsWithoutVerification(&claims) != nil {
		return "", nil, &googleRefusal{"invalid_grant", "Bad Request"}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	account, key := g.accounts[claims.Issuer], g.keys[parsed.Headers[0].KeyID]
	now := time.Now().Add(g.skew)
	switch {
	case account == nil:
		return "", nil, &googleRefusal{"invalid_grant", "Invalid grant: account not found"}
	case account.disabled:
		return "", nil, &googleRefusal{"invalid_grant", "Invalid grant: account has been disabled"}
	case key == nil, key.email != claims.Issuer, parsed.Claims(key.key.Public(), &claims) != nil, now.After(key.ends):
		return "", nil, &googleRefusal{"invalid_grant", "Invalid JWT Signature."}
	case claims.IssuedAt == nil, claims.Expiry == nil,
		claims.Expiry.Time().Sub(claims.IssuedAt.Time()) > googleLongest+googleLeeway,
		now.After(claims.Expiry.Time().Add(googleLeeway)), claims.IssuedAt.Time().After(now.Add(googleLeeway)):
		return "", nil, &googleRefusal{"invalid_grant", "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim."}
	case !slices.Contains(claims.Audience, googleTokenURI):
		return "", nil, &googleRefusal{"invalid_grant", "Invalid JWT: Failed audience check. The right audience is " + googleTokenURI}
	case claims.Scope == "":
		return "", nil, &googleRefusal{"invalid_scope", "Invalid OAuth scope or ID token audience provided."}
	}
	return claims.Issuer, strings.Fields(claims.Scope), nil
}

// newAccess gives an access token for an account.
func (g *Google) newAccess(email string, scopes []string, life time.Duration) string {
	token := "ya29.c." + rand.Text() + rand.Text()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.access[token] = googleToken{email: email, scopes: scopes, ends: time.Now().Add(life)}
	g.given = append(g.given, token)
	return token
}

// whoHas is the account whose live access token is shown, and what the token is
// good for.
func (g *Google) whoHas(token string) (account *googleAccount, scopes []string, live bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	known, found := g.access[token]
	account = g.accounts[known.email]
	if !found || time.Now().After(known.ends) || account == nil || account.disabled {
		return nil, nil, false
	}
	return account, known.scopes, true
}

// serveSTS trades the token of a workload identity provider for a federated one.
// https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token
func (g *Google) serveSTS(w http.ResponseWriter, request *http.Request) {
	if g.count("sts") {
		googleThrottled(w, "Token exchange requests")
		return
	}
	request.Body = http.MaxBytesReader(w, request.Body, googleForm)
	if err := request.ParseForm(); err != nil || request.Method != http.MethodPost || request.URL.Path != "/v1/token" {
		http.NotFound(w, request)
		return
	}
	form := request.PostForm
	switch {
	case form.Get("grant_type") != "urn:ietf:params:oauth:grant-type:token-exchange":
		refuseOAuth(w, "unsupported_grant_type", "Invalid value for \"grant_type\"")
		return
	case form.Get("requested_token_type") != "urn:ietf:params:oauth:token-type:access_token",
		form.Get("subject_token_type") != "urn:ietf:params:oauth:token-type:jwt":
		refuseOAuth(w, "invalid_request", "Invalid value for \"requested_token_type\" or \"subject_token_type\"")
		return
	case form.Get("scope") == "":
		refuseOAuth(w, "invalid_scope", "OAuth scope is not provided.")
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	provider := g.providers[form.Get("audience")]
	if provider == nil {
		refuseOAuth(w, "invalid_target", `The target service indicated by the "audience" parameters is invalid. This might either be because the pool or provider is disabled or deleted or because it doesn't exist.`)
		return
	}
	principal, refused := provider.verify(form.Get("subject_token"), time.Now().Add(g.skew))
	if refused != nil {
		refuseOAuth(w, refused.code, refused.words)
		return
	}
	token := "ya29.d." + rand.Text() + rand.Text()
	g.federated[token] = principal
	g.given = append(g.given, token)
	writeJSON(w, http.StatusOK, map[string]any{
		"access_token": token, "issued_token_type": "urn:ietf:params:oauth:token-type:access_token", "token_type": "Bearer", "expires_in": int(googleLongest / time.Second),
	})
}

// serveCredentials gives a federated identity an access token of an account.
// https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/generateAccessToken
func (g *Google) serveCredentials(w http.ResponseWriter, request *http.Request) {
	if g.count("generateAccessToken") {
		googleThrottled(w, "Generate credentials requests")
		return
	}
	email, isPath := strings.CutPrefix(request.URL.Path, "/v1/projects/-/serviceAccounts/")
	email, isCall := strings.CutSuffix(email, ":generateAccessToken")
	if !isPath || !isCall || request.Method != http.MethodPost {
		http.NotFound(w, request)
		return
	}
	var asked struct {
		Lifetime string   `json:"lifetime"`
		Scope    []string `json:"scope"`
	}
	err := json.NewDecoder(http.MaxBytesReader(w, request.Body, googleForm)).Decode(&asked)
	life, lifeErr := time.ParseDuration(asked.Lifetime)
	g.mu.Lock()
	principal, live := g.federated[strings.TrimPrefix(request.Header.Get("Authorization"), "Bearer ")]
	account := g.accounts[email]
	may := account != nil && slices.Contains(account.actors, principal)
	g.mu.Unlock()
	switch {
	case !live:
		googleError(w, http.StatusUnauthorized, "UNAUTHENTICATED", "ACCESS_TOKEN_EXPIRED", "Request had invalid authentication credentials.")
	case account == nil:
		googleError(w, http.StatusNotFound, "NOT_FOUND", "", "Not found; Gaia id not found for email "+email)
	case !may || account.disabled:
		googleError(w, http.StatusForbidden, "PERMISSION_DENIED", "IAM_PERMISSION_DENIED", "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist).")
	case err != nil || lifeErr != nil || life > googleLongest || len(asked.Scope) == 0:
		googleError(w, http.StatusBadRequest, "INVALID_ARGUMENT", "", "Request contains an invalid argument.")
	default:
		life = min(life, g.lifetime)
		token := g.newAccess(email, asked.Scope, life)
		writeJSON(w, http.StatusOK, map[string]any{"accessToken": token, "expireTime": time.Now().Add(life).UTC().Format(time.RFC3339)})
	}
}
