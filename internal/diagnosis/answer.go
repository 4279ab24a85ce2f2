// Package diagnosis is the one room in which what a registry, its token service
// or the cloud behind it answered becomes a fault: a stable code, a sentence
// that says what happened, and the next step. The server, the worker and the
// check of a credential all ask here, so that the same answer is the same
// sentence everywhere.
//
// It asks nobody anything. Start with Of.
package diagnosis

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/oci"
)

// Service is who gave an answer: each has words of its own.
type Service string

// The services.
const (
	// Registry and TokenService speak as the distribution specification says:
	// https://distribution.github.io/distribution/spec/auth/token/
	Registry     Service = "registry"
	TokenService Service = "token-service"

	DockerHub      Service = "docker-hub"
	DockerHubToken Service = "docker-hub-token"

	JFrog      Service = "jfrog"
	JFrogToken Service = "jfrog-token"

	// ECR is the registry, AWS are the APIs of ECR, STS and IAM.
	ECR Service = "ecr"
	AWS Service = "aws"

	// ArtifactRegistry is the registry of *.pkg.dev and gcr.io, Google are the
	// APIs: OAuth 2.0's token endpoint, STS, IAM credentials, Artifact
	// Registry's own.
	ArtifactRegistry      Service = "artifact-registry"
	ArtifactRegistryToken Service = "artifact-registry-token"
	Google                Service = "google"

	// ACR is the registry, ACRToken its two exchanges, Entra the identity
	// platform before them.
	ACR      Service = "acr"
	ACRToken Service = "acr-token"
	Entra    Service = "entra"
)

// Subject is what was asked, of whom, for whom.
type Subject struct {
	Service Service
	Image   image.Reference

	// User is who was shown as asking: a user name, an access key's id, a
	// service account's address, an application's id; never a secret. Empty
	// where nobody was.
	User string
}

// Of turns any error met on the way to a registry into a fault that says what
// happened and what to do next. An error that holds a fault is that fault.
// Of(nil, …) is nil. A cloud's answer that an SDK brought is told as an
// oci.Error with the service's own code among its Codes. The fault's cause is err without
// query strings; neither holds a secret.
//
// Codes: dns_unknown, dns_failed, connection_refused, connection_lost,
// network_unreachable, timeout, cancelled, tls_untrusted, tls_name,
// tls_expired, tls_failed, tls_missing, not_a_registry, unauthorized,
// no_pull_right, access_denied, image_not_found, repository_not_found,
// rate_limited, registry_down, registry_refused, network_failed, and those of
// the Route: address_forbidden, plain_http, url_userinfo, url_scheme,
// credential_elsewhere, redirect_loop, redirect_insecure, redirect_body,
// realm_invalid, realm_userinfo, realm_insecure, realm_foreign, realm_redirected,
// token_missing, digest_invalid, digest_mismatch, manifest_too_large.
func Of(err error, subject Subject) *fault.Error {
	if err == nil {
		return nil
	}
	if known, ok := errors.AsType[*fault.Error](err); ok {
		return known
	}
	cause := oci.RedactError(err)
	if answer, ok := errors.AsType[*oci.Error](err); ok {
		return ofAnswer(answer, subject).WithCause(cause)
	}
	for _, d := range networkDiagnoses {
		if d.is(err) {
			return d.fault(subject.Image, cause).WithCause(cause)
		}
	}
	return fault.New(fault.Unavailable, "network_failed", "%s could not be asked for %s", subject.Image.APIHost(), subject.Image).
		WithHint("Try again; the server's log has the details.").WithCause(cause)
}

// answerDiagnosis is one row of the table from a registry's answer to a
// fault. The sentence is followed by the registry's own words.
type answerDiagnosis struct {
	is       func(*oci.Error) bool
	kind     fault.Kind
	code     string
	sentence string // with {image}, {host} (which answered) and {status}
	hint     string
}

