package oci

import (
	"net/http"
	"strings"

	"fairlead.dev/fairlead/internal/fault"
)

// mostRedirects is how many a registry may send after one request. Docker Hub
// and the clouds need one, a registry behind a moved name two.
const mostRedirects = 5

// guardRedirect applies the rules to a request that an http.Client makes
// because of a redirect: net/http then sets Response to the answer that caused
// it. The header of request is changed in place.
func (r *Route) guardRedirect(request *http.Request) error {
	var steps int
	var leftHost, blob bool
	for via := request.Response; via != nil && via.Request != nil; via = via.Request.Response {
		from := via.Request.URL
		if steps++; steps > mostRedirects {
			return fault.New(fault.Unavailable, "redirect_loop", "%s redirects in a circle: more than %d times for one request", r.api, mostRedirects).
				WithHint("Ask the registry's operator; nothing was downloaded.")
		}
		if from.Scheme == "https" && request.URL.Scheme != "https" {
			return fault.New(fault.Denied, "redirect_insecure", "%s redirects from https to %s without encryption, which is not followed", escape(from.Host), escape(request.URL.Host))
		}
		leftHost = leftHost || canonical(from.Host) != canonical(request.URL.Host)
		blob = blob || strings.Contains(from.Path, "/blobs/")
	}
	if leftHost && request.Method != http.MethodGet && request.Method != http.MethodHead {
		return fault.New(fault.Denied, "redirect_body", "%s redirects a %s request to %s, which is not followed", r.api, request.Method, escape(request.URL.Host))
	}
	if leftHost || blob {
		for _, secret := range []string{"Authorization", "Cookie", "Referer", "Proxy-Authorization"} {
			request.Header.Del(secret)
		}
	}
	return nil
}
