package oci_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/diagnosis"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/oci"
)

func TestEachAnswerOfARegistryHasADiagnosis(t *testing.T) {
	jsonType := []string{"Content-Type", "application/json"}
	tests := map[string]struct {
		handler http.HandlerFunc
		kind    fault.Kind
		code    string
	}{
		"down":               {answer(503, "upstream error"), fault.Unavailable, "registry_down"},
		"a bare 429":         {answer(429, ""), fault.Exhausted, "rate_limited"},
		"429 in words":       {answer(400, `{"errors":[{"code":"TOOMANYREQUESTS"}]}`, jsonType...), fault.Exhausted, "rate_limited"},
		"a login page":       {answer(200, "<html>please log in</html>", "Content-Type", "text/html; charset=utf-8"), fault.Unavailable, "not_a_registry"},
		"a page for missing": {answer(404, "<!DOCTYPE html><html>nothing here</html>"), fault.Unavailable, "not_a_registry"},
		"who are you":        {answer(401, `{"errors":[{"code":"UNAUTHORIZED"}]}`, "WWW-Authenticate", `Bearer realm="r"`), fault.Unauthenticated, "unauthorized"},
		"not you":            {answer(401, "", "WWW-Authenticate", `Bearer realm="r",error="insufficient_scope"`), fault.Denied, "no_pull_right"},
		"denied":             {answer(403, `{"errors":[{"code":"DENIED"}]}`, jsonType...), fault.Denied, "access_denied"},
		"denied with 400":    {answer(400, `{"errors":[{"code":"DENIED"}]}`, jsonType...), fault.Denied, "access_denied"},
		"no repository":      {answer(404, `{"errors":[{"code":"NAME_UNKNOWN"}]}`, jsonType...), fault.NotFound, "repository_not_found"},
		"no tag":             {answer(404, `{"errors":[{"code":"MANIFEST_UNKNOWN"}]}`, jsonType...), fault.NotFound, "image_not_found"},
		"a bare 404":         {answer(404, ""), fault.NotFound, "image_not_found"},
		"a strange success":  {answer(204, ""), fault.Unavailable, "not_a_registry"},
		"a strange refusal":  {answer(418, "short and stout"), fault.Unavailable, "registry_refused"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFarSide(t, test.handler)
			_, _, err := f.client().Manifest(t.Context(), train, oci.Anonymous)
			got := wantFault(t, diagnosis.Of(err, diagnosis.Subject{Service: diagnosis.Registry, Image: train}), test.kind, test.code)
			if got.Hint == "" {
				t.Error("there is no next step")
			}
			if _, err := f.client().ResolveManifest(t.Context(), train, oci.Anonymous); err == nil {
				t.Error("resolving it found something")
			} else if resolved := diagnosis.Of(err, diagnosis.Subject{Service: diagnosis.Registry, Image: train}); name != "429 in words" && name != "denied with 400" && name != "a page for missing" && resolved.Code != test.code {
				t.Errorf("resolving it says %s, want %s", resolved.Code, test.code)
			}
		})
	}
}

