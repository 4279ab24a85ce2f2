package diagnosis

import (
	"errors"
	"net/http"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/oci"
)

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
	return ofAnswer(&oci.Error{Host: host, Status: http.StatusUnauthorized}, Subject{Service: TokenService, Image: ref, User: user})
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
