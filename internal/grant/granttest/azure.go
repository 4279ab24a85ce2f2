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
	"github.com/google/uuid"

	"fairlead.dev/fairlead/internal/oci"
)

// AzureOptions say which part of Azure to run.
type AzureOptions struct {
	// Host is the registry's name in images; myregistry.azurecr.io if empty. Its
	// ending says the cloud: .io, .cn or .us.
	Host string
}

// AzureRole is what an application may do with the registry.
type AzureRole string

// The roles.
const (
	AcrPull   AzureRole = "AcrPull"
	AcrPush   AzureRole = "AcrPush"
	AcrDelete AzureRole = "AcrDelete"
)

// Azure is Azure Container Registry with Entra before it: client credentials with
// a secret or a certificate, the registry's two exchanges, roles, and a firewall.
// All its methods are safe for concurrent use.
type Azure struct {
	*Registry

	tenant string
	issuer *rsa.PrivateKey // signs what Entra and the registry give out

	mu           sync.Mutex
	applications map[string]*azureApplication // by client id
	refresh      map[string]string            // refresh tokens to client ids
	calls        map[string]int
	throttle     int
	firewall     bool
	given        []string
}

type azureApplication struct {
	secret      string
	secretEnds  time.Time
	certificate *x509.Certificate
	federations []azureFederation
	roles       []AzureRole
	disabled    bool
	readsItself bool // has Microsoft Graph's Application.Read.All
}

// azureFederation is whose identity an application trusts.
type azureFederation struct {
	issuer  *Issuer
	subject string
}

// StartAzure runs the fake until Close.
func StartAzure(options AzureOptions) (*Azure, error) {
	if options.Host == "" {
		options.Host = "myregistry.azurecr.io"
	}
	const bits = 2048
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		return nil, fmt.Errorf("making Entra's key: %w", err)
	}
	a := &Azure{
		tenant: uuid.NewString(), issuer: key,
		applications: make(map[string]*azureApplication), refresh: make(map[string]string), calls: make(map[string]int),
	}
	a.Registry, err = start(Options{Kind: Generic, Host: options.Host}, func(r *Registry) (cloud, error) {
		a.Registry = r
		return a, nil
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

// entra is the host of the identity platform of the registry's cloud.
func (a *Azure) entra() string {
	switch {
	case strings.HasSuffix(a.options.Host, ".cn"):
		return "login.chinacloudapi.cn"
	case strings.HasSuffix(a.options.Host, ".us"):
		return "login.microsoftonline.us"
	default:
		return "login.microsoftonline.com"
	}
}

// graph is the host of Microsoft Graph in the registry's cloud.
func (a *Azure) graph() string {
	switch {
	case strings.HasSuffix(a.options.Host, ".cn"):
		return "microsoftgraph.chinacloudapi.cn"
	case strings.HasSuffix(a.options.Host, ".us"):
		return "graph.microsoft.us"
	default:
		return "graph.microsoft.com"
	}
}

func (a *Azure) hosts() []string { return []string{a.entra(), a.graph()} }

// Tenant is the directory's ID.
func (a *Azure) Tenant() string { return a.tenant }

// AddApplication adds an application with a client secret and roles.
func (a *Azure) AddApplication(roles ...AzureRole) (clientID, clientSecret string) {
	clientID, clientSecret = uuid.NewString(), "abc8Q~"+rand.Text()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.applications[clientID] = &azureApplication{secret: clientSecret, secretEnds: time.Now().AddDate(1, 0, 0), roles: roles}
	a.given = append(a.given, clientSecret)
	return clientID, clientSecret
}

// AddCertificate registers a certificate of an application that ends then, and
// returns it with its private key as PEM.
func (a *Azure) AddCertificate(clientID string, ends time.Time) (text string, err error) {
	const bits = 2048
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		return "", fmt.Errorf("making a certificate's key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: clientID}, NotBefore: time.Now().Add(-time.Hour), NotAfter: ends,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return "", fmt.Errorf("making a certificate: %w", err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return "", fmt.Errorf("reading a certificate: %w", err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", fmt.Errorf("writing a certificate's key: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.applications[clientID].certificate = certificate
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})) +
		string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), nil
}

// SetRoles replaces an application's roles.
func (a *Azure) SetRoles(clientID string, roles ...AzureRole) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.applications[clientID].roles = roles
}

// Trust adds a federated credential to an application: it trusts a subject of
// an issuer, for the audience that Entra has in the registry's cloud.
func (a *Azure) Trust(clientID string, issuer *Issuer, subject string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	application := a.applications[clientID]
	application.federations = append(application.federations, azureFederation{issuer, subject})
}

// EndSecret has an application's secret end then.
func (a *Azure) EndSecret(clientID string, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.applications[clientID].secretEnds = at
}

// LetReadItself gives an application Microsoft Graph's permission
// Application.Read.All.
func (a *Azure) LetReadItself(clientID string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.applications[clientID].readsItself = true
}

// Disable disables an application.
func (a *Azure) Disable(clientID string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.applications[clientID].disabled = true
}

// SetFirewall lets nobody reach the registry, or everybody.
func (a *Azure) SetFirewall(on bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.firewall = on
}

// Throttle refuses the next n requests to the registry's exchanges.
func (a *Azure) Throttle(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.throttle = n
}

// ExpireTokens ends every refresh token of the registry.
func (a *Azure) ExpireTokens() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.refresh)
}

// Calls is how many requests a service got: entra, graph, exchange
// or token.
func (a *Azure) Calls(what string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.calls[what]
}

