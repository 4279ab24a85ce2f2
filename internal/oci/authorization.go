package oci

import (
	"fmt"
	"log/slog"
	"net/http"

	"fairlead.dev/fairlead/internal/secret"
)

// Authorization is what a request shows to a registry: a bearer token, a user
// name with a password, or nothing. Printing it tells the scheme alone. The
// zero value is Anonymous.
type Authorization struct {
	scheme Scheme
	user   string
	secret secret.Text
}

// Scheme names a way to show who asks.
type Scheme string

// The schemes of an Authorization.
const (
	SchemeAnonymous Scheme = "anonymous"
	SchemeBasic     Scheme = "basic"
	SchemeBearer    Scheme = "bearer"
)

// Anonymous shows nothing, for registries that ask for nothing.
var Anonymous = Authorization{}

// Bearer shows a token.
func Bearer(token secret.Text) Authorization {
	return Authorization{scheme: SchemeBearer, secret: token}
}

// Basic shows a user name and a password.
func Basic(user string, password secret.Text) Authorization {
	return Authorization{scheme: SchemeBasic, user: user, secret: password}
}

// Scheme is how it is shown.
func (a Authorization) Scheme() Scheme {
	if a.scheme == "" {
		return SchemeAnonymous
	}
	return a.scheme
}

// User is the name of Basic, and "" otherwise.
func (a Authorization) User() string { return a.user }

// Secret is the token or the password, and empty for Anonymous.
func (a Authorization) Secret() secret.Text { return a.secret }

// Apply sets the request's Authorization header, or removes it for Anonymous.
func (a Authorization) Apply(request *http.Request) {
	switch a.Scheme() {
	case SchemeBasic:
		request.SetBasicAuth(a.user, a.secret.Reveal())
	case SchemeBearer:
		request.Header.Set("Authorization", "Bearer "+a.secret.Reveal())
	default:
		request.Header.Del("Authorization")
	}
}

// String is the scheme.
func (a Authorization) String() string { return string(a.Scheme()) }

// Format writes the scheme for every verb and flag.
func (a Authorization) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(a.String())) }

// LogValue gives the scheme to slog.
func (a Authorization) LogValue() slog.Value { return slog.StringValue(a.String()) }
