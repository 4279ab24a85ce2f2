package grant

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"fairlead.dev/fairlead/internal/secret"
)

// jfrogForm is a sort of secret that Artifactory takes, as it is spoken of.
type jfrogForm string

// The forms. https://jfrog.com/help/r/jfrog-platform-administration-documentation/access-tokens
const (
	jfrogAccess    jfrogForm = "this access token" // or an identity token, which is one with its user's rights
	jfrogReference jfrogForm = "a reference token" // stands for an access token
	jfrogAPIKey    jfrogForm = "an API key"
	jfrogOther     jfrogForm = "this secret"
)

// jfrogToken is what a secret says about itself; nothing is verified here, the
// platform does that.
type jfrogToken struct {
	form  jfrogForm
	user  string    // "": it does not say
	scope string    // applied-permissions/user
	ends  time.Time // zero: never, or it does not say
}

const (
	// referenceLength and referenceBegin are a reference token's. It is
	// base64 of reftkn:01:END:RANDOM with END in seconds since 1970, or zeros.
	referenceLength = 64
	referenceBegin  = "cmVmdGtu"

	apiKeyBegin = "AKCp"
)

// accessTokenSignatures are what JFrog signs access tokens with.
var accessTokenSignatures = []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.ES256, jose.ES384}

func readJFrogToken(text secret.Text) jfrogToken {
	value := text.Reveal()
	if strings.HasPrefix(value, apiKeyBegin) {
		return jfrogToken{form: jfrogAPIKey}
	}
	if len(value) == referenceLength || strings.HasPrefix(value, referenceBegin) {
		return jfrogToken{form: jfrogReference, ends: referenceEnd(value)}
	}
	parsed, err := jwt.ParseSigned(value, accessTokenSignatures)
	if err != nil {
		return jfrogToken{form: jfrogOther}
	}
	var claims struct {
		jwt.Claims
		Scope string `json:"scp"`
	}
	if err := parsed.UnsafeClaimsWithoutVerification(&claims); err != nil {
		return jfrogToken{form: jfrogOther}
	}
	token := jfrogToken{form: jfrogAccess, scope: claims.Scope}
	if claims.Expiry != nil {
		token.ends = claims.Expiry.Time().UTC()
	}
	_, escaped, _ := strings.Cut(claims.Subject, "/users/") // jfac@ID/users/NAME
	if user, err := url.PathUnescape(escaped); err == nil {
		token.user = user
	}
	return token
}

func referenceEnd(value string) time.Time {
	text, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		return time.Time{}
	}
	parts := strings.Split(string(text), ":")
	if len(parts) != 4 || parts[0] != "reftkn" {
		return time.Time{}
	}
	seconds, err := strconv.ParseInt(parts[2], 10, 64)
	if err != nil || seconds <= 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}

// jfrogEnd is when a secret ends that says so itself.
func jfrogEnd(text secret.Text) (time.Time, bool) {
	ends := readJFrogToken(text).ends
	return ends, !ends.IsZero()
}

// warnings are about a secret that is given as one user's.
func (t jfrogToken) warnings(user string) []string {
	var warnings []string
	switch t.form {
	case jfrogAPIKey:
		warnings = append(warnings, "This is an API key, which JFrog has brought to its end of life: make an access token instead.")
	case jfrogOther:
		warnings = append(warnings, "This looks like a password rather than an access token (eyJ…) or a reference token of 64 characters: it opens the whole account.")
	case jfrogAccess, jfrogReference:
	}
	if t.user != "" && t.user != user {
		warnings = append(warnings, fmt.Sprintf("The token says that it is user %q's, and %q is entered: Artifactory refuses another user's token.", t.user, user))
	}
	if strings.Contains(t.scope, "applied-permissions/admin") {
		warnings = append(warnings, "The token has an administrator's rights over the whole platform: make one of a user who may only read.")
	}
	return warnings
}
