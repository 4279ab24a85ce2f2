package grant

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"golang.org/x/sync/singleflight"

	"fairlead.dev/fairlead/internal/diagnosis"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/secret"
)

// azure is Azure Container Registry with a service principal: Entra's token for
// it, traded at the registry for a refresh token, and that for the right to one
// repository.
// https://github.com/Azure/acr/blob/main/docs/AAD-OAuth.md
type azure struct {
	exchange exchange
	sessions *azureSessions
	identity func(ctx context.Context, audience string) (secret.Text, error) // see Config
}

const (
	nameAzure              = "azure"
	fieldTenantID          = "tenant_id"
	fieldClientID          = "client_id"
	fieldClientSecret      = "client_secret"
	fieldClientCertificate = "client_certificate"
	fieldFederated         = "federated"
	fieldAuthorityHost     = "authority_host"
)

func (azure) Description() Description {
	return Description{
		Name:  nameAzure,
		Title: "Azure Container Registry",
		Help:  "A service principal with the role AcrPull; the public, China and US Government clouds.",
		Fields: []Field{
			{
				Name: fieldTenantID, Title: "Tenant ID", Required: true,
				Help: "The directory that the application is in.", Example: "72f988bf-86f1-41af-91ab-2d7cd011db47",
			},
			{
				Name: fieldClientID, Title: "Client ID", Required: true,
				Help: "The application's ID, not its object's.", Example: "04b07795-8ddb-461a-bbee-02f9e1bf7b46",
			},
			{
				Name: fieldClientSecret, Title: "Client secret", Secret: true,
				Help: "The secret's value, not its ID. Leave it empty with a certificate, and where the application trusts this server.",
			},
			{
				Name: fieldClientCertificate, Title: "Client certificate", Secret: true, Lines: true,
				Help: "Private key and certificate as PEM, instead of a secret.",
			},
			{
				Name: fieldFederated, Title: "Federated credential", Default: "false", Choices: []string{"false", "true"},
				Help: "Keyless: the application trusts this server's own identity, instead of a secret or a certificate.",
			},
			{
				Name: fieldAuthorityHost, Title: "Authority host", Advanced: true,
				Help: "Entra's address, where it is not the cloud's own.", Example: "https://login.microsoftonline.com",
			},
		},
		Patterns: []string{"myregistry.azurecr.io/*"},
	}
}

var (
	guid         = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
	tenantDomain = regexp.MustCompile(`^[a-zA-Z0-9-]{1,63}(\.[a-zA-Z0-9-]{1,63})+$`)
	acrHost      = regexp.MustCompile(`^[a-z0-9-]{5,63}\.azurecr\.(io|cn|us)$`)
)

