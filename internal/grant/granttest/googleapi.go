package granttest

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"slices"
	"strings"
)

// googleRights are the permissions of the roles, and what the registry calls
// them. https://cloud.google.com/artifact-registry/docs/access-control#roles
var googleRights = map[GoogleRole][]string{
	GoogleReader: {"pull"},
	GoogleWriter: {"pull", "push"},
	GoogleAdmin:  {"pull", "push", "delete"},
}

// googlePermissions are what the rights are called in IAM.
var googlePermissions = map[string]string{
	"pull":   "artifactregistry.repositories.downloadArtifacts",
	"push":   "artifactregistry.repositories.uploadArtifacts",
	"delete": "artifactregistry.repositories.deleteArtifacts",
}

// may is what an account may do in a repository, PROJECT/REPOSITORY, or in all of
// a project, PROJECT.
func (g *Google) may(account *googleAccount, path string) []string {
	project, _, _ := strings.Cut(path, "/")
	g.mu.Lock()
	defer g.mu.Unlock()
	rights := slices.Concat(googleRights[account.roles[path]], googleRights[account.roles[project]])
	slices.Sort(rights)
	return slices.Compact(rights)
}

// place is where an image is: in a project and a repository of it.
func (g *Google) place(image string) (project, repository, name string) {
	project, rest, _ := strings.Cut(image, "/")
	if strings.Contains(project, ".") { // a domain's
		var id string
		id, rest, _ = strings.Cut(rest, "/")
		project += ":" + id
	}
	if strings.HasSuffix(g.options.Host, "gcr.io") {
		return project, g.options.Host, rest
	}
	repository, name, _ = strings.Cut(rest, "/")
	return project, repository, name
}

// location is where the registry's repositories are.
func (g *Google) location() string {
	switch host := g.options.Host; host {
	case "gcr.io", "us.gcr.io":
		return "us"
	case "eu.gcr.io":
		return "europe"
	case "asia.gcr.io":
		return "asia"
	default:
		return strings.TrimSuffix(host, "-docker.pkg.dev")
	}
}

// images are the names of the images of a repository; found is false where there
// is no such repository.
func (g *Google) images(project, repository string) (names []string, found bool) {
	for _, image := range g.repositories() {
		if p, r, name := g.place(image); p == project && r == repository {
			names, found = append(names, name), true
		}
	}
	return names, found
}

// googleReads are the scopes that are enough to ask the API.
var googleReads = []string{
	"https://www.googleapis.com/auth/cloud-platform",
	"https://www.googleapis.com/auth/cloud-platform.read-only",
}

// serveArtifact is Artifact Registry's API.
// https://cloud.google.com/artifact-registry/docs/reference/rest
func (g *Google) serveArtifact(w http.ResponseWriter, request *http.Request) {
	path := strings.TrimPrefix(request.URL.Path, "/v1/")
	path, tests := strings.CutSuffix(path, ":testIamPermissions")
	parts := strings.Split(path, "/")
	what := parts[len(parts)-1]
	if tests {
		what = "testIamPermissions"
	}
	if g.count(what) {
		googleThrottled(w, "Requests")
		return
	}
	account, scopes, live := g.whoHas(strings.TrimPrefix(request.Header.Get("Authorization"), "Bearer "))
	switch {
	case !live:
		googleError(w, http.StatusUnauthorized, "UNAUTHENTICATED", "ACCESS_TOKEN_EXPIRED", "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential.")
		return
	case !slices.ContainsFunc(googleReads, func(scope string) bool { return slices.Contains(scopes, scope) }):
		googleError(w, http.StatusForbidden, "PERMISSION_DENIED", "ACCESS_TOKEN_SCOPE_INSUFFICIENT", "Request had insufficient authentication scopes.")
		return
	case g.isOff():
		googleError(w, http.StatusForbidden, "PERMISSION_DENIED", "SERVICE_DISABLED", "Artifact Registry API has not been used in project 123456789 before or it is disabled. Enable it and retry.")
		return
	case len(parts) < 5 || parts[0] != "projects" || parts[2] != "locations" || parts[3] != g.location() || parts[4] != "repositories":
		googleError(w, http.StatusNotFound, "NOT_FOUND", "", "Requested entity was not found.")
		return
	}
	switch project := parts[1]; {
	case tests && len(parts) == 6 && request.Method == http.MethodPost:
		g.testPermissions(w, request, account, project+"/"+parts[5])
	case len(parts) == 5 && request.Method == http.MethodGet:
		g.listRepositories(w, account, project)
	case len(parts) == 7 && what == "packages" && request.Method == http.MethodGet:
		g.listPackages(w, account, project, parts[5])
	default:
		googleError(w, http.StatusNotFound, "NOT_FOUND", "", "Requested entity was not found.")
	}
}

