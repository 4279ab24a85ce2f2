package grant_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/grant"
	"fairlead.dev/fairlead/internal/grant/granttest"
	"fairlead.dev/fairlead/internal/oci"
)

// proxy is a real one, which knows the way to a fake registry and counts the
// connections that it made.
type proxy struct {
	*httptest.Server
	connections atomic.Int32
}

// newProxy leads the hosts of a fake to its address, and knows no other.
func newProxy(t *testing.T, r *granttest.Registry) *proxy {
	t.Helper()
	p := new(proxy)
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if request.Method != http.MethodConnect || request.Host != r.Host()+":443" {
			http.Error(w, "no way there", http.StatusForbidden)
			return
		}
		far, err := net.Dial("tcp", r.Address())
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer func() { _ = far.Close() }()
		near, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = near.Close() }()
		p.connections.Add(1)
		if _, err := io.WriteString(near, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
			return
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = io.Copy(far, near)
			_ = far.Close()
		}()
		_, _ = io.Copy(near, far)
		_ = near.Close()
		<-done
	}))
	t.Cleanup(p.Close)
	return p
}

// alone is a setting whose server knows no way to the registry and does not
// trust it: what a credential says is all that there is.
func alone(t *testing.T) setting {
	t.Helper()
	s := newSetting(t, granttest.Options{})
	var err error
	if s.transport, err = oci.NewTransport(oci.Config{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.transport.CloseIdleConnections)
	s.catalogue = grant.NewCatalogue(grant.Config{Transport: s.transport})
	return s
}

func (s setting) reached(fields ...string) grant.Material {
	for i := 0; i < len(fields); i += 2 {
		s.material = s.with(fields[i], fields[i+1])
	}
	return s.material
}

func TestACredentialsOwnProxyCarriesItsExchangesAndChecks(t *testing.T) {
	s := alone(t)
	p := newProxy(t, s.Registry)
	material := s.reached("proxy", p.URL, "ca", string(s.CA()))
	if _, err := s.issue(t, material, "acme/train:v1"); err != nil {
		t.Fatal(err)
	}
	wantSteps(t, s.check(t, material, "acme/train:v1", s.Host()+"/acme/*"),
		"secret passed", "narrow passed", "repositories passed", "rights passed", "expiry unknown", "image passed")
	if p.connections.Load() == 0 {
		t.Error("the proxy carried nothing")
	}
	digest, err := s.catalogue.Digest(t.Context(), s.image(t, "acme/train:v1"), oci.Anonymous, material)
	if err == nil || digest != "" {
		t.Errorf("nobody got %s through the proxy", digest)
	}
}

func TestACredentialsPrivateEndpointAndCompanyCAAreUsedTogether(t *testing.T) {
	s := alone(t)
	endpoint := s.Host() + "=" + s.Address()
	g, err := s.issue(t, s.reached("addresses", endpoint, "ca", string(s.CA())), "acme/train:v1")
	if err != nil {
		t.Fatal(err)
	}
	if g.Reach.Addresses[s.Host()] != s.Address() || len(g.Reach.CA) == 0 {
		t.Errorf("the worker is not told the way: %+v", g.Reach.Addresses)
	}
	_, err = s.issue(t, s.reached("addresses", endpoint), "acme/train:v1")
	wantFault(t, err, fault.Unavailable, "tls_untrusted")
	if got := step(t, s.check(t, s.reached("addresses", endpoint), "", s.Host()+"/*"), grant.AskSecret); got.Code != "tls_untrusted" {
		t.Errorf("the check: %+v", got)
	}
}

func TestAWayThatLeadsNowhereIsToldAsWhatItIs(t *testing.T) {
	s := alone(t)
	p := newProxy(t, s.Registry)
	p.Close()
	_, err := s.issue(t, s.reached("proxy", p.URL), "acme/train:v1")
	wantFault(t, err, fault.Unavailable, "connection_refused")
	_, err = s.issue(t, s.reached("addresses", s.Host()+"=169.254.169.254:443"), "acme/train:v1")
	if !fault.Is(err, fault.Denied) {
		t.Errorf("a link-local address: %v", err)
	}
}

func TestAWayThatCannotBeRightIsRefusedWhenItIsEntered(t *testing.T) {
	s := alone(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	private := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	broken := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("no certificate")}))
	for _, test := range []struct{ field, value, code string }{
		{"proxy", "proxy.acme.example:3128", "proxy_address"},
		{"proxy", "socks5://proxy.acme.example", "proxy_address"},
		{"proxy", "http://", "proxy_address"},
		{"proxy", "http://:3128", "proxy_address"},
		{"proxy", "http://proxy:99999", "proxy_address"},
		{"proxy", "http://proxy.acme.example/path", "proxy_address"},
		{"proxy", "http://proxy.acme.example?a=b", "proxy_address"},
		{"proxy", "http://me:hunter2@proxy.acme.example", "proxy_userinfo"},
		{"ca", "corp-ca.pem", "ca_pem"},
		{"ca", broken, "ca_pem"},
		{"ca", private, "ca_other"},
		{"ca", string(s.CA()) + private, "ca_other"},
		{"addresses", "10.1.2.3:443", "address_pair"},
		{"addresses", "acme.example=10.1.2.3", "address_pair"},
		{"addresses", "acme.example=:443", "address_pair"},
		{"addresses", "acme.example=10.1.2.3:0", "address_pair"},
		{"addresses", "acme.example=10.1.2.3:https", "address_pair"},
		{"addresses", "https://acme.example=10.1.2.3:443", "address_pair"},
		{"addresses", "acme.example/v2=10.1.2.3:443", "address_pair"},
		{"addresses", "acme.example=10.1.2.3:443, ACME.example=10.1.2.4:443", "address_twice"},
	} {
		_, _, err := s.catalogue.Normalise(s.kind, s.with(test.field, test.value))
		f := wantFault(t, err, fault.Invalid, test.code)
		if len(f.Fields) != 1 || f.Fields[0].Name != test.field {
			t.Errorf("%s %q: fields %+v", test.field, test.value, f.Fields)
		}
	}
	for field, value := range map[string]string{
		"proxy":     "https://proxy.acme.example:3128/",
		"ca":        "# of the company\n" + string(s.CA()) + "\n" + string(s.CA()),
		"addresses": "acme.example=10.1.2.3:443\nacme.example:5000=[2001:db8::1]:5000, other.example=inside.example:443",
	} {
		if _, _, err := s.catalogue.Normalise(s.kind, s.with(field, value)); err != nil {
			t.Errorf("%s: %v", field, err)
		}
	}
}