func TestEachFailureOfTheNetworkHasADiagnosis(t *testing.T) {
	server := newFarSide(t, answer(200, "")).Server
	plain := httptest.NewServer(answer(200, ""))
	t.Cleanup(plain.Close)
	closing := listen(t, func(c net.Conn) { _ = c.Close() })
	mute := listen(t, func(net.Conn) {})
	rule := func(host, address string, ca []byte) oci.Config {
		return oci.Config{Hosts: []oci.HostRule{{Host: host, Address: address, CA: ca}}}
	}
	impatient := rule(registryHost, mute, nil)
	impatient.TLSTimeout = time.Millisecond
	expired, expiredCA := expiredServer(t)
	tests := map[string]struct {
		config oci.Config
		code   string
	}{
		"nobody listens":          {rule(registryHost, freeAddress(t), nil), "connection_refused"},
		"a private authority":     {rule(registryHost, addressOf(server), nil), "tls_untrusted"},
		"another authority":       {rule(registryHost, addressOf(server), expiredCA), "tls_untrusted"},
		"an expired certificate":  {rule(registryHost, expired, expiredCA), "tls_expired"},
		"no TLS":                  {rule(registryHost, addressOf(plain), nil), "tls_missing"},
		"it hangs up":             {rule(registryHost, closing, nil), "connection_lost"},
		"it says nothing":         {impatient, "timeout"},
		"the name does not exist": {oci.Config{Resolver: resolver(t, nil)}, "dns_unknown"},
		"the name leads inside":   {oci.Config{Resolver: resolver(t, net.IPv4(127, 0, 0, 1))}, "address_forbidden"},
		"the name leads to a spy": {oci.Config{Resolver: resolver(t, net.IPv4(169, 254, 169, 254))}, "address_forbidden"},
		"the name server is broken": {oci.Config{Resolver: &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
			return nil, errors.New("no name server")
		}}}, "dns_failed"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			client := oci.NewClient(newTransport(t, test.config).For(registryHost))
			_, err := client.Ping(t.Context(), oci.Anonymous)
			kind := fault.Unavailable
			if test.code == "address_forbidden" {
				kind = fault.Denied
			}
			wantFault(t, diagnosis.Of(err, diagnosis.Subject{Service: diagnosis.Registry, Image: train}), kind, test.code)
		})
	}
	t.Run("a certificate for another host", func(t *testing.T) {
		other := newTransport(t, rule("registry.example.org", addressOf(server), caOf(server))).For("registry.example.org")
		_, err := oci.NewClient(other).Ping(t.Context(), oci.Anonymous)
		wantFault(t, diagnosis.Of(err, diagnosis.Subject{Service: diagnosis.Registry, Image: train}), fault.Unavailable, "tls_name")
	})
	t.Run("broken off by the caller", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := oci.NewClient(newTransport(t, rule(registryHost, mute, nil)).For(registryHost)).Ping(ctx, oci.Anonymous)
		wantFault(t, diagnosis.Of(err, diagnosis.Subject{Service: diagnosis.Registry, Image: train}), fault.Unavailable, "cancelled")
	})
}

func TestDiagnoseKnowsErrorsThatNoTestCanCause(t *testing.T) {
	tests := map[string]error{
		"network_unreachable": syscall.EHOSTUNREACH,
		"connection_lost":     syscall.ECONNRESET,
		"timeout":             context.DeadlineExceeded,
		"tls_failed":          tls.AlertError(40),
		"network_failed":      errors.New("something else"),
	}
	for code, err := range tests {
		wantFault(t, diagnosis.Of(fmt.Errorf("asking: %w", err), diagnosis.Subject{Service: diagnosis.Registry, Image: train}), fault.Unavailable, code)
	}
	if diagnosis.Of(nil, diagnosis.Subject{Service: diagnosis.Registry, Image: train}) != nil {
		t.Error("no error has a diagnosis")
	}
	known := fault.New(fault.Denied, "x", "x")
	if got := diagnosis.Of(fmt.Errorf("asking: %w", known), diagnosis.Subject{Service: diagnosis.Registry, Image: train}); got != known {
		t.Errorf("a fault became %v", got)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// listen gives each connection to handle, and closes them all at the end.
func listen(t *testing.T, handle func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			defer func() { _ = conn.Close() }()
			handle(conn)
		}
	}()
	t.Cleanup(func() { _ = listener.Close(); <-done })
	return listener.Addr().String()
}

// expiredServer has a certificate for the registry that has run out.
func expiredServer(t *testing.T) (address string, ca []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: registryHost}, DNSNames: []string{registryHost},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(answer(200, ""))
	server.Config.ErrorLog = silent
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	server.StartTLS()
	t.Cleanup(server.Close)
	return addressOf(server), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
