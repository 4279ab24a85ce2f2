package granttest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// GoogleOptions say which part of Google Cloud to run. The zero value is one
// location of Artifact Registry.
type GoogleOptions struct {
	// Host is the registry's name in images, LOCATION-docker.pkg.dev or one of
	// gcr.io's; us-central1-docker.pkg.dev if empty.
	Host string

	// AccessLifetime is how long access tokens hold; an hour if 0. Tokens of the
	// registry hold for an hour.
	AccessLifetime time.Duration
}

// GoogleRole is what a service account may do in Artifact Registry.
type GoogleRole string

// The roles. A writer may push, an admin of a repository may delete too.
const (
	GoogleReader GoogleRole = "roles/artifactregistry.reader"
	GoogleWriter GoogleRole = "roles/artifactregistry.writer"
	GoogleAdmin  GoogleRole = "roles/artifactregistry.repoAdmin"
)

// Google is Artifact Registry with the APIs around it: the token endpoint, which
// verifies each assertion's signature, audience and times; STS, which verifies
// the tokens of workload identity providers; IAM credentials, where an identity
// becomes a service account; Artifact Registry's own API; and the public
// certificates of keys. The registry takes the tokens of its token service alone,
// which nobody can read, and that service only live access tokens. All its
// methods are safe for concurrent use.
type Google struct {
	*Registry
	lifetime time.Duration

	mu        sync.Mutex
	keys      map[string]*googleKey     // by private key id
	accounts  map[string]*googleAccount // by mail address
	providers map[string]*GoogleProvider
	access    map[string]googleToken
	federated map[string]string // token to principal
	calls     map[string]int
	throttle  int
	apiOff    bool
	skew      time.Duration
	given     []string
}

type googleKey struct {
	email         string
	key           *rsa.PrivateKey
	created, ends time.Time
}

type googleAccount struct {
	roles    map[string]GoogleRole
	actors   []string // principals with roles/iam.workloadIdentityUser
	disabled bool
}

type googleToken struct {
	email  string
	scopes []string
	ends   time.Time
}

// The hosts of the APIs.
const (
	googleOAuth       = "oauth2.googleapis.com"
	googleSTS         = "sts.googleapis.com"
	googleCredentials = "iamcredentials.googleapis.com"
	googleArtifact    = "artifactregistry.googleapis.com"
	googlePublic      = "www.googleapis.com"
	googleTokenURI    = "https://" + googleOAuth + "/token"
)

// googleBits is the size of the keys that Google makes.
const googleBits = 2048

