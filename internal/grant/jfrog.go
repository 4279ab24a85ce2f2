package grant

import (
	"context"
	"net/url"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"fairlead.dev/fairlead/internal/diagnosis"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/secret"
)

// jfrog is an Artifactory with an access token.
// https://jfrog.com/help/r/jfrog-platform-administration-documentation/access-tokens
type jfrog struct{ exchange exchange }

const nameJFrog = "jfrog"

func (jfrog) Description() Description {
	return Description{
		Name:  nameJFrog,
		Title: "JFrog Artifactory",
		Help:  "An access token of a JFrog platform, in the cloud or your own.",
		Fields: []Field{
			{
				Name: fieldUsername, Title: "User name",
				Help:    "The user that the token is of. An access token of the long form says it by itself; a reference token does not.",
				Example: "fairlead",
			},
			{
				Name: fieldAccessToken, Title: "Access token", Secret: true, Required: true,
				Help:    "An access token (eyJ…) or a reference token of 64 characters, of a user who may only read.",
				Example: "eyJ…",
			},
		},
		Patterns: []string{"mycompany.jfrog.io/*", "mycompany.jfrog.io/docker-local/*"},
	}
}

func (j jfrog) Normalise(in Material) (Material, []string, error) {
	out, err := normalise(j.Description(), in)
	if err != nil {
		return Material{}, nil, err
	}
	token := out.Secrets[fieldAccessToken]
	if out.Config[fieldUsername] == "" {
		user, found := subjectOf(token)
		if !found {
			return Material{}, nil, fault.InvalidField(fieldUsername, "username_required", "must be given, since this token does not say whose it is").
				WithHint("Enter the name of the user that the token was made for.")
		}
		out.Config[fieldUsername] = user
	}
	if err := checkUser(out.Config[fieldUsername], fieldUsername); err != nil {
		return Material{}, nil, err
	}
	var warnings []string
	if strings.HasPrefix(token.Reveal(), "AKCp") {
		warnings = append(warnings, "This is an API key, which JFrog has brought to its end of life: make an access token instead.")
	}
	return out, warnings, nil
}

func (j jfrog) Issue(ctx context.Context, request Request) (Grant, error) {
	if request.Image.IsZero() {
		return Grant{}, fault.InvalidField("image", "image_missing", "a grant is for one image")
	}
	return j.exchange.issue(ctx, request, j.login(request.Material))
}

// accessTokenSignatures are what JFrog signs access tokens with; nothing is
// verified here, the platform does that.
var accessTokenSignatures = []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.ES256, jose.ES384}

// subjectOf is the user that an access token names: the end of its subject
// `jfac@ID/users/NAME`.
func subjectOf(token secret.Text) (string, bool) {
	parsed, err := jwt.ParseSigned(token.Reveal(), accessTokenSignatures)
	if err != nil {
		return "", false
	}
	var claims jwt.Claims
	if err := parsed.UnsafeClaimsWithoutVerification(&claims); err != nil {
		return "", false
	}
	_, escaped, found := strings.Cut(claims.Subject, "/users/")
	user, err := url.PathUnescape(escaped)
	return user, found && err == nil && user != ""
}

// Check asks what the credential is good for.
func (j jfrog) Check(ctx context.Context, request CheckRequest, checkup *Checkup) {
	loginCheck{
		exchange: j.exchange, kind: j, service: diagnosis.JFrogToken, request: request, who: j.login(request.Material),
		secret: request.Material.Secrets[fieldAccessToken], advice: jfrogAdvice, checkup: checkup,
	}.run(ctx)
}

func (jfrog) login(material Material) login {
	return login{
		user:      material.Config[fieldUsername],
		secret:    material.Secrets[fieldAccessToken],
		service:   diagnosis.JFrogToken,
		basicHint: "Turn on token authentication for this Docker repository in Artifactory.",
	}
}