func (a azure) Normalise(in Material) (Material, []string, error) {
	if choice, given := in.Config[fieldFederated]; given {
		in = in.with(fieldFederated, strings.ToLower(choice))
	}
	out, err := normalise(a.Description(), in)
	if err != nil {
		return Material{}, nil, err
	}
	var errs []error
	if tenant := out.Config[fieldTenantID]; !guid.MatchString(tenant) && !tenantDomain.MatchString(tenant) {
		errs = append(errs, fault.InvalidField(fieldTenantID, "tenant_id", "%q is no tenant's ID", tenant).WithHint("Copy it from the application's page in the portal."))
	}
	if client := out.Config[fieldClientID]; !guid.MatchString(client) {
		errs = append(errs, fault.InvalidField(fieldClientID, "client_id", "%q is no application's ID", client).WithHint("Copy the Application (client) ID from the application's page in the portal."))
	}
	hasSecret, hasCertificate := !out.Secrets[fieldClientSecret].IsEmpty(), !out.Secrets[fieldClientCertificate].IsEmpty()
	var warnings []string
	switch keyless := isFederated(out); {
	case keyless && (hasSecret || hasCertificate):
		errs = append(errs, fault.InvalidField(fieldFederated, "secret_twice", "is true, and there is a secret or a certificate too").
			WithHint("Give the one or the other; an empty value takes a secret away."))
	case keyless && out.Config[fieldAuthorityHost] != "":
		errs = append(errs, fault.InvalidField(fieldAuthorityHost, "authority_federated", "is of use with a secret or a certificate alone: this server's identity is sent to Entra only").
			WithHint("Leave it empty."))
	case keyless:
		if a.identity == nil {
			warnings = append(warnings, warnNoIdentity)
		}
	case hasSecret && hasCertificate:
		errs = append(errs, fault.InvalidField(fieldClientSecret, "secret_twice", "is given, and a certificate too").WithHint("Give the one or the other; an empty value takes one away."))
	case !hasSecret && !hasCertificate:
		errs = append(errs, fault.InvalidField(fieldClientSecret, "field_required", "must not be empty, unless there is a certificate").
			WithHint("Without either, the application may trust this server's identity: --field %s=true.", fieldFederated))
	case hasSecret && guid.MatchString(out.Secrets[fieldClientSecret].Reveal()):
		warnings = append(warnings, "The client secret looks like a secret's ID: what is wanted is its value, which the portal shows once.")
	case hasCertificate:
		if _, _, err := azidentity.ParseCertificates([]byte(out.Secrets[fieldClientCertificate].Reveal()), nil); err != nil {
			errs = append(errs, fault.InvalidField(fieldClientCertificate, "certificate_pem", "holds no private key with its certificate").
				WithHint("Give both as PEM in one file, the key without a password: --field-file %s=FILE.", fieldClientCertificate))
		}
	}
	errs = append(errs, checkEndpoint(out.Config[fieldAuthorityHost], fieldAuthorityHost))
	return out, warnings, fault.Join(errs...)
}

func isFederated(m Material) bool { return m.Config[fieldFederated] == "true" }

func (a azure) Issue(ctx context.Context, request Request) (Grant, error) {
	host := request.Image.Host()
	if !acrHost.MatchString(host) {
		return Grant{}, fault.InvalidField("image", "image_not_azure", "%s is not on Azure Container Registry, and a credential of kind %s is for nothing else", request.Image, nameAzure).
			WithHint("Its hosts are NAME.azurecr.io, .azurecr.cn and .azurecr.us. Use a credential of another kind for this image.")
	}
	begin := a.exchange.now()
	token, err := a.token(ctx, request.Material, host, request.Image, oci.PullScope(request.Image.Repository()))
	if err != nil {
		return Grant{}, err
	}
	return tokenGrant(request.Image, token, begin, diagnosis.NoPullRight(request.Image, request.Material.Config[fieldClientID]))
}

// token trades the registry's refresh token for the right to a scope. One that
// the registry no longer takes is made anew once.
func (a azure) token(ctx context.Context, m Material, host string, ref image.Reference, scope string) (oci.Token, error) {
	transport, err := a.exchange.ways.of(m)
	if err != nil {
		return oci.Token{}, err
	}
	route := transport.For(host)
	for again := false; ; again = true {
		refresh, err := a.refreshToken(ctx, m, transport, host, ref, again)
		if err != nil {
			return oci.Token{}, err
		}
		var answer struct {
			AccessToken string `json:"access_token"`
		}
		err = acrPost(ctx, route, "/oauth2/token", url.Values{
			"grant_type": {"refresh_token"}, "service": {host}, "scope": {scope}, "refresh_token": {refresh.Reveal()},
		}, &answer, refresh)
		if told, ok := errors.AsType[*oci.Error](err); ok && told.Status == http.StatusUnauthorized && !again {
			continue
		}
		if err != nil {
			return oci.Token{}, acrFault(err, m, ref)
		}
		return oci.ReadToken(secret.New(answer.AccessToken), a.exchange.now())
	}
}

func acrFault(err error, m Material, ref image.Reference) error {
	return diagnosis.Of(err, diagnosis.Subject{Service: diagnosis.ACRToken, Image: ref, User: m.Config[fieldClientID]})
}

