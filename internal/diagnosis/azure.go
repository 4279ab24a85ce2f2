package diagnosis

import (
	"net/http"
	"regexp"

	"fairlead.dev/fairlead/internal/fault"
)

// azureRows are Entra's and Azure Container Registry's.
// https://learn.microsoft.com/entra/identity-platform/reference-error-codes
// https://learn.microsoft.com/azure/container-registry/container-registry-troubleshoot-login
var azureRows = []Row{
	{
		Services: []Service{Entra}, Codes: []string{"AADSTS7000222"},
		Kind: fault.Unauthenticated, Code: "secret_expired",
		Sentence: "Entra says that the client secret of the application {user} has expired",
		Hint:     "Make another (`az ad app credential reset --id CLIENT-ID --append`), and give it with `fairlead registry rotate NAME`.",
	},
	{
		Services: []Service{Entra}, Codes: []string{"AADSTS7000215"},
		Kind: fault.Unauthenticated, Code: "secret_refused",
		Sentence: "Entra knows the application {user} and does not accept the client secret",
		Hint:     "Give the secret's value, which the portal shows once, and not its ID, with `fairlead registry rotate NAME`.",
	},
	{
		Services: []Service{Entra}, Codes: []string{"AADSTS700016"},
		Kind: fault.Unauthenticated, Code: "entra_application_unknown",
		Sentence: "Entra has no application {user} in this tenant",
		Hint:     "Compare the credential's client and tenant IDs with the application's page in the portal.",
	},
	{
		Services: []Service{Entra}, Codes: []string{"AADSTS90002", "AADSTS900023"},
		Kind: fault.Unauthenticated, Code: "entra_tenant_unknown",
		Sentence: "Entra knows no such tenant",
		Hint:     "Compare the credential's tenant ID with the directory's in the portal, and the cloud: public, China or US Government.",
	},
	{
		Services: []Service{Entra}, Codes: []string{"AADSTS7000112"},
		Kind: fault.Unauthenticated, Code: "entra_application_disabled",
		Sentence: "Entra says that the application {user} is disabled",
		Hint:     "Let an administrator of the tenant enable it.",
	},
	{
		Services: []Service{Entra}, Codes: []string{"AADSTS500011"},
		Kind: fault.Denied, Code: "entra_resource_unknown",
		Sentence: "Entra does not know Azure Container Registry in this tenant",
		Hint:     "Register the resource provider Microsoft.ContainerRegistry in a subscription of the tenant.",
	},
	{
		Services: []Service{Entra}, Codes: []string{"AADSTS70021", "AADSTS700211", "AADSTS700212", "AADSTS700213", "AADSTS700238"},
		Kind: fault.Unauthenticated, Code: "federation_refused",
		Sentence: "the application {user} has no federated credential that fits this server's identity",
		Hint:     "Compare issuer, subject and audience of the federated credential with what Entra names; they must be equal to the letter.",
	},
	{
		Services: []Service{Entra}, Codes: []string{"AADSTS50027"},
		Kind: fault.Unauthenticated, Code: "federation_refused",
		Sentence: "Entra cannot read this server's identity token",
		Hint:     "Its operator gives the token of an OpenID Connect provider (--identity-token-file), whole and signed.",
	},
	{
		Services: []Service{Entra}, Codes: []string{"AADSTS700027"}, Says: regexp.MustCompile(`(?i)assertion contains an invalid signature`),
		Kind: fault.Unauthenticated, Code: "federation_refused",
		Sentence: "Entra finds no key of the issuer that this server's identity is signed with",
		Hint:     "Entra must reach the issuer's /.well-known/openid-configuration over the internet, and the keys that it names.",
	},
	{
		Services: []Service{Entra}, Codes: []string{"AADSTS700024"},
		Kind: fault.Unauthenticated, Code: "clock_skew",
		Sentence: "Entra refused the request of {user} for its time: the clock of this machine is wrong, or the identity token is old",
		Hint:     hintClock,
	},
	{
		Services: []Service{Entra}, Codes: []string{"AADSTS700027", "AADSTS7000214"},
		Kind: fault.Unauthenticated, Code: "secret_refused",
		Sentence: "Entra does not accept the certificate of the application {user}: it is not registered, or has expired",
		Hint:     "Upload the certificate to the application, or give the one that is there with `fairlead registry rotate NAME`.",
	},
	{
		Services: []Service{Entra}, Codes: []string{"invalid_client", "invalid_grant", "unauthorized_client"},
		Kind: fault.Unauthenticated, Code: "secret_refused",
		Sentence: "Entra does not accept the application {user} with this secret",
		Hint:     hintNewSecret,
	},
	{
		Services: []Service{ACR, ACRToken}, Statuses: []int{http.StatusForbidden}, Says: regexp.MustCompile(`(?i)client with IP '?"?(?P<ip>[0-9a-f.:]+)'?"? is not allowed`),
		Kind: fault.Denied, Code: "registry_firewall",
		Sentence: "the firewall of {host} lets nobody in from the address {ip}, so {image} was not given",
		Hint:     "Add the address to the registry's network rules, or reach it over its private endpoint (the credential's field addresses).",
	},
	{
		Services: []Service{ACRToken}, Statuses: []int{http.StatusUnauthorized, http.StatusBadRequest},
		Kind: fault.Denied, Code: "acr_exchange_refused",
		Sentence: "{host} does not take the Entra token of the application {user}",
		Hint:     "Check that the registry belongs to this tenant, and that the application has a role on it (AcrPull).",
	},
	{
		Services: []Service{ACR}, Statuses: []int{http.StatusUnauthorized},
		Kind: fault.Denied, Code: "no_pull_right",
		Sentence: "{host} does not let this credential pull {image}: it lacks the right, or the image does not exist",
		Hint:     "Give the application the role AcrPull on the registry (or Container Registry Repository Reader, where the registry uses ABAC), and check the spelling of the name.",
	},
}
