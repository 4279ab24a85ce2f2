package diagnosis

import (
	"net/http"
	"regexp"

	"fairlead.dev/fairlead/internal/fault"
)

// googleRows are Artifact Registry's, its token service's and Google's APIs'.
// https://cloud.google.com/artifact-registry/docs/troubleshooting
// https://developers.google.com/identity/protocols/oauth2/service-account#error-codes
var googleRows = []Row{
	{
		Services: []Service{Google}, Codes: []string{"invalid_grant"}, Says: regexp.MustCompile(`(?i)short-lived|reasonable timeframe|iat|\bexp\b`),
		Kind: fault.Unauthenticated, Code: "clock_skew",
		Sentence: "Google refused the request of {user} for its time: the clock of this machine is wrong",
		Hint:     hintClock,
	},
	{
		Services: []Service{Google}, Codes: []string{"invalid_grant"}, Says: regexp.MustCompile(`(?i)account not found|not a valid email|account has been (deleted|disabled)`),
		Kind: fault.Unauthenticated, Code: "google_account_unknown",
		Sentence: "Google has no service account {user}: it was deleted or disabled",
		Hint:     "Enable it, or make another with the role Artifact Registry Reader and give its key with `fairlead registry rotate NAME`.",
	},
	{
		Services: []Service{Google}, Codes: []string{"invalid_grant", "invalid_client", "unauthorized_client"},
		Kind: fault.Unauthenticated, Code: "secret_refused",
		Sentence: "Google does not accept the key of {user}: it was deleted or disabled",
		Hint:     "Make another key of the service account (`gcloud iam service-accounts keys create`), and give it with `fairlead registry rotate NAME`.",
	},
	{
		Services: []Service{Google}, Codes: []string{"invalid_target", "invalid_request"},
		Kind: fault.Unauthenticated, Code: "federation_refused",
		Sentence: "Google does not accept this server's identity for {user}",
		Hint:     "Compare the workload identity provider in the credential with the one in Google Cloud: its name, its issuer and its audience.",
	},
	{
		Services: []Service{Google}, Codes: []string{"SERVICE_DISABLED"},
		Kind: fault.Denied, Code: "google_api_disabled",
		Sentence: "an API that it takes is not turned on in the Google Cloud project of {user}",
		Hint:     "Turn on what Google names, such as `gcloud services enable artifactregistry.googleapis.com iamcredentials.googleapis.com`.",
	},
	{
		Services: []Service{Google}, Codes: []string{"PERMISSION_DENIED", "IAM_PERMISSION_DENIED"},
		Kind: fault.Denied, Code: "google_denied",
		Sentence: "Google accepts {user} and does not allow what it takes",
		Hint:     "Grant the permission that Google names; docs/registries/gcp.md has the roles.",
	},
	{
		Services: []Service{Google, ArtifactRegistryToken, ArtifactRegistry}, Codes: []string{"RESOURCE_EXHAUSTED", "rateLimitExceeded"},
		Kind: fault.Exhausted, Code: "cloud_throttled",
		Sentence: "Google takes no more requests of this project for the moment",
		Hint:     "It passes by itself; grants that hold are used meanwhile. The quota is in the Google Cloud console.",
	},
	{
		Services: []Service{ArtifactRegistry, ArtifactRegistryToken}, Statuses: []int{http.StatusForbidden, http.StatusUnauthorized},
		Says: regexp.MustCompile(`Permission "?(?P<permission>[\w.]+)"? denied on resource "?(?P<resource>[^"\s]+)`),
		Kind: fault.Denied, Code: "access_denied",
		Sentence: "{host} knows who asks for {image}, who lacks the permission {permission}, or the repository does not exist",
		Hint:     "Grant the service account the role Artifact Registry Reader on {resource}, and check the spelling of the name.",
	},
	{
		Services: []Service{ArtifactRegistry, ArtifactRegistryToken}, Codes: []string{"NAME_UNKNOWN"},
		Kind: fault.NotFound, Code: "repository_not_found",
		Sentence: "{host} has no repository for {image}",
		Hint:     "Check the project, the repository and the location in the image's name.",
	},
	{
		Services: []Service{ArtifactRegistry, ArtifactRegistryToken}, Statuses: []int{http.StatusNotFound}, Says: regexp.MustCompile(`(?i)repository .* not found`),
		Kind: fault.NotFound, Code: "repository_not_found",
		Sentence: "{host} has no repository for {image}",
		Hint:     "Check the project, the repository and the location in the image's name.",
	},
}
