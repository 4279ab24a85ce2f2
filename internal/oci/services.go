package oci

import (
	"net/http"

	"fairlead.dev/fairlead/internal/fault"
)

// Services is the way to the APIs of the cloud behind a registry: an
// http.RoundTripper that reaches the named hosts and no other, each by the
// rules of a Route of its own. What an SDK puts into a body is therefore never
// sent to a host that the caller did not name. A host is a name with a port
// where it has one. The result is safe for concurrent use.
func (t *Transport) Services(hosts ...string) http.RoundTripper {
	s := services{routes: make(map[string]*Route, len(hosts))}
	for _, host := range hosts {
		route := t.For(host)
		s.routes[canonical(host)] = route
	}
	return s
}

type services struct{ routes map[string]*Route }

// RoundTrip sends the request if its host is one of those named.
func (s services) RoundTrip(request *http.Request) (*http.Response, error) {
	route, named := s.routes[canonical(request.URL.Host)]
	if !named {
		if request.Body != nil {
			_ = request.Body.Close()
		}
		return nil, fault.New(fault.Denied, "service_foreign", "%s is no service that this credential is sent to", escape(request.URL.Host)).
			WithHint("Check the endpoints in the credential's fields and in the server's settings.")
	}
	return route.RoundTrip(request)
}
