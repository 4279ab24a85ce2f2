package oci_test

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/oci"
)

func TestChallengesAreReadHoweverTheyAreWritten(t *testing.T) {
	bearer := oci.Challenge{Scheme: oci.SchemeBearer, Realm: "https://auth.example.com/token", Service: "registry", Scope: "repository:acme/train:pull,push"}
	basic := oci.Challenge{Scheme: oci.SchemeBasic, Realm: "Registry, the old one"}
	const (
		bearerText = `Bearer realm="https://auth.example.com/token",service="registry",scope="repository:acme/train:pull,push"`
		basicText  = `Basic realm="Registry, the old one"`
	)
	tests := map[string]struct {
		lines []string
		want  []oci.Challenge
	}{
		"one":                      {[]string{bearerText}, []oci.Challenge{bearer}},
		"two headers":              {[]string{basicText, bearerText}, []oci.Challenge{bearer, basic}},
		"two in one header":        {[]string{basicText + ", " + bearerText}, []oci.Challenge{bearer, basic}},
		"another scheme between":   {[]string{basicText + ", Negotiate, " + bearerText}, []oci.Challenge{bearer, basic}},
		"odd cases and spaces":     {[]string{`bEARER Realm="https://auth.example.com/token" , SERVICE="registry" ,scope="repository:acme/train:pull,push"`}, []oci.Challenge{bearer}},
		"an escaped quote":         {[]string{`Basic realm="a \"quoted, comma\" here", Bearer realm="r"`}, []oci.Challenge{{Scheme: oci.SchemeBearer, Realm: "r"}, {Scheme: oci.SchemeBasic, Realm: `a "quoted, comma" here`}}},
		"an error":                 {[]string{`Bearer realm="r",error="insufficient_scope"`}, []oci.Challenge{{Scheme: oci.SchemeBearer, Realm: "r", Error: "insufficient_scope"}}},
		"Basic without a realm":    {[]string{`Basic`}, []oci.Challenge{{Scheme: oci.SchemeBasic}}},
		"only an unknown scheme":   {[]string{`Negotiate`}, nil},
		"nothing":                  {nil, nil},
		"an empty header":          {[]string{""}, nil},
		"a quote that never ends":  {[]string{`Bearer realm="https://auth`}, []oci.Challenge{{Scheme: oci.SchemeBearer}}},
		"more than anybody offers": {[]string{longHeader(), bearerText}, []oci.Challenge{bearer}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := oci.ParseChallenges(http.Header{"Www-Authenticate": test.lines})
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("challenges (-want +got):\n%s", diff)
			}
		})
	}
}

func longHeader() string {
	b := []byte(`Basic realm="`)
	for range 20_000 {
		b = append(b, 'x')
	}
	return string(b) + `"`
}

func FuzzParseChallenges(f *testing.F) {
	f.Add(`Bearer realm="https://auth.example.com/token",service="registry"`)
	f.Add(`Basic realm="a, b", Bearer realm="\"", Negotiate`)
	f.Add(`Bearer realm=,,=",\`)
	f.Fuzz(func(t *testing.T, line string) {
		challenges := oci.ParseChallenges(http.Header{"Www-Authenticate": {line}})
		if len(challenges) > 16 {
			t.Errorf("%d challenges", len(challenges))
		}
		seenBasic := false
		for _, c := range challenges {
			seenBasic = seenBasic || c.Scheme == oci.SchemeBasic
			if c.Scheme == oci.SchemeBearer && seenBasic {
				t.Error("Basic stands before Bearer")
			}
			if c.Scheme != oci.SchemeBasic && c.Scheme != oci.SchemeBearer {
				t.Errorf("scheme %q", c.Scheme)
			}
		}
	})
}
