package granttest

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/oci"
)

// handler is what all the hosts share: each request goes by the host it is
// for.
func (r *Registry) handler() http.Handler {
	realm, err := url.Parse(r.realm())
	if err != nil {
		panic(err) // made of a host name that has a certificate already
	}
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if request.Host == pushHost {
			r.app.ServeHTTP(w, request)
			return
		}
		r.ledger.request()
		r.conditions.untilReleased(request.Context())
		forToken := request.Host == r.options.RealmHost && request.URL.Path == realm.Path
		if status := r.conditions.outageNow(forToken); status != 0 {
			refuse(w, status, "UNAVAILABLE", http.StatusText(status))
			return
		}
		if wait, throttled := r.conditions.isThrottled(); throttled {
			if wait > 0 {
				w.Header().Set("Retry-After", strconv.Itoa(int(wait/time.Second)))
			}
			refuse(w, http.StatusTooManyRequests, oci.CodeTooManyRequests, "too many requests")
			return
		}
		switch {
		case r.cloud != nil && r.cloud.serve(w, request):
		case forToken && r.options.Kind != Basic:
			r.serveToken(w, request)
		case request.Host == r.options.BlobHost:
			r.serveBlob(w, request)
		case request.Host == apiHost(r.options.Host):
			r.serveAPI(w, request)
		default:
			http.NotFound(w, request)
		}
	})
}

// content is the path of a manifest or a blob.
var content = regexp.MustCompile(`^/v2/(.+)/(manifests|blobs)/([^/]+)$`)

// serveAPI is the registry with the manners of its kind.
func (r *Registry) serveAPI(w http.ResponseWriter, request *http.Request) {
	reads := request.Method == http.MethodGet || request.Method == http.MethodHead
	path := content.FindStringSubmatch(request.URL.Path)
	switch {
	case path == nil || !reads:
	case path[2] == "manifests":
		r.ledger.asked(r.ledger.manifests, path[1])
	default:
		r.ledger.asked(r.ledger.blobs, path[1])
	}
	switch r.options.Kind {
	case Basic:
		if !r.tradeBasic(w, request) {
			return
		}
		w = &rewriter{ResponseWriter: w, on: http.StatusUnauthorized, instead: denied}
	case JFrog:
		shown := strings.TrimPrefix(request.Header.Get("Authorization"), "Bearer ")
		if token, found := r.signer.behind(shown); found {
			request.Header.Set("Authorization", "Bearer "+token)
			w = &rewriter{ResponseWriter: w, on: http.StatusUnauthorized, instead: jfrogDenied}
		}
		if r.serveArtifactory(w, request) {
			return
		}
		if path != nil && path[2] == "manifests" {
			w = &rewriter{ResponseWriter: w, on: http.StatusNotFound, instead: jfrogUnknown}
		}
	case Generic, DockerHub:
	}
	if r.options.NoTags && strings.HasSuffix(request.URL.Path, "/tags/list") {
		http.NotFound(w, request)
		return
	}
	if request.URL.Path == oci.CataloguePath {
		if r.options.NoCatalogue {
			http.NotFound(w, request)
			return
		}
		w = r.listed(w, request)
	}
	if path != nil && reads && path[2] == "manifests" && !r.count(w, request) {
		return
	}
	if path != nil && reads && path[2] == "blobs" && r.options.BlobHost != "" && request.Method == http.MethodGet {
		request.Header.Del("Range") // which is for where the blob really is
		w = &rewriter{ResponseWriter: w, on: http.StatusOK, instead: func(w http.ResponseWriter) {
			w.Header().Set("Location", r.signedBlob(path[1], request.URL.Path))
			w.WriteHeader(http.StatusTemporaryRedirect)
		}}
	}
	r.app.ServeHTTP(w, request)
}

// tradeBasic checks user name and password and shows the registry behind a
// token with the user's rights instead.
func (r *Registry) tradeBasic(w http.ResponseWriter, request *http.Request) bool {
	name, password, _ := request.BasicAuth()
	if name == "" || r.people.login(name, password) != accepted {
		w.Header().Set("WWW-Authenticate", `Basic realm="Registry Realm"`)
		refuse(w, http.StatusUnauthorized, oci.CodeUnauthorized, "authentication required")
		return false
	}
	var granted []oci.Access
	if repository, found := repositoryOf(request.URL.Path); found {
		granted = []oci.Access{access(repository, r.people.allowed(name, repository, []string{"pull", "push", "delete"})...)}
	} else if request.URL.Path == oci.CataloguePath {
		granted = []oci.Access{catalogueAccess}
	}
	token, err := r.signer.sign(name, time.Now(), time.Minute, granted)
	if err != nil {
		refuse(w, http.StatusInternalServerError, "UNKNOWN", "no token could be signed")
		return false
	}
	request.Header.Set("Authorization", "Bearer "+token)
	return true
}

