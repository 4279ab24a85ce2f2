package app

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/fault"
)

func TestAClientIsWhoATrustedProxySaysAndNobodyElse(t *testing.T) {
	proxies, err := trustedProxies([]string{"10.1.0.7", "10.2.0.0/24", "fd00::/64"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, connection, forwarded, want string }{
		{"a client without a proxy", "198.51.100.7:4711", "", "198.51.100.7:4711"},
		{"who is no proxy is not believed", "198.51.100.7:4711", "192.0.2.1", "198.51.100.7:4711"},
		{"a client of a proxy", "10.1.0.7:4711", "192.0.2.1", "192.0.2.1:0"},
		{"a proxy that says nothing", "10.1.0.7:4711", "", "10.1.0.7:4711"},
		{"a proxy that says nonsense", "10.1.0.7:4711", "unknown", "10.1.0.7:4711"},
		{"what the client wrote itself", "10.1.0.7:4711", "127.0.0.1, 192.0.2.66, 192.0.2.1", "192.0.2.1:0"},
		{"two proxies", "10.1.0.7:4711", "192.0.2.1, 10.2.0.9", "192.0.2.1:0"},
		{"nonsense behind a proxy", "10.1.0.7:4711", "x, 10.2.0.9", "10.2.0.9:0"},
		{"a neighbour of a proxy", "10.1.0.8:4711", "192.0.2.1", "10.1.0.8:4711"},
		{"with a port", "10.1.0.7:4711", "192.0.2.1:55555", "192.0.2.1:0"},
		{"IPv6", "[fd00::1]:4711", "[2001:db8::1]:55555", "[2001:db8::1]:0"},
		{"IPv6 without a port", "[fd00::1]:4711", "2001:db8::1", "[2001:db8::1]:0"},
		{"IPv4 in IPv6", "[::ffff:10.1.0.7]:4711", "::ffff:192.0.2.1", "192.0.2.1:0"},
		{"a pipe", "@", "192.0.2.1", "@"},
	} {
		var got string
		handler := behind(proxies, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.RemoteAddr }))
		request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		request.RemoteAddr = c.connection
		for hop := range strings.SplitSeq(c.forwarded, ", ") { // lines of one header are one list
			if hop != "" {
				request.Header.Add("X-Forwarded-For", hop)
			}
		}
		handler.ServeHTTP(httptest.NewRecorder(), request)
		if got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

func TestAProxyIsAnAddressOrANetwork(t *testing.T) {
	for _, text := range []string{"proxy.corp.example", "10.1.0.7/24", "10.1.0.7:80", "", "10.1.0.0/33"} {
		if _, err := trustedProxies([]string{"10.1.0.7", text}); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "trusted-proxy") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzForwardedFor(f *testing.F) {
	proxies, err := trustedProxies([]string{"10.0.0.0/8"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("10.1.0.7:1", "192.0.2.1, 10.1.0.9")
	f.Add("[::ffff:10.1.0.7]:1", ",,[fe80::1%eth0]:5")
	f.Fuzz(func(t *testing.T, connection, forwarded string) {
		client, found := clientOf(proxies, connection, []string{forwarded})
		if found && (!client.IsValid() || client.Zone() != "" || client.Is4In6()) {
			t.Errorf("%q from %q is %v", forwarded, connection, client)
		}
	})
}
