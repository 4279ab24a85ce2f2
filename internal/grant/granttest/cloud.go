package granttest

import (
	"net/http"
	"time"

	"fairlead.dev/fairlead/internal/oci"
)

// cloud is what stands around a registry that is a cloud's own: the APIs that
// trade its users' secrets, and how the registry behind them is shown what they
// gave. It is called concurrently.
type cloud interface {
	// hosts are the names of the APIs, each with a certificate and a rule. They
	// are known before the registry listens.
	hosts() []string

	// serve answers a request for one of hosts, or for the registry itself; false
	// leaves the request to the registry as one that stands alone.
	serve(w http.ResponseWriter, request *http.Request) bool
}

// serveAs lets the registry answer a request of somebody whom the cloud has
// checked and who may do the actions, such as pull, in the repository that the
// request is for. What they may not do is denied in the words of deny.
func (r *Registry) serveAs(w http.ResponseWriter, request *http.Request, who string, may func(repository string) []string, deny func(http.ResponseWriter)) {
	var granted []oci.Access
	if repository, found := repositoryOf(request.URL.Path); found {
		granted = append(granted, access(repository, may(repository)...))
	}
	token, err := r.signer.sign(who, time.Now(), time.Minute, granted)
	if err != nil {
		refuse(w, http.StatusInternalServerError, "UNKNOWN", "no token could be signed")
		return
	}
	request = request.Clone(request.Context())
	request.Header.Set("Authorization", "Bearer "+token)
	r.note(request)
	r.app.ServeHTTP(&rewriter{ResponseWriter: w, on: http.StatusUnauthorized, instead: deny}, request)
}

// note counts a request for a manifest or a blob.
func (r *Registry) note(request *http.Request) {
	path := content.FindStringSubmatch(request.URL.Path)
	switch {
	case path == nil || request.Method != http.MethodGet && request.Method != http.MethodHead:
	case path[2] == "manifests":
		r.ledger.asked(r.ledger.manifests, path[1])
	default:
		r.ledger.asked(r.ledger.blobs, path[1])
	}
}
