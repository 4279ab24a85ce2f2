package granttest_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"fairlead.dev/fairlead/internal/grant/granttest"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/secret"
)

func TestMain(m *testing.M) {
	// distribution has no way to end its sender of events.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/docker/go-events.(*Broadcaster).run"))
}

// send asks a host of a fake for a path.
func send(t *testing.T, r *granttest.Registry, method, address string, who oci.Authorization) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, address, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	who.Apply(request)
	response, err := strangersTransport(t, r).RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	return response
}

func TestBlobsAreOnAHostThatTakesTheSignedAddressAndNoToken(t *testing.T) {
	r := granttest.New(t, granttest.Options{BlobHost: "blobs.acme.example"})
	r.AddUser("robot", "s3cret", granttest.Pull("acme/train"))
	pushed := randomImage(t)
	if _, err := r.Push(t.Context(), "acme/train", "v1", pushed); err != nil {
		t.Fatal(err)
	}
	layers, err := pushed.Layers()
	if err != nil {
		t.Fatal(err)
	}
	hash, err := layers[0].Digest()
	if err != nil {
		t.Fatal(err)
	}
	token := oci.Bearer(secret.New(fetch(t, r, "robot", "s3cret")))
	blob := "https://registry.acme.example/v2/acme/train/blobs/" + hash.String()
	if got := send(t, r, http.MethodGet, blob, oci.Anonymous); got.StatusCode != http.StatusUnauthorized || got.Header.Get("Location") != "" {
		t.Errorf("nobody got %s and %s", got.Status, got.Header.Get("Location"))
	}
	redirected := send(t, r, http.MethodGet, blob, token)
	location, err := url.Parse(redirected.Header.Get("Location"))
	if err != nil || redirected.StatusCode != http.StatusTemporaryRedirect || location.Host != "blobs.acme.example" {
		t.Fatalf("the blob was answered with %s to %s (%v)", redirected.Status, location, err)
	}
	if got := send(t, r, http.MethodGet, location.String(), oci.Anonymous); got.StatusCode != http.StatusOK {
		t.Errorf("the signed address answered %s", got.Status)
	}
	if got := send(t, r, http.MethodGet, location.String(), token); got.StatusCode != http.StatusBadRequest {
		t.Errorf("a token besides the signature answered %s", got.Status)
	}
	location.RawQuery = ""
	if got := send(t, r, http.MethodGet, location.String(), oci.Anonymous); got.StatusCode != http.StatusForbidden {
		t.Errorf("no signature answered %s", got.Status)
	}
	if n := r.BlobRequests("acme/train"); n != 2 {
		t.Errorf("%d blobs were asked for, want 2", n)
	}
}

func TestARefreshTokenIsTradedWithPOSTAsLongAsItsUserHolds(t *testing.T) {
	r := granttest.New(t, granttest.Options{PostOnly: true})
	r.AddUser("robot", "s3cret", granttest.Pull("acme/*"))
	route := granttest.NewTransport(t, r).For(r.Host())
	ask := func(token string) (oci.Token, error) {
		return route.FetchToken(t.Context(), oci.TokenRequest{
			Challenge:  oci.Challenge{Scheme: oci.SchemeBearer, Realm: "https://registry.acme.example/service/token", Service: r.Host()},
			Repository: "acme/train", Password: secret.New(token),
		})
	}
	refresh := r.RefreshToken("robot")
	token, err := ask(refresh)
	if err != nil || !token.OnlyPulls("acme/train") {
		t.Errorf("token %+v, %v", token, err)
	}
	r.SetState("robot", granttest.Revoked)
	for _, refused := range []string{refresh, "another"} {
		if _, err := ask(refused); err == nil {
			t.Error("a refresh token that does not hold was taken")
		}
	}
	want := []granttest.Exchange{
		{Method: "POST", User: "robot", Scope: "repository:acme/train:pull"},
		{Method: "POST", User: "robot", Scope: "repository:acme/train:pull"},
		{Method: "POST", User: "", Scope: "repository:acme/train:pull"},
	}
	if diff := cmp.Diff(want, r.ExchangeLog()); diff != "" {
		t.Errorf("exchanges (-want +got):\n%s", diff)
	}
}

func TestOnlyManifestsThatAreGotCountAgainstTheRateLimit(t *testing.T) {
	r := granttest.New(t, granttest.Options{})
	r.AddUser("robot", "s3cret", granttest.Pull("acme/train"))
	if _, err := r.Push(t.Context(), "acme/train", "v1", randomImage(t)); err != nil {
		t.Fatal(err)
	}
	r.SetRateLimit(1, 100, time.Hour)
	authorization := oci.Bearer(secret.New(fetch(t, r, "robot", "s3cret")))
	client := oci.NewClient(granttest.NewTransport(t, r).For(r.Host()))
	ref := image.MustParseReference("registry.acme.example/acme/train:v1")
	for range 3 {
		if _, err := client.ResolveManifest(t.Context(), ref, authorization); err != nil {
			t.Fatalf("HEAD: %v", err)
		}
	}
	if _, _, err := client.Manifest(t.Context(), ref, authorization); err != nil {
		t.Errorf("the first GET: %v", err)
	}
	if _, _, err := client.Manifest(t.Context(), ref, authorization); err == nil || !strings.Contains(err.Error(), "429") {
		t.Errorf("the second GET: %v", err)
	}
	if n := r.ManifestRequests("acme/train"); n != 5 {
		t.Errorf("%d manifests were asked for, want 5", n)
	}
}

func TestRightsThatAreTakenAwayAreNotInTheNextToken(t *testing.T) {
	r := granttest.New(t, granttest.Options{NoRight: granttest.Refuse403})
	r.AddUser("robot", "s3cret", granttest.Pull("acme/train"))
	before := oci.Bearer(secret.New(fetch(t, r, "robot", "s3cret")))
	r.SetRights("robot")
	address := "https://registry.acme.example/service/token?service=x&scope=repository:acme/train:pull"
	if got := send(t, r, http.MethodGet, address, oci.Basic("robot", secret.New("s3cret"))); got.StatusCode != http.StatusForbidden {
		t.Errorf("the next token: %s", got.Status)
	}
	if got := send(t, r, http.MethodGet, "https://registry.acme.example/v2/acme/train/manifests/v1", before); got.StatusCode != http.StatusNotFound {
		t.Errorf("the token that was given out before: %s", got.Status)
	}
}
