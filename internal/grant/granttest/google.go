package granttest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"fairlead.dev/fairlead/internal/oci"
)

// GoogleOptions say which part of Google Cloud to run.
type GoogleOptions struct {
	// Host is the registry's name in images; us-central1-docker.pkg.dev if empty.
	Host string
}

// GoogleRole is what a service account may do with a repository of Artifact
// Registry.
type GoogleRole string

// The roles.
const (
	GoogleReader GoogleRole = "roles/artifactregistry.reader"
	GoogleAdmin  GoogleRole = "roles/artifactregistry.repoAdmin"
)

// Google is Artifact Registry with the APIs around it: the token endpoint, which
// verifies each assertion's signature, audience and times, Artifact Registry's
// own API, and the public certificates of keys. All its methods are safe for
// concurrent use.
type Google struct {
	*Registry

	mu       sync.Mutex
	keys     map[string]*googleKey     // by private key id
	accounts map[string]*googleAccount // by mail address
	access   map[string]googleToken
	calls    map[string]int
	throttle int
	apiOff   bool
	skew     time.Duration
	given    []string
}

type googleKey struct {
	email   string
	key     *rsa.PrivateKey
	created time.Time
}

type googleAccount struct {
	project string
	roles   map[string]GoogleRole // by the path of a repository: PROJECT/REPOSITORY
}

type googleToken struct {
	email string
	ends  time.Time
}

// The hosts of the APIs.
const (
	googleOAuth    = "oauth2.googleapis.com"
	googleArtifact = "artifactregistry.googleapis.com"
	googlePublic   = "www.googleapis.com"
	googleTokenURI = "https://" + googleOAuth + "/token"
)

// StartGoogle runs the fake until Close.
func StartGoogle(options GoogleOptions) (*Google, error) {
	if options.Host == "" {
		options.Host = "us-central1-docker.pkg.dev"
	}
	g := &Google{
		keys: make(map[string]*googleKey), accounts: make(map[string]*googleAccount),
		access: make(map[string]googleToken), calls: make(map[string]int),
	}
	var err error
	g.Registry, err = start(Options{Kind: Generic, Host: options.Host}, func(r *Registry) (cloud, error) {
		g.Registry = r
		return g, nil
	})
	if err != nil {
		return nil, err
	}
	return g, nil
}

func (g *Google) hosts() []string { return []string{googleOAuth, googleArtifact, googlePublic} }

// AddServiceAccount adds an account of a project with roles on repositories, as
// PROJECT/REPOSITORY, and returns the JSON of a key of it.
func (g *Google) AddServiceAccount(name, project string, roles map[string]GoogleRole) (keyJSON string, err error) {
	const bits = 2048
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		return "", fmt.Errorf("making a service account's key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", fmt.Errorf("writing a service account's key: %w", err)
	}
	email := name + "@" + project + ".iam.gserviceaccount.com"
	id := fmt.Sprintf("%x", rand.Text()[:10])
	private := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	text, err := json.MarshalIndent(map[string]string{
		"type": "service_account", "project_id": project, "private_key_id": id, "private_key": private,
		"client_email": email, "client_id": "1", "token_uri": googleTokenURI,
	}, "", "  ")
	if err != nil {
		return "", fmt.Errorf("writing a service account's key: %w", err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.keys[id] = &googleKey{email: email, key: key, created: time.Now()}
	g.accounts[email] = &googleAccount{project: project, roles: roles}
	g.given = append(g.given, private)
	return string(text), nil
}

// SetRoles replaces the roles of the account of a key.
func (g *Google) SetRoles(email string, roles map[string]GoogleRole) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.accounts[email].roles = roles
}

// DisableKeys makes every key of an account unknown.
func (g *Google) DisableKeys(email string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for id, key := range g.keys {
		if key.email == email {
			delete(g.keys, id)
		}
	}
}

// DeleteAccount deletes an account.
func (g *Google) DeleteAccount(email string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.accounts, email)
}

// SetKeyAge makes every key of an account as old as that.
func (g *Google) SetKeyAge(email string, age time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, key := range g.keys {
		if key.email == email {
			key.created = time.Now().Add(-age)
		}
	}
}

// Throttle refuses the next n requests to the APIs.
func (g *Google) Throttle(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.throttle = n
}

// SetAPIOff turns Artifact Registry's API off in every project, or on again.
func (g *Google) SetAPIOff(off bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.apiOff = off
}

// SetClockSkew has Google's clock differ from ours by that.
func (g *Google) SetClockSkew(skew time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.skew = skew
}

// ExpireTokens ends every access token that was given.
func (g *Google) ExpireTokens() {
	g.mu.Lock()
	defer g.mu.Unlock()
	clear(g.access)
}

// Calls is how many requests a service got: token, packages, testIamPermissions,
// x509 or v2/token.
func (g *Google) Calls(what string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.calls[what]
}

