package worker

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/client"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/wire"
)

// workerToken is the worker's own.
const workerToken = "s3cret-worker-token"

func runOf(t *testing.T, server string, cache Cache) *run {
	t.Helper()
	api, err := client.New(client.Config{Server: server, Token: secret.New(workerToken)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(api.Close)
	cache.Token = secret.New(workerToken)
	return &run{worker: New(Config{Client: api, Cache: cache}), lease: wire.Lease{ID: "lease-1"}}
}

func TestEachGrantOpensItsWaysInTheirOrder(t *testing.T) {
	const server, near = "http://fairlead.example", "https://near.example"
	plain := wire.Grant{Host: "registry.acme.example", Credential: "acme", Scheme: "bearer", ExpiresAt: wire.NewTime(time.Now().Add(time.Hour))}
	kept, own := plain, plain
	kept.Scheme, kept.Through = "anonymous", new(wire.GrantThrough)
	own.Role = &wire.GrantRole{Kind: "aws-ecr-role"}
	for name, test := range map[string]struct {
		cache Cache
		grant wire.Grant
		want  []string // hosts of caches; "": the registry
	}{
		"not told":                                   {Cache{}, plain, []string{""}},
		"not told, and the secret is kept":           {Cache{}, kept, []string{"fairlead.example"}},
		"the server's cache":                         {Cache{Always: true}, plain, []string{"fairlead.example", ""}},
		"the server's cache, and the secret is kept": {Cache{Always: true}, kept, []string{"fairlead.example"}},
		"another cache":                              {Cache{Always: true, URL: near}, plain, []string{"near.example", ""}},
		"another cache, and the secret is kept":      {Cache{Always: true, URL: near}, kept, []string{"near.example", "fairlead.example"}},
		"a role of the worker's own":                 {Cache{Always: true, URL: near}, own, []string{""}},
	} {
		r := runOf(t, server, test.cache)
		ways, err := r.ways(test.grant, &grants{run: r, current: test.grant})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var got []string
		for _, way := range ways {
			got = append(got, way.route.Cache())
			shown, err := way.authorize(t.Context(), false)
			isToken := shown.User() == "lease-1" && shown.Secret().Reveal() == workerToken
			if isToken != (way.route.Cache() != "") || err != nil {
				t.Errorf("%s: %q is shown %s of %q (%v)", name, way.route.Cache(), shown, shown.User(), err)
			}
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: by way of %q, want %q", name, got, test.want)
		}
	}
}

// An admin of an organisation says with a credential how its registry is reached. That
// must not have the worker's token sent to a machine of theirs.
func TestNoCredentialLeadsAWorkersTokenElsewhere(t *testing.T) {
	var spied []string
	spy := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		spied = append(spied, r.Host+r.URL.String())
	}))
	t.Cleanup(spy.Close)
	var shown string
	cache := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, shown, _ = r.BasicAuth()
	}))
	t.Cleanup(cache.Close)
	at, err := url.Parse(cache.URL)
	if err != nil {
		t.Fatal(err)
	}
	r := runOf(t, cache.URL, Cache{Always: true})
	for _, reach := range []wire.RegistryReach{
		{Addresses: at.Host + "=" + spy.Listener.Addr().String()},
		{Proxy: spy.URL},
	} {
		shown = ""
		grant := wire.Grant{
			Host: at.Host, Credential: "rival", Reach: &reach,
			Route: &wire.RegistryRoute{Address: spy.Listener.Addr().String(), PlainHTTP: true},
		}
		ways, err := r.ways(grant, &grants{run: r, current: grant})
		if err != nil {
			t.Fatal(err)
		}
		authorization, err := ways[0].authorize(t.Context(), false)
		if err != nil {
			t.Fatal(err)
		}
		ref := image.MustParseReference("registry.example/a/b:v1")
		_, _ = oci.NewClient(ways[0].route).Ping(t.Context(), authorization)
		_, _, _ = oci.NewClient(ways[0].route).Manifest(t.Context(), ref, authorization)
		if shown != workerToken || len(spied) > 0 {
			t.Errorf("%+v: the cache was shown %q, and another machine asked for %q", reach, shown, spied)
		}
	}
}
