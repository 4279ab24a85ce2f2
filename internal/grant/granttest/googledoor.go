package granttest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/oci"
)

// googleRealm is the path of the registry's token service.
const googleRealm = "/v2/token"

func (g *Google) realmPath() string { return googleRealm }

// serveRegistry is the registry: its token service, and all else behind the
// tokens of that.
func (g *Google) serveRegistry(w http.ResponseWriter, request *http.Request) {
	if request.URL.Path == googleRealm {
		g.serveRegistryToken(w, request)
		return
	}
	shown, bearer := strings.CutPrefix(request.Header.Get("Authorization"), "Bearer ")
	if token, found := g.signer.behind(shown); bearer && found {
		request.Header.Set("Authorization", "Bearer "+token)
		image, _ := repositoryOf(request.URL.Path)
		w = &rewriter{ResponseWriter: w, on: http.StatusUnauthorized, instead: func(w http.ResponseWriter) {
			w.Header().Del("WWW-Authenticate")
			g.deny(w, image)
		}}
	} else {
		request.Header.Del("Authorization") // what it does not know is nobody's
	}
	g.serveAPI(w, request)
}

// deny refuses an image in the registry's words.
func (g *Google) deny(w http.ResponseWriter, image string) {
	project, repository, _ := g.place(image)
	refuse(w, http.StatusForbidden, oci.CodeDenied, fmt.Sprintf(
		`Permission "artifactregistry.repositories.downloadArtifacts" denied on resource "projects/%s/locations/%s/repositories/%s" (or it may not exist)`, project, g.location(), repository))
}

// What scopes allow at the registry: Cloud Storage's, since it was Container
// Registry. https://cloud.google.com/artifact-registry/docs/integrate-compute
var (
	googleDownloads = append([]string{
		"https://www.googleapis.com/auth/devstorage.read_only",
	}, googleUploads...)
	googleUploads = []string{
		"https://www.googleapis.com/auth/devstorage.read_write",
		"https://www.googleapis.com/auth/devstorage.full_control",
		"https://www.googleapis.com/auth/cloud-platform",
	}
)

// allow is whether the scopes of an access token allow an action.
func allow(scopes []string, action string) bool {
	enough := googleUploads
	if action == "pull" {
		enough = googleDownloads
	}
	return slices.ContainsFunc(enough, func(scope string) bool { return slices.Contains(scopes, scope) })
}

// serveRegistryToken trades an access token for one of the registry, which
// nobody can read.
// https://cloud.google.com/artifact-registry/docs/docker/authentication#token
func (g *Google) serveRegistryToken(w http.ResponseWriter, request *http.Request) {
	user, password, _ := request.BasicAuth()
	scope := request.URL.Query().Get("scope")
	g.ledger.exchange(Exchange{Method: request.Method, User: user, Scope: scope})
	if g.count("v2/token") {
		refuse(w, http.StatusTooManyRequests, oci.CodeTooManyRequests, "Quota exceeded for quota metric 'Requests per project per user' of service 'artifactregistry.googleapis.com'")
		return
	}
	account, scopes, live := g.whoHas(password)
	if user != "oauth2accesstoken" || !live {
		refuse(w, http.StatusUnauthorized, oci.CodeUnauthorized, "authentication failed")
		return
	}
	image, actions, ok := parseScope(scope)
	if !ok {
		refuse(w, http.StatusBadRequest, "UNSUPPORTED", "unsupported scope")
		return
	}
	project, repository, _ := g.place(image)
	held := g.may(account, project+"/"+repository)
	granted := slices.DeleteFunc(actions, func(action string) bool { return !slices.Contains(held, action) || !allow(scopes, action) })
	_, exists := g.images(project, repository)
	switch {
	case len(granted) == 0:
		g.deny(w, image)
		return
	case !exists:
		refuse(w, http.StatusNotFound, oci.CodeNameUnknown, fmt.Sprintf("Repository %q not found", repository))
		return
	}
	token, err := g.signer.sign("google", time.Now(), time.Hour, []oci.Access{access(image, granted...)})
	if err != nil {
		refuse(w, http.StatusInternalServerError, "UNKNOWN", "no token could be signed")
		return
	}
	token = g.signer.hide(token)
	g.mu.Lock()
	g.given = append(g.given, token)
	g.mu.Unlock()
	writeJSON(w, http.StatusOK, map[string]any{"token": token, "expires_in": int(time.Hour / time.Second), "issued_at": time.Now().UTC().Format(time.RFC3339)})
}