// Given is every secret that there is: the private keys, and access tokens.
func (g *Google) Given() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.given)
}

func (g *Google) count(what string) (throttled bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls[what]++
	if g.throttle == 0 {
		return false
	}
	g.throttle--
	return true
}

// serve answers for the APIs, and for the registry's token service.
func (g *Google) serve(w http.ResponseWriter, request *http.Request) bool {
	switch {
	case request.Host == googleOAuth && request.URL.Path == "/token":
		g.serveToken(w, request)
	case request.Host == googleArtifact:
		g.serveArtifact(w, request)
	case request.Host == googlePublic:
		g.serveCertificates(w, request)
	case request.Host == g.options.Host && request.URL.Path == "/service/token":
		g.serveRegistryToken(w, request)
	default:
		return false
	}
	return true
}

// serveToken trades an assertion for an access token.
// https://developers.google.com/identity/protocols/oauth2/service-account#httprest
func (g *Google) serveToken(w http.ResponseWriter, request *http.Request) {
	if g.count("token") {
		googleError(w, http.StatusTooManyRequests, "RESOURCE_EXHAUSTED", "", "Quota exceeded for quota metric 'Token requests'")
		return
	}
	request.Body = http.MaxBytesReader(w, request.Body, 64<<10)
	if err := request.ParseForm(); err != nil || request.PostForm.Get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
		refuseOAuth(w, "unsupported_grant_type", "Invalid grant_type: "+request.PostForm.Get("grant_type"))
		return
	}
	parsed, err := jwt.ParseSigned(request.PostForm.Get("assertion"), []jose.SignatureAlgorithm{jose.RS256})
	if err != nil || len(parsed.Headers) != 1 {
		refuseOAuth(w, "invalid_grant", "Invalid JWT")
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	var claims struct {
		jwt.Claims
		Scope string `json:"scope"`
	}
	if err := parsed.UnsafeClaimsWithoutVerification(&claims); err != nil {
		refuseOAuth(w, "invalid_grant", "Invalid JWT")
		return
	}
	if g.accounts[claims.Issuer] == nil {
		refuseOAuth(w, "invalid_grant", "Invalid grant: account not found")
		return
	}
	key := g.keys[parsed.Headers[0].KeyID]
	if key == nil || key.email != claims.Issuer || parsed.Claims(key.key.Public(), &claims) != nil {
		refuseOAuth(w, "invalid_grant", "Invalid JWT Signature.")
		return
	}
	now := time.Now().Add(g.skew)
	const leeway = time.Minute
	switch {
	case claims.IssuedAt == nil || claims.Expiry == nil || claims.Expiry.Time().Sub(claims.IssuedAt.Time()) > time.Hour+leeway,
		now.After(claims.Expiry.Time().Add(leeway)), claims.IssuedAt.Time().After(now.Add(leeway)):
		refuseOAuth(w, "invalid_grant", "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim.")
		return
	case !slices.Contains(claims.Audience, googleTokenURI):
		refuseOAuth(w, "invalid_grant", "Invalid JWT: Failed audience check.")
		return
	case claims.Scope == "":
		refuseOAuth(w, "invalid_scope", "Empty or missing scope not allowed.")
		return
	}
	token := "ya29.c." + rand.Text() + rand.Text()
	g.access[token] = googleToken{email: key.email, ends: time.Now().Add(time.Hour)}
	g.given = append(g.given, token)
	writeJSON(w, http.StatusOK, map[string]any{"access_token": token, "expires_in": 3600, "token_type": "Bearer"})
}

// whoHas is the account whose live access token is shown.
func (g *Google) whoHas(token string) (*googleAccount, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	known, found := g.access[token]
	if !found || time.Now().After(known.ends) {
		return nil, false
	}
	account, found := g.accounts[known.email]
	return account, found
}

// may is what an account may do in a repository of the registry, which is below
// one of Artifact Registry's: PROJECT/REPOSITORY/IMAGE.
func (g *Google) may(account *googleAccount, repository string) []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	for path, role := range account.roles {
		if strings.HasPrefix(repository, path+"/") {
			if role == GoogleAdmin {
				return []string{"pull", "push", "delete"}
			}
			return []string{"pull"}
		}
	}
	return nil
}