func (g *Google) isOff() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.apiOff
}

// testPermissions tells which of the permissions asked for an account has.
func (g *Google) testPermissions(w http.ResponseWriter, request *http.Request, account *googleAccount, path string) {
	var asked struct {
		Permissions []string `json:"permissions"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, request.Body, googleForm)).Decode(&asked); err != nil || len(asked.Permissions) == 0 {
		googleError(w, http.StatusBadRequest, "INVALID_ARGUMENT", "", "Request contains an invalid argument.")
		return
	}
	answer := map[string]any{}
	var held []string
	for _, right := range g.may(account, path) {
		if name := googlePermissions[right]; slices.Contains(asked.Permissions, name) {
			held = append(held, name)
		}
	}
	if held != nil {
		answer["permissions"] = held
	}
	writeJSON(w, http.StatusOK, answer)
}

func googleDenied(w http.ResponseWriter, permission, resource string) {
	googleError(w, http.StatusForbidden, "PERMISSION_DENIED", "IAM_PERMISSION_DENIED",
		`Permission "`+permission+`" denied on resource "`+resource+`" (or it may not exist).`)
}

// listRepositories lists a project's repositories, to who has a role on it.
func (g *Google) listRepositories(w http.ResponseWriter, account *googleAccount, project string) {
	parent := "projects/" + project + "/locations/" + g.location()
	if len(g.may(account, project)) == 0 {
		googleDenied(w, "artifactregistry.repositories.list", parent)
		return
	}
	all := []any{}
	var names []string
	for _, image := range g.repositories() {
		if p, repository, _ := g.place(image); p == project && !slices.Contains(names, repository) {
			names = append(names, repository)
			all = append(all, map[string]any{"name": parent + "/repositories/" + repository, "format": "DOCKER", "mode": "STANDARD_REPOSITORY"})
		}
	}
	all = append(all, map[string]any{"name": parent + "/repositories/wheels", "format": "PYTHON", "mode": "STANDARD_REPOSITORY"})
	writeJSON(w, http.StatusOK, map[string]any{"repositories": all})
}

// listPackages lists a repository's images, a few a page.
func (g *Google) listPackages(w http.ResponseWriter, account *googleAccount, project, repository string) {
	parent := "projects/" + project + "/locations/" + g.location() + "/repositories/" + repository
	if len(g.may(account, project+"/"+repository)) == 0 {
		googleDenied(w, "artifactregistry.packages.list", parent)
		return
	}
	names, found := g.images(project, repository)
	if !found {
		googleError(w, http.StatusNotFound, "NOT_FOUND", "", "Requested entity was not found.")
		return
	}
	all := []any{}
	for _, name := range names {
		all = append(all, map[string]any{"name": parent + "/packages/" + strings.ReplaceAll(name, "/", "%2F")})
	}
	writeJSON(w, http.StatusOK, map[string]any{"packages": all})
}

// serveCertificates shows everybody the certificates of an account's keys.
func (g *Google) serveCertificates(w http.ResponseWriter, request *http.Request) {
	if g.count("x509") {
		googleThrottled(w, "Requests")
		return
	}
	email, isPath := strings.CutPrefix(request.URL.Path, "/service_accounts/v1/metadata/x509/")
	g.mu.Lock()
	defer g.mu.Unlock()
	if !isPath || g.accounts[email] == nil {
		http.NotFound(w, request)
		return
	}
	all := make(map[string]any)
	for id, key := range g.keys {
		if key.email != email {
			continue
		}
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: email}, NotBefore: key.created, NotAfter: key.ends,
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.key.Public(), key.key)
		if err != nil {
			http.Error(w, "no certificate", http.StatusInternalServerError)
			return
		}
		all[id] = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	writeJSON(w, http.StatusOK, all)
}
