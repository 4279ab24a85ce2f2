package diagnosis

import (
	"net/http"
	"regexp"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/oci"
)

// insufficientScope is how a registry says that it knows the token, which grants
// too little. https://www.rfc-editor.org/rfc/rfc6750#section-3.1
const insufficientScope = "insufficient_scope"

// hubRows are Docker Hub's.
var hubRows = []Row{
	{
		Services: []Service{DockerHubToken}, Statuses: []int{http.StatusUnauthorized}, Says: regexp.MustCompile(`(?i)two.?factor|2fa`),
		Kind: fault.Unauthenticated, Code: "two_factor",
		Sentence: "Docker Hub takes no password of {user}, who has two-factor login turned on",
		Hint:     "Make a personal access token that may only read, and give it with `fairlead registry rotate NAME`.",
	},
	{
		Services: []Service{DockerHub, DockerHubToken}, Statuses: []int{http.StatusTooManyRequests},
		Kind: fault.Exhausted, Code: "rate_limited",
		Sentence: "Docker Hub allows no more pulls for now, so {image} was not pulled",
		Hint:     "Wait for the limit to reset, or use a credential of a paid account, or a pull-through cache.",
	},
}

// jfrogRows are Artifactory's.
var jfrogRows = []Row{
	{
		Services: []Service{JFrog, JFrogToken}, Statuses: []int{http.StatusNotFound}, Page: page(true),
		Kind: fault.NotFound, Code: "jfrog_path",
		Sentence: "{host} is Artifactory, which has no Docker repository at the path of {image}",
		Hint:     "Check the repository's key in the name: HOST/REPOSITORY/IMAGE, or REPOSITORY.HOST/IMAGE where the platform uses sub-domains.",
	},
	{
		Services: []Service{JFrog}, Statuses: []int{http.StatusForbidden},
		Kind: fault.Denied, Code: "access_denied",
		Sentence: "{host} knows who asks for {image} and does not allow it",
		Hint:     "Give the token's user or group the right Read on the repository in a permission target.",
	},
}

// tokenRows are what every token service says of whom it does not give a token.
var tokenRows = []Row{
	{
		Services: []Service{TokenService}, Statuses: []int{http.StatusUnauthorized}, Says: regexp.MustCompile(`(?i)expired`),
		Kind: fault.Unauthenticated, Code: "secret_expired",
		Sentence: "{host} says that the secret of user {user} has expired", Hint: hintNewSecret,
	},
	{
		Services: []Service{TokenService}, Statuses: []int{http.StatusUnauthorized}, Says: regexp.MustCompile(`(?i)revoked`),
		Kind: fault.Unauthenticated, Code: "secret_revoked",
		Sentence: "{host} says that the secret of user {user} was revoked", Hint: hintNewSecret,
	},
	{
		Services: []Service{TokenService}, Statuses: []int{http.StatusUnauthorized}, Says: regexp.MustCompile(`(?i)wrong username`),
		Kind: fault.Unauthenticated, Code: "username_refused",
		Sentence: "{host} says that the secret belongs to another user than {user}",
		Hint:     "Enter the user name that the secret was made for: `fairlead registry update NAME --field username=USER`.",
	},
	{
		Services: []Service{TokenService}, Statuses: []int{http.StatusUnauthorized},
		Kind: fault.Unauthenticated, Code: "secret_refused", Sentence: refusedSentence, Hint: refusedHint,
	},
	{
		// https://www.rfc-editor.org/rfc/rfc6749#section-5.2
		Services: []Service{TokenService}, Statuses: []int{http.StatusBadRequest}, Codes: []string{"invalid_grant", "invalid_client"},
		Says: regexp.MustCompile(`(?i)expired`),
		Kind: fault.Unauthenticated, Code: "secret_expired",
		Sentence: "{host} says that the secret of user {user} has expired", Hint: hintNewSecret,
	},
	{
		Services: []Service{TokenService}, Statuses: []int{http.StatusBadRequest}, Codes: []string{"invalid_grant", "invalid_client"},
		Says: regexp.MustCompile(`(?i)revoked`),
		Kind: fault.Unauthenticated, Code: "secret_revoked",
		Sentence: "{host} says that the secret of user {user} was revoked", Hint: hintNewSecret,
	},
	{
		Services: []Service{TokenService}, Statuses: []int{http.StatusBadRequest}, Codes: []string{"invalid_grant", "invalid_client"},
		Kind: fault.Unauthenticated, Code: "secret_refused", Sentence: refusedSentence, Hint: refusedHint,
	},
	{
		Services: []Service{TokenService}, Statuses: []int{http.StatusForbidden}, Page: page(false),
		Kind: fault.Denied, Code: "token_denied",
		Sentence: "{host} gives user {user} no token for {image}: the secret is wrong, or has no right to pull",
		Hint:     "Check the secret and its scopes at the registry (GHCR: read:packages, GitLab: read_registry), and that the user may read this repository.",
	},
	{
		Services: []Service{TokenService}, Statuses: []int{http.StatusNotFound},
		Kind: fault.Unavailable, Code: "token_service_missing",
		Sentence: "{host} has no token service at the address that the registry names",
		Hint:     "Check the image's host and path; if they are right, ask the registry's operator.",
	},
}

