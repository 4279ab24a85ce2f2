package grant

import (
	"context"
	"regexp"
	"time"

	"fairlead.dev/fairlead/internal/diagnosis"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/secret"
)

// gcp is Google Artifact Registry, and what Container Registry's hosts are now:
// with a service account's key, or without one, as the service account that
// trusts the server's own identity.
// https://cloud.google.com/artifact-registry/docs/docker/authentication
type gcp struct {
	exchange exchange
	tokens   *googleTokens

	// identity is Config.IdentityToken.
	identity func(ctx context.Context, audience string) (secret.Text, error)
}

const (
	nameGCP          = "gcp"
	fieldKey         = "service_account_json"
	fieldAccount     = "service_account_email"
	fieldProvider    = "workload_identity_provider"
	fieldTokenURI    = "token_uri"
	fieldClientEmail = "client_email"
	fieldProjectID   = "project_id"
	fieldKeyID       = "private_key_id"
)

func (gcp) Description() Description {
	return Description{
		Name:        nameGCP,
		Title:       "Google Artifact Registry",
		Help:        "A service account that may read Artifact Registry, by its JSON key or without one; gcr.io too.",
		LegacyNames: []string{"gcp-cr"},
		Fields: []Field{
			{
				Name: fieldKey, Title: "Service account key", Secret: true, Lines: true,
				Help:    "The key file that Google Cloud makes, pasted whole. Leave it empty for a keyless credential.",
				Example: `{"type": "service_account", …}`,
			},
			{
				Name: fieldAccount, Title: "Service account, keyless",
				Help:    "Without a key: the service account that this server's own identity may act as.",
				Example: "fairlead@my-project.iam.gserviceaccount.com",
			},
			{
				Name: fieldProvider, Title: "Workload identity provider, keyless",
				Help:    "Without a key: the provider that trusts this server's own identity, by its full name.",
				Example: "//iam.googleapis.com/projects/123456789/locations/global/workloadIdentityPools/my-pool/providers/my-provider",
			},
			{
				Name: fieldTokenURI, Title: "Token endpoint", Advanced: true,
				Help: "Only where keys are traded at another address than Google's own, such as a private endpoint: then the key's token_uri must be this one.",
			},
			{Name: fieldClientEmail, Title: "Service account", Help: "Read out of the key; what is entered here is replaced.", Advanced: true},
			{Name: fieldProjectID, Title: "Project", Help: "Read out of the key; what is entered here is replaced.", Advanced: true},
			{Name: fieldKeyID, Title: "Key ID", Help: "Read out of the key; what is entered here is replaced.", Advanced: true},
		},
		Patterns: []string{"us-central1-docker.pkg.dev/my-project/my-repository/*", "gcr.io/my-project/*"},
	}
}

func (g gcp) Normalise(in Material) (Material, []string, error) {
	out, err := normalise(g.Description(), in)
	if err != nil {
		return Material{}, nil, err
	}
	// What is read out of a key is entered again with every change, the one of
	// the key itself too, so that it counts for nothing.
	for _, name := range []string{fieldClientEmail, fieldProjectID, fieldKeyID} {
		delete(out.Config, name)
	}
	keyless := out.Config[fieldAccount] != "" || out.Config[fieldProvider] != ""
	hasKey := !out.Secrets[fieldKey].IsEmpty()
	switch {
	case hasKey && keyless:
		return Material{}, nil, fault.InvalidField(fieldKey, "secret_twice", "is given, and a keyless credential's %s or %s too", fieldAccount, fieldProvider).
			WithHint("Give the key, or the two others without it; an empty value takes one away.")
	case hasKey:
		return g.normaliseKey(out)
	case keyless:
		return g.normaliseKeyless(out)
	default:
		return Material{}, nil, fault.InvalidField(fieldKey, "field_required", "must not be empty, unless the credential is keyless").
			WithHint("Paste the service account's key file whole, or give %s and %s.", fieldAccount, fieldProvider)
	}
}

// googleHost are the registries of Google Cloud. Others below gcr.io hold
// Google's own images, for everybody.
// https://cloud.google.com/artifact-registry/docs/repositories/repo-locations
var googleHost = regexp.MustCompile(`^(?:[a-z]+(?:-[a-z]+[0-9]+)?-docker\.pkg\.dev|(?:(?:us|eu|asia)\.)?gcr\.io)$`)

func (g gcp) Issue(ctx context.Context, request Request) (Grant, error) {
	if !googleHost.MatchString(request.Image.Host()) {
		return Grant{}, fault.InvalidField("image", "image_not_google", "%s is not on Artifact Registry, and a credential of kind %s is for nothing else", request.Image, nameGCP).
			WithHint("Its hosts are LOCATION-docker.pkg.dev, gcr.io, us.gcr.io, eu.gcr.io and asia.gcr.io. Use a credential of another kind for this image.")
	}
	access, known, err := g.access(ctx, request.Material, request.Image)
	if err != nil {
		return Grant{}, err
	}
	grant, err := g.exchange.issue(ctx, request, access.login())
	if known && fault.Is(err, fault.Unauthenticated) { // revoked before its end
		g.tokens.forget(idOf(request.Material), access)
		if access, _, err = g.access(ctx, request.Material, request.Image); err != nil {
			return Grant{}, err
		}
		grant, err = g.exchange.issue(ctx, request, access.login())
	}
	if err != nil {
		return Grant{}, err
	}
	return grant.until(access.ends), nil
}

// until is the grant with an end no later than that.
func (g Grant) until(end time.Time) Grant {
	if !end.Before(g.ExpiresAt) {
		return g
	}
	g.ExpiresAt = end
	g.RefreshAt = g.IssuedAt.Add(end.Sub(g.IssuedAt) * 3 / 4)
	return g
}

// login is how an access token is shown to the registry, whose token service
// trades it. A key itself is never sent to a registry.
func (a googleAccess) login() login {
	return login{
		user: "oauth2accesstoken", secret: a.token, service: diagnosis.ArtifactRegistryToken, shown: a.email,
		basicHint: "Artifact Registry itself has a token service: check what answers in its place.",
	}
}