// serveRegistryToken is the registry's own token service.
func (g *Google) serveRegistryToken(w http.ResponseWriter, request *http.Request) {
	if g.count("v2/token") {
		refuse(w, http.StatusTooManyRequests, "RESOURCE_EXHAUSTED", "Quota exceeded")
		return
	}
	user, password, _ := request.BasicAuth()
	account, known := g.whoHas(password)
	scope := request.URL.Query().Get("scope")
	g.ledger.exchange(Exchange{Method: request.Method, User: user, Scope: scope})
	if user != "oauth2accesstoken" || !known {
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "Unauthenticated request. Unauthenticated requests do not have permission \"artifactregistry.repositories.downloadArtifacts\"")
		return
	}
	repository, actions, ok := parseScope(scope)
	if !ok {
		refuse(w, http.StatusBadRequest, "UNSUPPORTED", "unsupported scope")
		return
	}
	held := g.may(account, repository)
	granted := slices.DeleteFunc(actions, func(action string) bool { return !slices.Contains(held, action) })
	if len(granted) == 0 {
		parts := strings.SplitN(repository, "/", 3)
		name := parts[0]
		if len(parts) > 1 {
			name = parts[1]
		}
		refuse(w, http.StatusForbidden, "DENIED", fmt.Sprintf(
			`Permission "artifactregistry.repositories.downloadArtifacts" denied on resource "projects/%s/locations/us-central1/repositories/%s" (or it may not exist)`, parts[0], name))
		return
	}
	token, err := g.signer.sign("google", time.Now(), time.Hour, []oci.Access{access(repository, granted...)})
	if err != nil {
		refuse(w, http.StatusInternalServerError, "UNKNOWN", "no token could be signed")
		return
	}
	g.mu.Lock()
	g.given = append(g.given, token)
	g.mu.Unlock()
	writeJSON(w, http.StatusOK, map[string]any{"token": token, "expires_in": 3600})
}

// serveArtifact is Artifact Registry's API.
// https://cloud.google.com/artifact-registry/docs/reference/rest
func (g *Google) serveArtifact(w http.ResponseWriter, request *http.Request) {
	path := strings.TrimPrefix(request.URL.Path, "/v1/")
	what := "packages"
	if strings.HasSuffix(path, ":testIamPermissions") {
		what = "testIamPermissions"
	}
	if g.count(what) {
		googleError(w, http.StatusTooManyRequests, "RESOURCE_EXHAUSTED", "rateLimitExceeded", "Quota exceeded")
		return
	}
	account, known := g.whoHas(strings.TrimPrefix(request.Header.Get("Authorization"), "Bearer "))
	parts := strings.Split(strings.TrimSuffix(path, ":testIamPermissions"), "/")
	switch {
	case !known:
		googleError(w, http.StatusUnauthorized, "UNAUTHENTICATED", "ACCESS_TOKEN_EXPIRED", "Request had invalid authentication credentials.")
		return
	case g.isOff():
		googleError(w, http.StatusForbidden, "PERMISSION_DENIED", "SERVICE_DISABLED", "Artifact Registry API has not been used in project before or it is disabled.")
		return
	case len(parts) < 6 || parts[0] != "projects" || parts[2] != "locations" || parts[4] != "repositories":
		googleError(w, http.StatusNotFound, "NOT_FOUND", "", "Requested entity was not found.")
		return
	}
	prefix := parts[1] + "/" + parts[5]
	held := g.may(account, prefix+"/")
	if what == "testIamPermissions" {
		permissions := []any{}
		for action, name := range map[string]string{"pull": "downloadArtifacts", "push": "uploadArtifacts", "delete": "deleteArtifacts"} {
			if slices.Contains(held, action) {
				permissions = append(permissions, "artifactregistry.repositories."+name)
			}
		}
		writeJSON(w, http.StatusOK, map[string]any{"permissions": permissions})
		return
	}
	if len(held) == 0 {
		googleError(w, http.StatusForbidden, "PERMISSION_DENIED", "IAM_PERMISSION_DENIED", `Permission "artifactregistry.packages.list" denied on resource (or it may not exist)`)
		return
	}
	packages := []any{}
	for _, name := range g.repositories() {
		if rest, below := strings.CutPrefix(name, prefix+"/"); below {
			packages = append(packages, map[string]any{"name": strings.Join(parts[:6], "/") + "/packages/" + strings.ReplaceAll(rest, "/", "%2F")})
		}
	}
	writeJSON(w, http.StatusOK, map[string]any{"packages": packages})
}

func (g *Google) isOff() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.apiOff
}

// serveCertificates shows everybody the certificates of an account's keys.
func (g *Google) serveCertificates(w http.ResponseWriter, request *http.Request) {
	_ = g.count("x509")
	email := strings.TrimPrefix(request.URL.Path, "/service_accounts/v1/metadata/x509/")
	g.mu.Lock()
	defer g.mu.Unlock()
	all := make(map[string]any)
	for id, key := range g.keys {
		if key.email != email {
			continue
		}
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: email},
			NotBefore: key.created, NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.key.Public(), key.key)
		if err != nil {
			http.Error(w, "no certificate", http.StatusInternalServerError)
			return
		}
		all[id] = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	writeJSON(w, http.StatusOK, all)
}

// googleError answers in the form of Google's APIs.
func googleError(w http.ResponseWriter, status int, name, reason, message string) {
	body := map[string]any{"code": status, "message": message, "status": name}
	if reason != "" {
		body["details"] = []any{map[string]any{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}}
	}
	writeJSON(w, status, map[string]any{"error": body})
}