// Given is every secret that there is: of applications, and what was given out.
func (a *Azure) Given() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	given := slices.Clone(a.given)
	for _, application := range a.applications {
		for _, federation := range application.federations {
			given = append(given, federation.issuer.Given()...)
		}
	}
	return given
}

func (a *Azure) count(what string) (throttled bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls[what]++
	if a.throttle == 0 || what == "entra" || what == "graph" {
		return false
	}
	a.throttle--
	return true
}

// sign makes a JWT; a.mu is not held.
func (a *Azure) sign(subject, audience string, life time.Duration) (string, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: a.issuer}, nil)
	if err != nil {
		return "", fmt.Errorf("signing: %w", err)
	}
	now := time.Now()
	token, err := jwt.Signed(signer).Claims(jwt.Claims{
		Issuer: "https://" + a.entra() + "/" + a.tenant + "/", Subject: subject, Audience: jwt.Audience{audience}, ID: rand.Text(),
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(life)),
	}).Serialize()
	if err != nil {
		return "", fmt.Errorf("signing: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.given = append(a.given, token)
	return token, nil
}

// subjectOf is whom a live JWT of ours is of, for an audience.
func (a *Azure) subjectOf(token, audience string) (string, bool) {
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return "", false
	}
	var claims jwt.Claims
	if parsed.Claims(a.issuer.Public(), &claims) != nil ||
		claims.Validate(jwt.Expected{AnyAudience: jwt.Audience{audience}, Time: time.Now()}) != nil {
		return "", false
	}
	return claims.Subject, true
}

// serve answers for Entra and for the registry.
func (a *Azure) serve(w http.ResponseWriter, request *http.Request) bool {
	switch request.Host {
	case a.entra():
		a.serveEntra(w, request)
		return true
	case a.graph():
		a.serveGraph(w, request)
		return true
	}
	if request.Host != a.options.Host {
		return false
	}
	a.mu.Lock()
	closed := a.firewall
	a.mu.Unlock()
	switch {
	case closed:
		refuse(w, http.StatusForbidden, "DENIED", "client with IP '203.0.113.7' is not allowed access. Refer https://aka.ms/acr/firewall to grant access.")
	case request.URL.Path == "/oauth2/exchange":
		a.serveExchange(w, request)
	case request.URL.Path == "/oauth2/token":
		a.serveACRToken(w, request)
	default:
		w = &rewriter{ResponseWriter: w, on: http.StatusUnauthorized, instead: func(w http.ResponseWriter) {
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="https://%[1]s/oauth2/token",service="%[1]s"`, a.options.Host))
			refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required, visit https://aka.ms/acr/authorization for more information.")
		}}
		a.note(request)
		a.app.ServeHTTP(w, request)
	}
	return true
}

func acrThrottled(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "7")
	refuse(w, http.StatusTooManyRequests, "TOOMANYREQUESTS", "too many requests")
}

// serveExchange trades Entra's token for a refresh token of the registry.
func (a *Azure) serveExchange(w http.ResponseWriter, request *http.Request) {
	if a.count("exchange") {
		acrThrottled(w)
		return
	}
	request.Body = http.MaxBytesReader(w, request.Body, 64<<10)
	_ = request.ParseForm() // what cannot be read is refused below
	form := request.PostForm
	id, ok := a.subjectOf(form.Get("access_token"), acrAudience)
	if !ok || form.Get("grant_type") != "access_token" || form.Get("service") != a.options.Host || form.Get("tenant") != a.tenant {
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
		return
	}
	token, err := a.sign(id, a.options.Host, 3*time.Hour)
	if err != nil {
		http.Error(w, "no token", http.StatusInternalServerError)
		return
	}
	a.mu.Lock()
	a.refresh[token] = id
	a.mu.Unlock()
	writeJSON(w, http.StatusOK, map[string]any{"refresh_token": token})
}

// serveACRToken trades a refresh token for the right to scopes.
func (a *Azure) serveACRToken(w http.ResponseWriter, request *http.Request) {
	if a.count("token") {
		acrThrottled(w)
		return
	}
	request.Body = http.MaxBytesReader(w, request.Body, 64<<10)
	_ = request.ParseForm() // what cannot be read is refused below
	form := request.PostForm
	a.mu.Lock()
	id, known := a.refresh[form.Get("refresh_token")]
	var roles []AzureRole
	if application := a.applications[id]; application != nil {
		roles = application.roles
	}
	a.mu.Unlock()
	a.ledger.exchange(Exchange{Method: request.Method, User: id, Scope: form.Get("scope")})
	if !known || form.Get("grant_type") != "refresh_token" || form.Get("service") != a.options.Host {
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
		return
	}
	var granted []oci.Access
	if scope := form.Get("scope"); scope == oci.CatalogueScope {
		if len(roles) > 0 {
			granted = append(granted, oci.Access{Type: "registry", Name: "catalog", Actions: []string{"*"}})
		}
	} else if repository, actions, ok := parseScope(scope); ok {
		allowed := slices.DeleteFunc(actions, func(action string) bool {
			return !slices.ContainsFunc(roles, func(r AzureRole) bool { return r.gives(action) })
		})
		if len(allowed) > 0 {
			granted = append(granted, access(repository, allowed...))
		}
	}
	const life = 75 * time.Minute
	token, err := a.signer.sign(id, time.Now(), life, granted)
	if err != nil {
		http.Error(w, "no token", http.StatusInternalServerError)
		return
	}
	a.mu.Lock()
	a.given = append(a.given, token)
	a.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]string{"access_token": token})
}

func (r AzureRole) gives(action string) bool {
	switch action {
	case "pull":
		return r == AcrPull || r == AcrPush
	case "push":
		return r == AcrPush
	default:
		return r == AcrDelete
	}
}
