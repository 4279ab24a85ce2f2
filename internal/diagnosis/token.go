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

// tokenDiagnosis is one row of the table from a token service's refusal to a
// fault. What it has no row for is the same on every host, and Of
// knows it.
//
// Codes: secret_expired, secret_revoked, username_refused, secret_refused,
// token_denied, token_service_missing; and besides the table no_pull_right,
// basic_only and credential_required.
type tokenDiagnosis struct {
	is       func(*oci.Error) bool
	kind     fault.Kind
	code     string
	sentence string // with {host} of the token service, {user} and {image}
	hint     string
}

// The first row that fits is the diagnosis.
var tokenDiagnoses = []tokenDiagnosis{
	{
		func(e *oci.Error) bool { return refusesWho(e) && says(e, "expired") },
		fault.Unauthenticated, "secret_expired",
		"{host} says that the secret of user {user} has expired",
		"Make a new one at the registry and enter it in the credential.",
	},
	{
		func(e *oci.Error) bool { return refusesWho(e) && says(e, "revoked") },
		fault.Unauthenticated, "secret_revoked",
		"{host} says that the secret of user {user} was revoked",
		"Make a new one at the registry and enter it in the credential.",
	},
	{
		func(e *oci.Error) bool { return refusesWho(e) && says(e, "wrong username") },
		fault.Unauthenticated, "username_refused",
		"{host} says that the secret belongs to another user than {user}",
		"Enter the user name that the secret was made for.",
	},
	{
		refusesWho,
		fault.Unauthenticated, "secret_refused",
		"{host} does not accept user {user} with this secret",
		"Check the user name, and enter the secret again; make a new one at the registry if in doubt.",
	},
	{
		func(e *oci.Error) bool {
			return !e.HTML && e.Status == http.StatusForbidden
		},
		fault.Denied, "token_denied",
		"{host} gives user {user} no token for {image}: the secret is wrong, or has no right to pull",
		"Check the secret and its scopes at the registry, and that the user may read this repository.",
	},
	{
		func(e *oci.Error) bool { return e.Status == http.StatusNotFound },
		fault.Unavailable, "token_service_missing",
		"{host} has no token service at the address that the registry names",
		"Check the image's host and path; if they are right, ask the registry's operator.",
	},
}

// refusesWho reports whether a token service does not accept user and secret:
// HTTP's own way to say so, or OAuth 2.0's.
// https://www.rfc-editor.org/rfc/rfc6749#section-5.2
func refusesWho(e *oci.Error) bool {
	return e.Status == http.StatusUnauthorized ||
		e.Status == http.StatusBadRequest && (e.Has("invalid_grant") || e.Has("invalid_client"))
}

func says(e *oci.Error, words string) bool {
	return strings.Contains(strings.ToLower(e.Message), words)
}

func (d tokenDiagnosis) fault(host string, ref image.Reference, user string) *fault.Error {
	words := strings.NewReplacer("{host}", host, "{user}", strconv.Quote(user), "{image}", ref.Name())
	return &fault.Error{Kind: d.kind, Code: d.code, Message: words.Replace(d.sentence), Hint: d.hint}
}

// OfAnonymous makes a fault of what went wrong with nobody's exchange: a
// token service that refuses nobody wants a credential.
func OfAnonymous(err error, ref image.Reference) *fault.Error {
	if answer, ok := errors.AsType[*oci.Error](err); ok && !answer.HTML &&
		(answer.Status == http.StatusUnauthorized || answer.Status == http.StatusForbidden) {
		return CredentialRequired(ref).WithCause(err)
	}
	return Of(err, Subject{Service: Registry, Image: ref})
}

// SecretRefused is for a registry that does not take the secret itself.
func SecretRefused(host string, ref image.Reference, user string) *fault.Error {
	for _, d := range tokenDiagnoses {
		if d.code == "secret_refused" {
			return d.fault(host, ref, user)
		}
	}
	panic("the table has a row for a refused secret")
}

// NoPullRight is for a token that grants nothing: the token service accepts
// the secret, and tells private from missing apart to nobody.
func NoPullRight(ref image.Reference, user string) *fault.Error {
	return fault.New(fault.Denied, "no_pull_right",
		"%s accepts user %q but lets it not pull %s: the repository is private to others, or it does not exist", ref.Host(), user, ref.Name()).
		WithHint("Check the spelling of the name, and that this user may read the repository.")
}

// CredentialRequired is for an image that is not for everybody.
func CredentialRequired(ref image.Reference) *fault.Error {
	return fault.New(fault.Unauthenticated, "credential_required",
		"%s does not give %s to everybody: it is private, or it does not exist", ref.Host(), ref.Name()).
		WithHint("Check the spelling of the name, and add a credential that covers it.")
}

// BasicOnly is for a registry whose secret cannot be traded.
func BasicOnly(ref image.Reference, hint string) *fault.Error {
	return fault.New(fault.Denied, "basic_only",
		"%s has no token service and takes only the password itself, which is not handed to a worker", ref.Host()).
		WithHint("%s", hint)
}
