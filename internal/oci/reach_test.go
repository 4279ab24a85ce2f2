package oci_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/oci"
)

func TestServicesReachTheHostsThatAreNamedAndFollowNobodyElsewhere(t *testing.T) {
	var elsewhere atomic.Int32
	f := newFarSide(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Host != registryHost {
			elsewhere.Add(1)
			return
		}
		if r.URL.Path == "/away" {
			http.Redirect(w, r, "https://"+authHost+"/", http.StatusTemporaryRedirect)
		}
	})
	client := &http.Client{Transport: f.transport.Services(registryHost)}
	response, err := client.Post("https://"+registryHost+"/", "text/plain", strings.NewReader("assertion"))
	if err != nil {
		t.Fatalf("the host that is named: %v", err)
	}
	_ = response.Body.Close()
	for _, address := range []string{"https://" + authHost + "/", "https://" + registryHost + "/away", "http://169.254.169.254/latest/", "https://127.0.0.1/"} {
		response, err := client.Post(address, "text/plain", strings.NewReader("assertion"))
		if err == nil {
			_ = response.Body.Close()
			t.Errorf("%s was reached", address)
		} else if !fault.Is(err, fault.Denied) {
			t.Errorf("%s: %v, want denied", address, err)
		}
	}
	if elsewhere.Load() != 0 {
		t.Errorf("%d requests arrived elsewhere", elsewhere.Load())
	}
}

func TestACredentialsOwnAddressAndCAAreForItAlone(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.ErrorLog = silent
	server.StartTLS()
	t.Cleanup(server.Close)
	base := newTransport(t, oci.Config{})
	own, err := base.With(oci.Reach{Addresses: map[string]string{registryHost: addressOf(server)}, CA: caOf(server)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(own.CloseIdleConnections)
	if _, err := oci.NewClient(own.For(registryHost)).Ping(t.Context(), oci.Anonymous); err != nil {
		t.Errorf("over the private endpoint: %v", err)
	}
	if _, err := oci.NewClient(base.For(registryHost)).Ping(t.Context(), oci.Anonymous); err == nil {
		t.Error("another credential goes the same way")
	}
	linkLocal, err := base.With(oci.Reach{Addresses: map[string]string{registryHost: "169.254.169.254:443"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := oci.NewClient(linkLocal.For(registryHost)).Ping(t.Context(), oci.Anonymous); !fault.Is(err, fault.Denied) {
		t.Errorf("a link-local endpoint: %v, want denied", err)
	}
}

func TestACredentialsOwnProxyIsUsedAndIsNeverLinkLocal(t *testing.T) {
	var asked atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodConnect && r.Host == registryHost+":443" {
			asked.Add(1)
		}
		http.Error(w, "no way", http.StatusBadGateway)
	}))
	t.Cleanup(proxy.Close)
	base := newTransport(t, oci.Config{})
	for _, address := range []string{proxy.URL, "http://169.254.169.254:3128"} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		own, err := base.With(oci.Reach{Proxy: u})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(own.CloseIdleConnections)
		_, err = oci.NewClient(own.For(registryHost)).Ping(t.Context(), oci.Anonymous)
		if err == nil || address != proxy.URL && !fault.Is(err, fault.Denied) {
			t.Errorf("%s: %v", address, err)
		}
	}
	if asked.Load() != 1 {
		t.Errorf("the proxy was asked %d times, want once", asked.Load())
	}
}
