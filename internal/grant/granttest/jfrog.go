package granttest

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"

	"fairlead.dev/fairlead/internal/oci"
)

// Form is how an Artifactory is named in images.
type Form string

// The forms.
const (
	PathForm      Form = "path"       // HOST/REPOSITORY/IMAGE
	SubdomainForm Form = "sub-domain" // REPOSITORY.HOST/IMAGE
	PortForm      Form = "port"       // HOST:PORT/IMAGE
)

// artifactoryAPI is the path of one repository's Docker API.
const artifactoryAPI = "/artifactory/api/docker/"

// AccessToken makes an access token of a user, as Artifactory does: a JWT that
// names its user and its end. A zero end is never.
func (r *Registry) AccessToken(user string, ends time.Time) (string, error) {
	claims := jwt.Claims{
		Issuer: "jfac@01granttest", Subject: "jfac@01granttest/users/" + url.PathEscape(user), ID: rand.Text(), IssuedAt: jwt.NewNumericDate(time.Now()),
	}
	if !ends.IsZero() {
		claims.Expiry = jwt.NewNumericDate(ends)
	}
	text, err := jwt.Signed(r.signer.signer).Claims(claims).Claims(map[string]any{"scp": "applied-permissions/user"}).Serialize()
	if err != nil {
		return "", fmt.Errorf("signing an access token: %w", err)
	}
	r.people.addToken(text, token{user, ends})
	return text, nil
}

// ReferenceToken makes a token of 64 characters that stands for an access token
// of a user, and names its end, but not its user. A zero end is never.
func (r *Registry) ReferenceToken(user string, ends time.Time) string {
	var seconds int64
	if !ends.IsZero() {
		seconds = ends.Unix()
	}
	begin := fmt.Sprintf("reftkn:01:%010d:", seconds)
	text := base64.StdEncoding.EncodeToString([]byte(begin + (rand.Text() + rand.Text())[:48-len(begin)]))
	r.people.addToken(text, token{user, ends})
	return text
}

// serveArtifactory answers what an Artifactory has besides a registry: the list
// of one repository, for whoever shows their secret. False leaves the request to
// the registry.
func (r *Registry) serveArtifactory(w http.ResponseWriter, request *http.Request) bool {
	if r.options.Form != PathForm {
		return false
	}
	if rest, found := strings.CutPrefix(request.URL.Path, artifactoryAPI); found {
		key, _, found := strings.Cut(rest, "/v2/_catalog")
		name, password, _ := request.BasicAuth()
		switch {
		case !found || !r.hasKey(key):
			notFoundPage(w)
		case name == "" || r.people.login(name, password) != accepted:
			jfrogRefusal(w, http.StatusUnauthorized, "Bad Credentials")
		default:
			r.writeCatalogue(w, request, name, key+"/")
		}
		return true
	}
	repository, found := repositoryOf(request.URL.Path)
	key, _, inPath := strings.Cut(repository, "/")
	if request.URL.Path == oci.CataloguePath || found && (!inPath || !r.hasKey(key)) {
		notFoundPage(w)
		return true
	}
	return false
}

// hasKey reports whether an image's name begins with a repository of that key.
func (r *Registry) hasKey(key string) bool {
	for _, name := range r.repositories() {
		if strings.HasPrefix(name, key+"/") {
			return true
		}
	}
	return false
}

// notFoundPage is what Artifactory answers at a path that it has nothing at.
func notFoundPage(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/html;charset=UTF-8")
	w.WriteHeader(http.StatusNotFound)
	_, _ = w.Write([]byte("<!doctype html><html><body><h1>HTTP Status 404 – Not Found</h1></body></html>"))
}

// jfrogRefusal is Artifactory's own shape of an error, with a number for its
// code.
func jfrogRefusal(w http.ResponseWriter, status int, message string) {
	writeJSON(w, status, map[string]any{"errors": []any{map[string]any{"status": status, "message": message}}})
}

// jfrogDenied is the answer to whoever has no right to a repository.
func jfrogDenied(w http.ResponseWriter) {
	w.Header().Del("WWW-Authenticate")
	jfrogRefusal(w, http.StatusForbidden, "The client does not have permission for manifest")
}

// jfrogUnknown is the answer where there is no such manifest.
func jfrogUnknown(w http.ResponseWriter) {
	refuse(w, http.StatusNotFound, oci.CodeManifestUnknown, "The named manifest is not known to the registry.")
}