// The first row that fits is the diagnosis.
var answerDiagnoses = []answerDiagnosis{
	{
		func(e *oci.Error) bool {
			return e.Status == http.StatusTooManyRequests || e.Has(oci.CodeTooManyRequests)
		},
		fault.Exhausted, "rate_limited",
		"{host} allows no more requests for now, so {image} was not pulled",
		"Wait for the limit to reset, or use a credential with a higher limit or a pull-through cache.",
	},
	{
		func(e *oci.Error) bool { return e.Status >= http.StatusInternalServerError },
		fault.Unavailable, "registry_down",
		"{host} answered {status} when asked for {image}",
		"The fault is on the registry's side: try again in a moment, or look at its status page.",
	},
	{
		func(e *oci.Error) bool { return e.HTML },
		fault.Unavailable, "not_a_registry",
		"{host} answered with a web page instead of a registry's answer when asked for {image}",
		"Check the image's host and path (a registry behind a path needs that path in the name), and whether a proxy or login page stands in between.",
	},
	{
		func(e *oci.Error) bool { return e.Status == http.StatusUnauthorized && e.InsufficientScope() },
		fault.Denied, "no_pull_right",
		"{host} does not let this credential pull {image}: the image is private to others, or it does not exist",
		"Check the spelling of the name, and that the credential's user may read this repository.",
	},
	{
		func(e *oci.Error) bool { return e.Status == http.StatusUnauthorized },
		fault.Unauthenticated, "unauthorized",
		"{host} does not accept who asks for {image}: the credential is missing, wrong or expired",
		"Check that a credential covers this image and that its secret is still valid.",
	},
	{
		func(e *oci.Error) bool { return e.Status == http.StatusForbidden || e.Has(oci.CodeDenied) },
		fault.Denied, "access_denied",
		"{host} knows who asks for {image} and does not allow it",
		"Give the credential's user the right to read this repository, or use another credential.",
	},
	{
		func(e *oci.Error) bool { return e.Has(oci.CodeNameUnknown) },
		fault.NotFound, "repository_not_found",
		"{host} has no repository for {image}, or none that this credential may see",
		"Check the spelling of the name, and that the image was pushed there.",
	},
	{
		func(e *oci.Error) bool { return e.Status == http.StatusNotFound },
		fault.NotFound, "image_not_found",
		"{host} has no image {image}, or none that this credential may see",
		"Check the tag or digest, and that the image was pushed there.",
	},
	{
		func(e *oci.Error) bool { return e.Status < http.StatusBadRequest },
		fault.Unavailable, "not_a_registry",
		"{host} gave an answer to {image} that no registry gives",
		"Check the image's host, and whether a proxy or login page stands in between.",
	},
	{
		func(*oci.Error) bool { return true },
		fault.Unavailable, "registry_refused",
		"{host} answered {status} when asked for {image}",
		"Look the registry's words up in its documentation, or ask its operator.",
	},
}

func ofAnswer(e *oci.Error, subject Subject) *fault.Error {
	ref := subject.Image
	if subject.Service == TokenService {
		for _, d := range tokenDiagnoses {
			if d.is(e) {
				return d.fault(e.Host, ref, subject.User)
			}
		}
	}
	for _, d := range answerDiagnoses {
		if !d.is(e) {
			continue
		}
		sentence := strings.NewReplacer("{image}", ref.String(), "{host}", e.Host, "{status}", strconv.Itoa(e.Status)).Replace(d.sentence)
		f := &fault.Error{Kind: d.kind, Code: d.code, Message: sentence + e.Said(), Hint: d.hint, RetryAfter: e.RetryAfter}
		if d.code == "rate_limited" && e.RateLimit != nil {
			f.Message += " (" + e.RateLimit.String() + ")"
			f.RetryAfter = max(f.RetryAfter, e.RateLimit.Reset)
		}
		return f
	}
	panic("the last row fits every answer")
}
