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

	// Cache is a pull-through cache of Fairlead, asked by a worker in a registry's place.
	Cache Service = "cache"
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
			return ofNetwork(d, subject, cause).WithCause(cause)
		}
	}
	if subject.Service == Cache {
		return cacheUnreachable("it could not be asked for " + nameOf(subject.Image)).WithCause(cause)
	}
	return fault.New(fault.Unavailable, "network_failed", "%s could not be asked for %s", hostOf(subject.Image), nameOf(subject.Image)).
		WithHint("Try again; the server's log has the details.").WithCause(cause)
}

func ofAnswer(e *oci.Error, subject Subject) *fault.Error {
	return table[RowOf(e, subject.Service)].fault(e, subject) // the last row fits every answer
}