// StartGoogle runs the fake until Close.
func StartGoogle(options GoogleOptions) (*Google, error) {
	if options.Host == "" {
		options.Host = "us-central1-docker.pkg.dev"
	}
	if options.AccessLifetime == 0 {
		options.AccessLifetime = time.Hour
	}
	g := &Google{
		lifetime: options.AccessLifetime,
		keys:     make(map[string]*googleKey), accounts: make(map[string]*googleAccount), providers: make(map[string]*GoogleProvider),
		access: make(map[string]googleToken), federated: make(map[string]string), calls: make(map[string]int),
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

func (g *Google) hosts() []string {
	return []string{googleOAuth, googleSTS, googleCredentials, googleArtifact, googlePublic}
}

// AddServiceAccount adds an account of a project with roles, and returns the JSON
// of a key of it. A role is for a repository, PROJECT/REPOSITORY, or for all of a
// project, PROJECT. The repository of gcr.io's hosts has the host's own name; a
// domain's project is DOMAIN:PROJECT.
func (g *Google) AddServiceAccount(name, project string, roles map[string]GoogleRole) (keyJSON string, err error) {
	domain, id, scoped := strings.Cut(project, ":")
	if !scoped {
		domain, id = "", project
	} else {
		domain = "." + domain
	}
	email := name + "@" + id + domain + ".iam.gserviceaccount.com"
	g.mu.Lock()
	g.accounts[email] = &googleAccount{roles: maps.Clone(roles)}
	g.mu.Unlock()
	return g.AddKey(email, project)
}

// AddKey makes a further key of an account of a project and returns its JSON.
func (g *Google) AddKey(email, project string) (keyJSON string, err error) {
	key, err := rsa.GenerateKey(rand.Reader, googleBits)
	if err != nil {
		return "", fmt.Errorf("making a service account's key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", fmt.Errorf("writing a service account's key: %w", err)
	}
	id := fmt.Sprintf("%x", rand.Text()[:20])
	private := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	text, err := json.MarshalIndent(map[string]string{
		"type": "service_account", "project_id": project, "private_key_id": id, "private_key": private,
		"client_email": email, "client_id": "1", "token_uri": googleTokenURI, "universe_domain": "googleapis.com",
	}, "", "  ")
	if err != nil {
		return "", fmt.Errorf("writing a service account's key: %w", err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.keys[id] = &googleKey{
		email: email, key: key, created: time.Now(),
		ends: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), // how Google writes none
	}
	g.given = append(g.given, private)
	return string(text), nil
}

// SetRoles replaces the roles of an account, which must exist.
func (g *Google) SetRoles(email string, roles map[string]GoogleRole) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.accounts[email].roles = maps.Clone(roles)
}

// DisableKeys makes every key of an account unknown. Access tokens that it got
// still hold.
func (g *Google) DisableKeys(email string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	maps.DeleteFunc(g.keys, func(_ string, key *googleKey) bool { return key.email == email })
}

// DisableAccount disables an account, which must exist, and its access tokens.
func (g *Google) DisableAccount(email string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.accounts[email].disabled = true
}

// DeleteAccount deletes an account, with its access tokens.
func (g *Google) DeleteAccount(email string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.accounts, email)
}

// SetKeyAge makes every key of an account as old as that.
func (g *Google) SetKeyAge(email string, age time.Duration) {
	g.eachKey(email, func(key *googleKey) { key.created = time.Now().Add(-age) })
}

// SetKeyEnd gives every key of an account an end, which an organisation's policy
// may set. Keys have none otherwise.
func (g *Google) SetKeyEnd(email string, end time.Time) {
	g.eachKey(email, func(key *googleKey) { key.ends = end })
}

func (g *Google) eachKey(email string, do func(*googleKey)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, key := range g.keys {
		if key.email == email {
			do(key)
		}
	}
}

// Throttle refuses the next n requests to the APIs and to the registry's token
// service with 429.
func (g *Google) Throttle(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.throttle = n
}

// SetAPIOff turns Artifact Registry's API off in every project, or on again. The
// registry itself goes on.
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

// ExpireTokens ends every access token that was given. The registry's own tokens
// still hold.
func (g *Google) ExpireTokens() {
	g.mu.Lock()
	defer g.mu.Unlock()
	clear(g.access)
	clear(g.federated)
}

// Calls is how many requests a service got: token (assertions), sts,
// generateAccessToken, repositories and packages (lists), testIamPermissions,
// x509 or v2/token. Refused ones count.
func (g *Google) Calls(what string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.calls[what]
}

// Given is every secret that the cloud made: private keys, identities, access
// tokens and the registry's tokens.
func (g *Google) Given() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	given := slices.Clone(g.given)
	for _, provider := range g.providers {
		given = append(given, provider.Given()...)
	}
	return given
}

// count counts a request, and reports whether it is one too many.
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

// serve answers for the APIs, and for the registry.
func (g *Google) serve(w http.ResponseWriter, request *http.Request) bool {
	switch request.Host {
	case googleOAuth:
		g.serveToken(w, request)
	case googleSTS:
		g.serveSTS(w, request)
	case googleCredentials:
		g.serveCredentials(w, request)
	case googleArtifact:
		g.serveArtifact(w, request)
	case googlePublic:
		g.serveCertificates(w, request)
	case g.options.Host:
		g.serveRegistry(w, request)
	default:
		return false
	}
	return true
}

// googleError answers in the form of Google's APIs. https://google.aip.dev/193
func googleError(w http.ResponseWriter, status int, name, reason, message string) {
	body := map[string]any{"code": status, "message": message, "status": name}
	if reason != "" {
		body["details"] = []any{map[string]any{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}}
	}
	writeJSON(w, status, map[string]any{"error": body})
}

// googleThrottled is the answer to a request too many.
func googleThrottled(w http.ResponseWriter, metric string) {
	googleError(w, http.StatusTooManyRequests, "RESOURCE_EXHAUSTED", "RATE_LIMIT_EXCEEDED",
		"Quota exceeded for quota metric '"+metric+"' and limit '"+metric+" per minute' of service for consumer 'project_number:123456789'.")
}
