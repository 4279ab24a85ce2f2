package granttest

import (
	"errors"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const acrAudience = "https://containerregistry.azure.net"

func (a *Azure) graphAudience() string { return "https://" + a.graph() }

var entraPath = regexp.MustCompile(`^/([^/]+)/(v2\.0/\.well-known/openid-configuration|oauth2/v2\.0/token)$`)

// serveEntra is the identity platform.
// https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
func (a *Azure) serveEntra(w http.ResponseWriter, request *http.Request) {
	path := entraPath.FindStringSubmatch(request.URL.Path)
	if path == nil {
		http.NotFound(w, request)
		return
	}
	base := "https://" + a.entra() + "/" + path[1]
	if path[1] != a.tenant {
		entraError(w, http.StatusBadRequest, "invalid_request", "AADSTS90002: Tenant '"+path[1]+"' not found. Check to make sure you have the correct tenant ID.")
		return
	}
	if strings.HasSuffix(request.URL.Path, "openid-configuration") {
		writeJSON(w, http.StatusOK, map[string]any{
			"issuer": base + "/v2.0", "authorization_endpoint": base + "/oauth2/v2.0/authorize", "token_endpoint": base + "/oauth2/v2.0/token",
			"jwks_uri": base + "/discovery/v2.0/keys",
		})
		return
	}
	_ = a.count("entra")
	request.Body = http.MaxBytesReader(w, request.Body, 64<<10)
	if err := request.ParseForm(); err != nil || request.PostForm.Get("grant_type") != "client_credentials" {
		entraError(w, http.StatusBadRequest, "unsupported_grant_type", "AADSTS70003: The app requested an unsupported grant type.")
		return
	}
	form := request.PostForm
	audience := acrAudience
	if strings.Contains(form.Get("scope"), a.graphAudience()+"/.default") {
		audience = a.graphAudience()
	} else if !strings.Contains(form.Get("scope"), acrAudience+"/.default") {
		entraError(w, http.StatusBadRequest, "invalid_resource", "AADSTS500011: The resource principal was not found in the tenant.")
		return
	}
	id := form.Get("client_id")
	if code, words := a.login(id, form.Get("client_secret"), form.Get("client_assertion"), base); code != "" {
		entraError(w, http.StatusUnauthorized, code, words)
		return
	}
	token, err := a.sign(id, audience, time.Hour)
	if err != nil {
		http.Error(w, "no token", http.StatusInternalServerError)
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": token})
}

// login checks an application's secret or assertion; code is empty where it is
// good.
func (a *Azure) login(id, secretText, assertion, base string) (code, words string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	application := a.applications[id]
	switch {
	case application == nil:
		return "unauthorized_client", "AADSTS700016: Application with identifier '" + id + "' was not found in the directory."
	case application.disabled:
		return "unauthorized_client", "AADSTS7000112: Application '" + id + "' is disabled."
	case assertion != "" && len(application.federations) > 0:
		return a.federated(application, assertion)
	case assertion != "":
		parsed, err := jwt.ParseSigned(assertion, []jose.SignatureAlgorithm{jose.RS256, jose.PS256})
		var claims jwt.Claims
		if err != nil || application.certificate == nil || parsed.Claims(application.certificate.PublicKey, &claims) != nil {
			return "invalid_client", "AADSTS700027: The certificate with identifier used to sign the client assertion is not registered on application."
		}
		expected := jwt.Expected{Issuer: id, Subject: id, AnyAudience: jwt.Audience{base + "/oauth2/v2.0/token"}, Time: time.Now()}
		if claims.Validate(expected) != nil {
			return "invalid_client", "AADSTS700024: Client assertion is not within its valid time range, or is for another audience."
		}
		if time.Now().After(application.certificate.NotAfter) {
			return "invalid_client", "AADSTS700027: The certificate has expired."
		}
		return "", ""
	case application.secret != secretText || secretText == "":
		return "invalid_client", "AADSTS7000215: Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '" + id + "'."
	case time.Now().After(application.secretEnds):
		return "invalid_client", "AADSTS7000222: The provided client secret keys for app '" + id + "' are expired."
	default:
		return "", ""
	}
}

func entraError(w http.ResponseWriter, status int, code, description string) {
	writeJSON(w, status, map[string]any{
		"error": code, "error_description": description + " Trace ID: 0 Correlation ID: 0 Timestamp: 2026-01-01 00:00:00Z",
		"error_codes": []any{}, "trace_id": "0", "correlation_id": "0",
	})
}

// federated checks the identity that an application is shown for.
// https://learn.microsoft.com/entra/workload-id/workload-identity-federation
func (a *Azure) federated(application *azureApplication, assertion string) (code, words string) {
	code, words = "invalid_client", "AADSTS700211: No matching federated identity record found for presented assertion issuer."
	for _, federation := range application.federations {
		claims, err := federation.issuer.read(assertion)
		switch now := time.Now(); {
		case errors.Is(err, errNoToken):
			return code, "AADSTS50027: JWT token is invalid or malformed."
		case errors.Is(err, errSignature):
			return code, "AADSTS700027: Client assertion contains an invalid signature. [Reason - The key was not found.]"
		case err != nil:
			continue
		case claims.Subject != federation.subject:
			words = "AADSTS700213: No matching federated identity record found for presented assertion subject '" + claims.Subject + "'."
		case !claims.Audience.Contains(a.assertionAudience()):
			words = "AADSTS700212: No matching federated identity record found for presented assertion audience '" + strings.Join(claims.Audience, " ") + "'."
		case claims.ValidateWithLeeway(jwt.Expected{Time: now}, entraLeeway) != nil:
			words = "AADSTS700024: Client assertion is not within its valid time range."
		default:
			return "", ""
		}
	}
	return code, words
}

// entraLeeway is how far clocks may differ.
const entraLeeway = 5 * time.Minute

// assertionAudience is what an identity must be for.
func (a *Azure) assertionAudience() string {
	switch {
	case strings.HasSuffix(a.options.Host, ".cn"):
		return "api://AzureADTokenExchangeChina"
	case strings.HasSuffix(a.options.Host, ".us"):
		return "api://AzureADTokenExchangeUSGov"
	default:
		return "api://AzureADTokenExchange"
	}
}

var graphPath = regexp.MustCompile(`^/v1\.0/applications\(appId='([^']+)'\)$`)

// serveGraph is the part of Microsoft Graph that tells of an application's
// secrets. https://learn.microsoft.com/graph/api/application-get
func (a *Azure) serveGraph(w http.ResponseWriter, request *http.Request) {
	_ = a.count("graph")
	token, _ := strings.CutPrefix(request.Header.Get("Authorization"), "Bearer ")
	id, live := a.subjectOf(token, a.graphAudience())
	if !live {
		graphError(w, http.StatusUnauthorized, "InvalidAuthenticationToken", "Access token is empty, has expired, or is for another audience.")
		return
	}
	path := graphPath.FindStringSubmatch(request.URL.Path)
	a.mu.Lock()
	caller := a.applications[id]
	var asked *azureApplication
	if path != nil {
		asked = a.applications[path[1]]
	}
	allowed := caller != nil && caller.readsItself
	var passwords []map[string]any
	if asked != nil {
		const hint = 3 // characters of it that the directory keeps
		passwords = append(passwords, map[string]any{
			"hint": asked.secret[:hint], "displayName": "fairlead", "secretText": nil,
			"startDateTime": asked.secretEnds.AddDate(-1, 0, 0).UTC().Format(time.RFC3339), "endDateTime": asked.secretEnds.UTC().Format(time.RFC3339),
		})
	}
	a.mu.Unlock()
	switch {
	case !allowed:
		graphError(w, http.StatusForbidden, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
	case asked == nil:
		graphError(w, http.StatusNotFound, "Request_ResourceNotFound", "Resource does not exist or one of its queried reference-property objects are not present.")
	default:
		writeJSON(w, http.StatusOK, map[string]any{"passwordCredentials": passwords})
	}
}

func graphError(w http.ResponseWriter, status int, code, message string) {
	writeJSON(w, status, map[string]any{"error": map[string]any{"code": code, "message": message}})
}
