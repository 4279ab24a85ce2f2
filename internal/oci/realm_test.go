package oci_test

import (
	"testing"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/oci"
)

func TestACredentialGoesToTheTokenServiceOfTheRegistryAndToNoOther(t *testing.T) {
	transport := newTransport(t, oci.Config{
		Hosts:      []oci.HostRule{{Host: "plain.example.org", PlainHTTP: true}},
		RealmHosts: map[string][]string{"registry.example.org": {"login.example.net"}},
	})
	tests := []struct {
		registry, realm string
		code            string // "" where it is allowed
	}{
		{"registry.example.org", "https://registry.example.org/token", ""},
		{"registry.example.org", "https://registry.example.org:8443/token", ""},
		{"registry.example.org", "https://REGISTRY.example.org:443/token", ""},
		{"registry.example.org", "https://auth.example.org/token", ""},
		{"registry.example.org", "https://login.example.net/token", ""},
		{"other.example.org", "https://login.example.net/token", "realm_foreign"},
		{"registry.example.org", "https://example.com/token", "realm_foreign"},
		{"registry.example.org", "https://registry.example.org.evil.net/token", "realm_foreign"},
		{"registry.example.org", "https://169.254.169.254/token", "realm_foreign"},
		{"registry.example.org", "https://localhost/token", "realm_foreign"},

		{"docker.io", "https://auth.docker.io/token", ""},
		{"docker.io", "https://auth.docker.com/token", "realm_foreign"},
		{"registry.gitlab.com", "https://gitlab.com/jwt/auth", ""},
		{"acme.jfrog.io", "https://acme.jfrog.io/v2/token", ""},

		// Names below a public suffix are owned by different people.
		{"acme.github.io", "https://evil.github.io/token", "realm_foreign"},
		{"registry.co.uk", "https://auth.co.uk/token", "realm_foreign"},
		{"10.0.0.5", "https://10.0.0.6/token", "realm_foreign"},
		{"10.0.0.5", "https://10.0.0.5:8443/token", ""},

		{"registry.example.org", "http://registry.example.org/token", "realm_insecure"},
		{"registry.example.org", "ftp://registry.example.org/token", "realm_insecure"},
		{"plain.example.org", "http://plain.example.org/token", ""},
		{"plain.example.org", "http://auth.example.org/token", "plain_http"},
		{"plain.example.org", "https://auth.example.org/token", ""},
		{"localhost:5000", "http://localhost:5001/token", ""},

		{"registry.example.org", "https://user:hunter2@registry.example.org/token", "realm_userinfo"},
		{"registry.example.org", "Registry Realm", "realm_invalid"},
		{"registry.example.org", "", "realm_invalid"},
		{"registry.example.org", "https://:443/token", "realm_invalid"},
		{"registry.example.org", "https:registry.example.org", "realm_invalid"},
		{"registry.example.org", "/token", "realm_invalid"},
	}
	for _, test := range tests {
		t.Run(test.registry+" names "+test.realm, func(t *testing.T) {
			_, err := transport.For(test.registry).Realm(test.realm)
			if test.code == "" {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			wantFault(t, err, fault.Denied, test.code, "hunter2")
		})
	}
}
