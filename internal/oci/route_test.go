package oci_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"fairlead.dev/fairlead/internal/diagnosis"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/secret"
)

func TestAHostRuleLeadsANameToAnAddressWithItsOwnAuthority(t *testing.T) {
	var host string
	server := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { host = r.Host }))
	t.Cleanup(server.Close)
	transport := newTransport(t, oci.Config{Hosts: []oci.HostRule{{Host: "Registry.example.com:443", Address: addressOf(server), CA: caOf(server)}}})
	for _, route := range []*oci.Route{transport.For(registryHost), transport.ForStranger(registryHost)} {
		if _, err := oci.NewClient(route).Ping(t.Context(), oci.Anonymous); err != nil {
			t.Fatal(err)
		}
		if host != registryHost {
			t.Errorf("the registry was asked as %q", host)
		}
	}
}

func TestDockerHubIsAskedOnTheHostOfItsAPI(t *testing.T) {
	transport := newTransport(t, oci.Config{})
	if host := transport.For("docker.io").Host(); host != "registry-1.docker.io" {
		t.Errorf("host = %s", host)
	}
}

func TestALoopbackRegistryIsReachedOnlyIfAnAdminEnteredIt(t *testing.T) {
	server := httptest.NewServer(answer(200, "{}"))
	t.Cleanup(server.Close)
	transport := newTransport(t, oci.Config{})
	address := addressOf(server)
	if _, err := oci.NewClient(transport.For(address)).Ping(t.Context(), oci.Anonymous); err != nil {
		t.Errorf("entered: %v", err)
	}
	// The connection of the first is idle now, and is not the stranger's.
	_, err := oci.NewClient(transport.ForStranger(address)).Ping(t.Context(), oci.Anonymous)
	wantFault(t, diagnosis.Of(err, diagnosis.Subject{Service: diagnosis.Registry, Image: train}), fault.Denied, "address_forbidden")
}

func TestALinkLocalAddressIsReachedByNobody(t *testing.T) {
	transport := newTransport(t, oci.Config{Hosts: []oci.HostRule{{Host: registryHost, Address: "169.254.169.254:80", PlainHTTP: true}}})
	for _, host := range []string{registryHost, "169.254.169.254"} {
		_, err := oci.NewClient(transport.For(host)).Ping(t.Context(), oci.Anonymous)
		wantFault(t, diagnosis.Of(err, diagnosis.Subject{Service: diagnosis.Registry, Image: train}), fault.Denied, "address_forbidden")
	}
}

func TestACredentialIsNotSentToAHostThatIsNotTheRegistrys(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("%s was asked", r.Host)
	}))
	t.Cleanup(server.Close)
	transport := newTransport(t, oci.Config{Hosts: []oci.HostRule{{Host: "foreign.example.com", Address: addressOf(server), CA: caOf(server)}}})
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://foreign.example.com/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	oci.Basic("robot", secret.New("hunter2")).Apply(request)
	response, err := transport.For("registry.example.org").RoundTrip(request)
	if err == nil {
		_ = response.Body.Close()
	}
	wantFault(t, err, fault.Denied, "credential_elsewhere", "hunter2")
}

func TestARegistryWithoutTLSIsReachedOnlyWhereARuleAllowsIt(t *testing.T) {
	server := httptest.NewServer(answer(200, "{}"))
	t.Cleanup(server.Close)
	allowed := newTransport(t, oci.Config{Hosts: []oci.HostRule{{Host: registryHost, Address: addressOf(server), PlainHTTP: true}}}).For(registryHost)
	if _, err := oci.NewClient(allowed).Ping(t.Context(), oci.Anonymous); err != nil || allowed.Scheme() != "http" {
		t.Errorf("%s: %v", allowed.Scheme(), err)
	}
	refused := newTransport(t, oci.Config{Hosts: []oci.HostRule{{Host: registryHost, Address: addressOf(server)}}}).For(registryHost)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://registry.example.com/v2/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := refused.RoundTrip(request)
	if err == nil {
		_ = response.Body.Close()
	}
	wantFault(t, err, fault.Denied, "plain_http")
}

func TestAWrongHostRuleIsNamed(t *testing.T) {
	tests := map[string]struct {
		rules []oci.HostRule
		code  string
	}{
		"no name":         {[]oci.HostRule{{}}, "host_name"},
		"a URL":           {[]oci.HostRule{{Host: "https://registry.example.com"}}, "host_name"},
		"a path":          {[]oci.HostRule{{Host: "registry.example.com/acme"}}, "host_name"},
		"twice":           {[]oci.HostRule{{Host: "docker.io"}, {Host: "registry-1.docker.io:443"}}, "host_twice"},
		"no port":         {[]oci.HostRule{{Host: "a.example.com", Address: "10.0.0.1"}}, "host_address"},
		"no certificates": {[]oci.HostRule{{Host: "a.example.com", CA: []byte("none")}}, "ca_pem"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := oci.NewTransport(oci.Config{Hosts: test.rules})
			wantFault(t, err, fault.Invalid, test.code)
		})
	}
	_, err := oci.NewTransport(oci.Config{CA: []byte("none")})
	wantFault(t, err, fault.Invalid, "ca_pem")
}

func Example() {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="https://auth.example.com/token",service="registry"`)
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, "{}")
	}))
	defer server.Close()
	transport, err := oci.NewTransport(oci.Config{Hosts: []oci.HostRule{
		{Host: "registry.example.com", Address: addressOf(server), CA: caOf(server)},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	client := oci.NewClient(transport.For("registry.example.com"))
	challenges, err := client.Ping(context.Background(), oci.Anonymous)
	fmt.Println(challenges[0].Realm, err)
	// Output: https://auth.example.com/token <nil>
}

func TestRequestsSideBySideShareNoConnection(t *testing.T) {
	const requests = 3
	var together sync.WaitGroup
	var mu sync.Mutex
	connections := make(map[string]string)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		connections[r.RemoteAddr] = r.Proto
		mu.Unlock()
		together.Done()
		together.Wait()
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	transport := newTransport(t, oci.Config{Hosts: []oci.HostRule{{Host: registryHost, Address: addressOf(server), CA: caOf(server)}}})
	for _, c := range []struct {
		route    *oci.Route
		requests int
		protocol string
	}{
		{transport.For(registryHost), 1, "HTTP/2.0"},
		{transport.For(registryHost).SideBySide(), requests, "HTTP/1.1"},
	} {
		clear(connections)
		together.Add(c.requests)
		var group errgroup.Group
		for range c.requests {
			group.Go(func() error {
				request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.route.URL("/v2/").String(), http.NoBody)
				if err != nil {
					return err
				}
				response, err := c.route.RoundTrip(request)
				if err != nil {
					return err
				}
				return response.Body.Close()
			})
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
		got := slices.Collect(maps.Values(connections))
		if diff := cmp.Diff(slices.Repeat([]string{c.protocol}, c.requests), got); diff != "" {
			t.Errorf("protocols of the connections (-want +got):\n%s", diff)
		}
	}
}
