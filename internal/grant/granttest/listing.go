package granttest

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"fairlead.dev/fairlead/internal/oci"
)

// listed lets whoever may list see the repositories that they may pull from, and
// not all that there are: as GitLab, Harbor and Artifactory do, and distribution
// does not.
func (r *Registry) listed(w http.ResponseWriter, request *http.Request) http.ResponseWriter {
	user := userOf(request.Header.Get("Authorization"))
	return &rewriter{ResponseWriter: w, on: http.StatusOK, instead: func(w http.ResponseWriter) {
		w.Header().Del("Link")
		r.writeCatalogue(w, request, user, "")
	}}
}

// writeCatalogue answers with a page of the repositories below a prefix, without
// it. https://distribution.github.io/distribution/spec/api/#pagination
func (r *Registry) writeCatalogue(w http.ResponseWriter, request *http.Request, user, prefix string) {
	query := request.URL.Query()
	names := []string{}
	for _, name := range r.repositories() {
		rest, found := strings.CutPrefix(name, prefix)
		if found && rest > query.Get("last") && len(r.people.allowed(user, name, []string{"pull"})) > 0 {
			names = append(names, rest)
		}
	}
	size := r.options.CataloguePage
	if n, err := strconv.Atoi(query.Get("n")); err == nil && n > 0 {
		size = min(size, n)
	}
	if len(names) > size {
		names = names[:size]
		next := url.Values{"n": {strconv.Itoa(size)}, "last": {names[size-1]}}
		w.Header().Set("Link", "<"+request.URL.Path+"?"+next.Encode()+`>; rel="next"`)
	}
	writeJSON(w, http.StatusOK, map[string]any{"repositories": slices.Clip(names)})
}

// userOf is whose token a request shows; the registry behind has verified it.
func userOf(authorization string) string {
	text, _ := strings.CutPrefix(authorization, "Bearer ")
	parsed, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return ""
	}
	var claims jwt.Claims
	if err := parsed.UnsafeClaimsWithoutVerification(&claims); err != nil {
		return ""
	}
	return claims.Subject
}

// catalogueAccess is the right to list.
var catalogueAccess = oci.Access{Type: "registry", Name: "catalog", Actions: []string{"*"}}