var anyPath = regexp.MustCompile(`^/v2/(.+)/(?:manifests|blobs|tags)/`)

func repositoryOf(path string) (string, bool) {
	match := anyPath.FindStringSubmatch(path)
	if match == nil {
		return "", false
	}
	return match[1], true
}

// count applies the rate limit, in Docker Hub's headers and words
// (https://docs.docker.com/docker-hub/usage/pulls/).
func (r *Registry) count(w http.ResponseWriter, request *http.Request) bool {
	authorized := request.Header.Get("Authorization") != ""
	now, ok := r.conditions.take(authorized && request.Method == http.MethodGet)
	if !now.set || !authorized {
		return true
	}
	window := int(now.window / time.Second)
	w.Header().Set("Ratelimit-Limit", fmt.Sprintf("%d;w=%d", now.limit, window))
	w.Header().Set("Ratelimit-Remaining", fmt.Sprintf("%d;w=%d", now.remaining, window))
	source := "127.0.0.1"
	if user := userOf(request.Header.Get("Authorization")); user != "" {
		source = AccountID(user)
	}
	w.Header().Set("Docker-Ratelimit-Source", source)
	if !ok {
		refuse(w, http.StatusTooManyRequests, oci.CodeTooManyRequests,
			"You have reached your pull rate limit. You may increase the limit by authenticating and upgrading: https://www.docker.com/increase-rate-limit")
	}
	return ok
}

// AccountID is what the rate limit's headers call a user.
func AccountID(user string) string {
	sum := sha256.Sum256([]byte(user))
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

// denied is the answer of a registry that knows who asks and does not allow
// it.
func denied(w http.ResponseWriter) {
	w.Header().Del("WWW-Authenticate")
	refuse(w, http.StatusForbidden, oci.CodeDenied, "The client does not have permission for manifest")
}

// signature is the query parameter that stands for the signature of a cloud.
const signature = "X-Amz-Signature"

// signedBlob is an address on the blob host that needs nothing else.
func (r *Registry) signedBlob(repository, path string) string {
	token, err := r.signer.sign("blob", time.Now(), time.Minute, []oci.Access{access(repository, "pull")})
	if err != nil {
		token = "" // which the blob host refuses
	}
	return (&url.URL{
		Scheme: "https", Host: r.options.BlobHost, Path: path,
		RawQuery: url.Values{signature: {token}}.Encode(),
	}).String()
}

// serveBlob is the cloud that blobs are kept in: it takes a signed address and
// refuses whoever shows another authorization besides.
func (r *Registry) serveBlob(w http.ResponseWriter, request *http.Request) {
	if request.Header.Get("Authorization") != "" {
		http.Error(w, "<Error><Code>InvalidArgument</Code><Message>Only one auth mechanism allowed</Message></Error>", http.StatusBadRequest)
		return
	}
	request.Header.Set("Authorization", "Bearer "+request.URL.Query().Get(signature))
	r.app.ServeHTTP(&rewriter{ResponseWriter: w, on: http.StatusUnauthorized, instead: func(w http.ResponseWriter) {
		http.Error(w, "<Error><Code>AccessDenied</Code></Error>", http.StatusForbidden)
	}}, request)
}

// rewriter gives another answer instead of one with a certain status.
type rewriter struct {
	http.ResponseWriter
	on        int
	instead   func(http.ResponseWriter)
	decided   bool
	rewritten bool
}

// WriteHeader decides which answer it is.
func (w *rewriter) WriteHeader(status int) {
	if w.decided {
		return
	}
	w.decided = true
	if status != w.on {
		w.ResponseWriter.WriteHeader(status)
		return
	}
	w.rewritten = true
	for _, name := range []string{"Content-Length", "Content-Type", "Etag", "Docker-Content-Digest", "Cache-Control", "Accept-Ranges"} {
		w.Header().Del(name)
	}
	w.instead(w.ResponseWriter)
}

// Write swallows what belongs to the answer that is not given.
func (w *rewriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.rewritten {
		return len(p), nil
	}
	return w.ResponseWriter.Write(p)
}
