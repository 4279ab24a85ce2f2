package grant

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"strings"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/auth/credentials/externalaccount"
	"github.com/go-jose/go-jose/v4/jwt"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/secret"
)

// Hosts of the APIs that a keyless credential is traded at.
const (
	stsAPI         = "sts.googleapis.com"
	credentialsAPI = "iamcredentials.googleapis.com"
)

// googleProvider is the full name of a workload identity provider, with the
// number of its project.
// https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token
var googleProvider = regexp.MustCompile(`^//iam\.googleapis\.com/(projects/[0-9]{1,20}/locations/global/workloadIdentityPools/[a-z0-9-]{4,32})/providers/[a-z0-9-]{4,32}$`)

// normaliseKeyless checks a credential without a key. The file that gcloud makes
// for clients is not taken: it names files, addresses and programs of the
// machine that reads it, and what an admin of one organisation enters must have
// this server read none of them.
func (g gcp) normaliseKeyless(out Material) (Material, []string, error) {
	var errs []error
	// The console shows the name with https: before it, and some tools without
	// the host.
	provider := strings.TrimPrefix(out.Config[fieldProvider], "https:")
	if strings.HasPrefix(provider, "projects/") {
		provider = "//iam.googleapis.com/" + provider
	}
	out.Config[fieldProvider] = provider
	switch {
	case provider == "":
		errs = append(errs, fault.InvalidField(fieldProvider, "field_required", "must not be empty in a keyless credential").
			WithHint("`gcloud iam workload-identity-pools providers describe PROVIDER --workload-identity-pool=POOL --location=global` prints its name."))
	case !googleProvider.MatchString(provider):
		errs = append(errs, fault.InvalidField(fieldProvider, "provider_name", "is no workload identity provider's full name").
			WithHint("Write it as //iam.googleapis.com/projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER, with the project's number."))
	}
	switch email := out.Config[fieldAccount]; {
	case email == "":
		errs = append(errs, fault.InvalidField(fieldAccount, "field_required", "must not be empty in a keyless credential").
			WithHint("Give the address of the service account that may read Artifact Registry."))
	case !googleEmail.MatchString(email):
		errs = append(errs, fault.InvalidField(fieldAccount, "account_email", "is no service account's address").
			WithHint("Write it as NAME@PROJECT.iam.gserviceaccount.com."))
	}
	if out.Config[fieldTokenURI] != "" {
		errs = append(errs, fault.InvalidField(fieldTokenURI, "token_uri_keyless", "is of use with a key alone").WithHint("Leave it empty."))
	}
	if err := fault.Join(errs...); err != nil {
		return Material{}, nil, err
	}
	var warnings []string
	if g.identity == nil {
		warnings = append(warnings, warnNoIdentity)
	}
	return out, warnings, nil
}

// byIdentity trades the server's own identity for a federated token, and that
// for an access token of the service account.
// https://cloud.google.com/iam/docs/workload-identity-federation
func (g gcp) byIdentity(ctx context.Context, m Material, transport *oci.Transport) (*auth.Token, error) {
	if g.identity == nil {
		return nil, noIdentity("give the service account's key")
	}
	provider, email := m.Config[fieldProvider], m.Config[fieldAccount]
	identity, err := g.identity(ctx, provider)
	if err != nil {
		return nil, err
	}
	credentials, err := externalaccount.NewCredentials(&externalaccount.Options{
		Audience:                       provider,
		SubjectTokenType:               "urn:ietf:params:oauth:token-type:jwt",
		TokenURL:                       "https://" + stsAPI + "/v1/token",
		ServiceAccountImpersonationURL: "https://" + credentialsAPI + "/v1/projects/-/serviceAccounts/" + email + ":generateAccessToken",
		SubjectTokenProvider:           subjectToken{identity},
		Scopes:                         googleScopes,
		Client:                         googleClient(transport, []secret.Text{identity}, stsAPI, credentialsAPI),
		Logger:                         noGoogleLog,
	})
	if err != nil {
		return nil, err
	}
	token, err := credentials.Token(ctx)
	if err != nil {
		return nil, keylessFault(err, m, identity)
	}
	return token, nil
}

// noIdentity is what a server without an identity says of a keyless credential.
func noIdentity(instead string) error {
	return fault.New(fault.Unavailable, "identity_missing", "this server has no identity of its own, which a keyless credential is traded for").
		WithHint("Its operator can give it one; until then, %s.", instead)
}

// warnNoIdentity warns of it when the credential is saved.
const warnNoIdentity = "This server has no identity of its own yet, so that a keyless credential gets nothing: its operator can give it one."

// keylessFault makes more of what is told of an identity. STS says of it, in the
// same code, what the token endpoint says of a key, and is therefore told by the
// one that it alone has. That the identity may not act as the account is mended
// with one command, which is made ready here.
func keylessFault(err error, m Material, identity secret.Text) error {
	answer, ok := errors.AsType[*oci.Error](err)
	switch {
	case ok && answer.Host == stsAPI && answer.Has("invalid_grant"):
		told := *answer
		told.Codes = []string{"invalid_target"}
		return &told
	case ok && answer.Host == credentialsAPI && answer.Status == http.StatusForbidden && !answer.Has("SERVICE_DISABLED"):
		return fault.New(fault.Denied, "google_denied", "Google knows this server's identity and does not let it act as %q%s", m.Config[fieldAccount], answer.Said()).
			WithHint("%s", bindCommand(m, identity)).WithCause(answer)
	case ok && answer.Host == credentialsAPI && answer.Status == http.StatusNotFound:
		return fault.New(fault.Unauthenticated, "google_account_unknown", "Google has no service account %q", m.Config[fieldAccount]).
			WithHint("Check the field %s; the account may have been deleted.", fieldAccount).WithCause(answer)
	default:
		return err
	}
}

// bindCommand lets the server's identity act as the service account.
func bindCommand(m Material, identity secret.Text) string {
	pool := googleProvider.FindStringSubmatch(m.Config[fieldProvider])
	subject := "SUBJECT"
	var claims jwt.Claims
	if parsed, err := jwt.ParseSigned(identity.Reveal(), accessTokenSignatures); err == nil && parsed.UnsafeClaimsWithoutVerification(&claims) == nil && claims.Subject != "" {
		subject = oci.Clean(claims.Subject)
	}
	if pool == nil { // Normalise let it through, so it is none
		return "Give the server's identity the role Workload Identity User on the service account."
	}
	return "Run `gcloud iam service-accounts add-iam-policy-binding " + m.Config[fieldAccount] + " --role=roles/iam.workloadIdentityUser" +
		" --member='principal://iam.googleapis.com/" + pool[1] + "/subject/" + subject + "'`, and check the account's name."
}

// subjectToken is what externalaccount asks for the server's identity.
type subjectToken struct{ text secret.Text }

// SubjectToken is the identity's token.
func (s subjectToken) SubjectToken(context.Context, *externalaccount.RequestOptions) (string, error) {
	return s.text.Reveal(), nil
}
