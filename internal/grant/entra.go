package grant

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azcloud "github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	azruntime "github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"fairlead.dev/fairlead/internal/diagnosis"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/secret"
)

// azureCloud is a cloud of Azure, which a registry's host tells.
type azureCloud struct {
	azcloud.Configuration

	// graph is the host of Microsoft Graph.
	// https://learn.microsoft.com/graph/deployments
	graph string

	// audience is what an identity is for that Entra is shown in place of a secret.
	// https://learn.microsoft.com/entra/workload-id/workload-identity-federation-considerations
	audience string
}

func cloudOf(host string) azureCloud {
	switch {
	case strings.HasSuffix(host, ".cn"):
		return azureCloud{azcloud.AzureChina, "microsoftgraph.chinacloudapi.cn", "api://AzureADTokenExchangeChina"}
	case strings.HasSuffix(host, ".us"):
		return azureCloud{azcloud.AzureGovernment, "graph.microsoft.us", "api://AzureADTokenExchangeUSGov"}
	default:
		return azureCloud{azcloud.AzurePublic, "graph.microsoft.com", "api://AzureADTokenExchange"}
	}
}

// acrResource is what Entra is asked a token for to reach a registry.
const acrResource = "https://containerregistry.azure.net/.default"

// entra gets the application's token for a resource. The error is a fault.
func (a azure) entra(ctx context.Context, m Material, transport *oci.Transport, host, resource string, ref image.Reference) (secret.Text, error) {
	hide := []secret.Text{m.Secrets[fieldClientSecret]}
	if isFederated(m) {
		// The SDK asks for it again where it needs it, and would keep of an error
		// nothing but its text.
		identity, err := a.assertion(ctx, host)
		if err != nil {
			return secret.Text{}, err
		}
		hide = append(hide, identity)
	}
	credential, err := a.credential(m, transport, host)
	if err == nil {
		var token azcore.AccessToken
		if token, err = credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{resource}}); err == nil {
			return secret.New(token.Token), nil
		}
	}
	if failed, ok := errors.AsType[*azidentity.AuthenticationFailedError](err); ok && failed.RawResponse != nil {
		err = entraAnswer(failed.RawResponse, hide...)
	}
	return secret.Text{}, diagnosis.Of(err, diagnosis.Subject{Service: diagnosis.Entra, Image: ref, User: m.Config[fieldClientID]})
}

// assertion is this server's identity for Entra.
func (a azure) assertion(ctx context.Context, host string) (secret.Text, error) {
	if a.identity == nil {
		return secret.Text{}, noIdentity("give the application a client secret")
	}
	return a.identity(ctx, cloudOf(host).audience)
}

// Bounds of the SDK's own retries, within the time of one exchange.
const (
	azureRetries    = 2
	azureRetryDelay = time.Second
)

// credential is the SDK's for the material, which keeps Entra's tokens.
func (a azure) credential(m Material, transport *oci.Transport, host string) (azcore.TokenCredential, error) {
	cloud := cloudOf(host)
	if own := m.Config[fieldAuthorityHost]; own != "" {
		cloud.ActiveDirectoryAuthorityHost = own
	}
	key := entraKey{idOf(m), cloud.ActiveDirectoryAuthorityHost}
	a.sessions.mu.Lock()
	defer a.sessions.mu.Unlock()
	if known := a.sessions.credentials[key]; known != nil {
		return known, nil
	}
	entra, err := url.Parse(cloud.ActiveDirectoryAuthorityHost)
	if err != nil {
		return nil, fault.InvalidField(fieldAuthorityHost, "endpoint_address", "is no address")
	}
	if isFederated(m) {
		transport = a.exchange.ways.base // see Config.IdentityToken
	}
	made, err := a.sdkCredential(m, host, azcore.ClientOptions{
		Cloud: cloud.Configuration, Transport: &http.Client{Transport: transport.Services(entra.Host), CheckRedirect: noRedirects},
		Retry:     policy.RetryOptions{MaxRetries: azureRetries, RetryDelay: azureRetryDelay, MaxRetryDelay: 2 * azureRetryDelay},
		Telemetry: policy.TelemetryOptions{Disabled: true},
	})
	if err != nil {
		return nil, err
	}
	if a.sessions.credentials == nil || len(a.sessions.credentials) >= sessionsMost {
		a.sessions.credentials = make(map[entraKey]azcore.TokenCredential)
	}
	a.sessions.credentials[key] = made
	return made, nil
}

func (a azure) sdkCredential(m Material, host string, options azcore.ClientOptions) (azcore.TokenCredential, error) {
	tenant, client := m.Config[fieldTenantID], m.Config[fieldClientID]
	if isFederated(m) {
		show := func(ctx context.Context) (string, error) {
			identity, err := a.assertion(ctx, host)
			return identity.Reveal(), err
		}
		return azidentity.NewClientAssertionCredential(tenant, client, show,
			&azidentity.ClientAssertionCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: true})
	}
	certificate := m.Secrets[fieldClientCertificate]
	if certificate.IsEmpty() {
		return azidentity.NewClientSecretCredential(tenant, client, m.Secrets[fieldClientSecret].Reveal(),
			&azidentity.ClientSecretCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: true})
	}
	chain, private, err := azidentity.ParseCertificates([]byte(certificate.Reveal()), nil)
	if err != nil {
		return nil, fault.InvalidField(fieldClientCertificate, "certificate_pem", "holds no private key with its certificate")
	}
	return azidentity.NewClientCertificateCredential(tenant, client, chain, private,
		&azidentity.ClientCertificateCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: true})
}

// aadsts finds Entra's number of an error in its words.
var aadsts = regexp.MustCompile(`AADSTS\d{5,9}`)

// entraAnswer reads what Entra said.
// https://learn.microsoft.com/entra/identity-platform/reference-error-codes
func entraAnswer(response *http.Response, hide ...secret.Text) *oci.Error {
	told := &oci.Error{Method: http.MethodPost, Host: "Entra", Status: response.StatusCode}
	if response.Request != nil {
		told.Host = response.Request.URL.Host
	}
	body, err := azruntime.Payload(response)
	if err != nil {
		return told
	}
	var said struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	if json.Unmarshal(body, &said) != nil {
		return told
	}
	if number := aadsts.FindString(said.Description); number != "" {
		told.Codes = append(told.Codes, number)
	}
	if said.Error != "" {
		told.Codes = append(told.Codes, oci.Clean(said.Error))
	}
	message, _, _ := strings.Cut(said.Description, "Trace ID")
	told.Message = oci.Clean(message, hide...)
	return told
}