// acrPost sends a form to the registry and reads the answer's JSON.
func acrPost(ctx context.Context, route *oci.Route, path string, form url.Values, out any, hide ...secret.Text) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, route.URL(path).String(), strings.NewReader(form.Encode()))
	if err != nil {
		return fmt.Errorf("making a request: %w", err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := (&http.Client{Transport: route, CheckRedirect: noRedirects}).Do(request)
	if err != nil {
		return oci.RedactError(err)
	}
	defer func() { _ = response.Body.Close() }() // only read
	if response.StatusCode != http.StatusOK {
		return oci.ReadError(response, "", hide...)
	}
	const most = 256 << 10
	text, err := io.ReadAll(io.LimitReader(response.Body, most))
	if err != nil || json.Unmarshal(text, out) != nil { // whose error would show the text
		return fault.New(fault.Unavailable, "token_missing", "%s gave an answer that cannot be read", route.Host()).WithHint("Try again; the credential was accepted.")
	}
	return nil
}

// azureSessions keep what may be used again: an SDK's credential for each
// material, which caches Entra's tokens, and a registry's refresh tokens.
type azureSessions struct {
	flights singleflight.Group

	mu          sync.Mutex
	credentials map[entraKey]azcore.TokenCredential
	refresh     map[acrKey]acrRefresh
}

// materialID tells materials apart, so that a changed secret is never masked by
// what an older one got.
type materialID [sha256.Size]byte

type entraKey struct {
	material  materialID
	authority string
}

type acrKey struct {
	material materialID
	host     string
}

type acrRefresh struct {
	token secret.Text
	ends  time.Time
}

const (
	sessionsMost = 1000
	refreshAhead = 5 * time.Minute
)

func idOf(m Material) materialID {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(m.Config)) {
		_, _ = fmt.Fprintf(h, "%q=%q\n", name, m.Config[name])
	}
	for _, name := range slices.Sorted(maps.Keys(m.Secrets)) {
		_, _ = fmt.Fprintf(h, "%q=%q\n", name, m.Secrets[name].Reveal())
	}
	return materialID(h.Sum(nil))
}

// refreshToken is the registry's refresh token for the application, which holds
// for some hours; anew drops the one that is known.
func (a azure) refreshToken(ctx context.Context, m Material, transport *oci.Transport, host string, ref image.Reference, anew bool) (secret.Text, error) {
	key := acrKey{idOf(m), host}
	a.sessions.mu.Lock()
	known := a.sessions.refresh[key]
	a.sessions.mu.Unlock()
	if !anew && a.exchange.now().Add(refreshAhead).Before(known.ends) {
		return known.token, nil
	}
	result, err, _ := a.sessions.flights.Do(string(key.material[:])+host, func() (any, error) {
		return a.tradeRefresh(context.WithoutCancel(ctx), m, key, transport, host, ref)
	})
	if err != nil {
		return secret.Text{}, err
	}
	return result.(acrRefresh).token, nil //nolint:forcetypeassert // the flight returns nothing else
}

func (a azure) tradeRefresh(ctx context.Context, m Material, key acrKey, transport *oci.Transport, host string, ref image.Reference) (acrRefresh, error) {
	ctx, cancel := context.WithTimeout(ctx, roleExchangeMost)
	defer cancel()
	access, err := a.entra(ctx, m, transport, host, acrResource, ref)
	if err != nil {
		return acrRefresh{}, err
	}
	var answer struct {
		RefreshToken string `json:"refresh_token"`
	}
	err = acrPost(ctx, transport.For(host), "/oauth2/exchange", url.Values{
		"grant_type": {"access_token"}, "service": {host}, "tenant": {m.Config[fieldTenantID]}, "access_token": {access.Reveal()},
	}, &answer, access)
	if err != nil {
		return acrRefresh{}, acrFault(err, m, ref)
	}
	token := secret.New(answer.RefreshToken)
	fresh := acrRefresh{token: token}
	if ends, ok := oci.EndOf(token); ok {
		fresh.ends = ends
	}
	a.sessions.mu.Lock()
	defer a.sessions.mu.Unlock()
	if a.sessions.refresh == nil || len(a.sessions.refresh) >= sessionsMost {
		a.sessions.refresh = make(map[acrKey]acrRefresh)
	}
	a.sessions.refresh[key] = fresh
	return fresh, nil
}