const (
	refusedSentence = "{host} does not accept user {user} with this secret"
	refusedHint     = "Check the user name, and enter the secret again; make a new one at the registry if in doubt."
)

// cloudRows are what every cloud's API says that has no row of its own.
var cloudRows = []Row{
	{
		Services: []Service{cloud}, Statuses: []int{http.StatusTooManyRequests},
		Kind: fault.Exhausted, Code: "cloud_throttled",
		Sentence: "{host} takes no more requests for the moment",
		Hint:     "It passes by itself; grants that hold are used meanwhile.",
	},
	{
		Services: []Service{cloud}, Statuses: []int{http.StatusUnauthorized},
		Kind: fault.Unauthenticated, Code: "secret_refused",
		Sentence: "{host} does not accept {user} with this secret", Hint: hintNewSecret,
	},
	{
		Services: []Service{cloud}, Statuses: []int{http.StatusForbidden},
		Kind: fault.Denied, Code: "cloud_denied",
		Sentence: "{host} accepts {user} and does not allow what it takes",
		Hint:     "Compare the rights of {user} with those that the page of this kind in docs/registries names.",
	},
	{
		Services: []Service{cloud}, Below: http.StatusInternalServerError,
		Kind: fault.Unavailable, Code: "cloud_refused",
		Sentence: "{host} answered {status} when a secret was to be traded",
		Hint:     "Look the cloud's words up in its documentation.",
	},
}

// registryRows are what every registry says, and whoever has no row that fits.
var registryRows = []Row{
	{
		Statuses: []int{http.StatusTooManyRequests},
		Kind:     fault.Exhausted, Code: "rate_limited", Sentence: limitedSentence, Hint: limitedHint,
	},
	{
		Codes: []string{oci.CodeTooManyRequests},
		Kind:  fault.Exhausted, Code: "rate_limited", Sentence: limitedSentence, Hint: limitedHint,
	},
	{
		Least: http.StatusInternalServerError,
		Kind:  fault.Unavailable, Code: "registry_down",
		Sentence: "{host} answered {status} when asked for {image}",
		Hint:     "The fault is on the registry's side: try again in a moment, or look at its status page.",
	},
	{
		Page: page(true),
		Kind: fault.Unavailable, Code: "not_a_registry",
		Sentence: "{host} answered with a web page instead of a registry's answer when asked for {image}",
		Hint:     "Check the image's host and path (a registry behind a path needs that path in the name), and whether a proxy or login page stands in between.",
	},
	{
		Statuses: []int{http.StatusUnauthorized}, Challenge: insufficientScope,
		Kind: fault.Denied, Code: "no_pull_right",
		Sentence: "{host} does not let this credential pull {image}: the image is private to others, or it does not exist",
		Hint:     "Check the spelling of the name, and that the credential's user may read this repository.",
	},
	{
		Statuses: []int{http.StatusUnauthorized},
		Kind:     fault.Unauthenticated, Code: "unauthorized",
		Sentence: "{host} does not accept who asks for {image}: the credential is missing, wrong or expired",
		Hint:     "Check that a credential covers this image and that its secret is still valid: `fairlead check IMAGE`.",
	},
	{
		Statuses: []int{http.StatusForbidden},
		Kind:     fault.Denied, Code: "access_denied", Sentence: deniedSentence, Hint: deniedHint,
	},
	{
		Codes: []string{oci.CodeDenied},
		Kind:  fault.Denied, Code: "access_denied", Sentence: deniedSentence, Hint: deniedHint,
	},
	{
		Codes: []string{oci.CodeNameUnknown},
		Kind:  fault.NotFound, Code: "repository_not_found",
		Sentence: "{host} has no repository for {image}, or none that this credential may see",
		Hint:     "Check the spelling of the name, and that the image was pushed there.",
	},
	{
		Statuses: []int{http.StatusNotFound},
		Kind:     fault.NotFound, Code: "image_not_found",
		Sentence: "{host} has no image {image}, or none that this credential may see",
		Hint:     "Check the tag or digest, and that the image was pushed there.",
	},
	{
		Below: http.StatusBadRequest,
		Kind:  fault.Unavailable, Code: "not_a_registry",
		Sentence: "{host} gave an answer to {image} that no registry gives",
		Hint:     "Check the image's host, and whether a proxy or login page stands in between.",
	},
	{
		Kind: fault.Unavailable, Code: "registry_refused",
		Sentence: "{host} answered {status} when asked for {image}",
		Hint:     "Look the registry's words up in its documentation, or ask its operator.",
	},
}

const (
	limitedSentence = "{host} allows no more requests for now, so {image} was not pulled"
	limitedHint     = "Wait for the limit to reset, or use a credential with a higher limit or a pull-through cache."
	deniedSentence  = "{host} knows who asks for {image} and does not allow it"
	deniedHint      = "Give the credential's user the right to read this repository, or use another credential."
)
