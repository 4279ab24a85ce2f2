package granttest_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/grant/granttest"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/secret"
)

// tokenFor asks a fake's token service for scopes as a user.
func tokenFor(t *testing.T, r *granttest.Registry, user, password string, scopes ...string) (oci.Token, error) {
	t.Helper()
	route := granttest.NewTransport(t, r).For(r.Host())
	challenges, err := oci.NewClient(route).Ping(t.Context(), oci.Anonymous)
	if err != nil || len(challenges) == 0 {
		t.Fatalf("challenges %v, %v", challenges, err)
	}
	if scopes == nil {
		scopes = []string{}
	}
	return route.FetchToken(t.Context(), oci.TokenRequest{Challenge: challenges[0], User: user, Password: secret.New(password), Scopes: scopes})
}

func TestEverybodySeesInTheListWhatTheyMayPullAndNobodySeesIt(t *testing.T) {
	for _, kind := range []granttest.Kind{granttest.Generic, granttest.Basic, granttest.JFrog} {
		r := granttest.New(t, granttest.Options{Kind: kind, Form: granttest.SubdomainForm, CataloguePage: 1})
		r.AddUser("ann", "a", granttest.Pull("acme/*"))
		r.AddUser("bob", "b", granttest.Pull("bob/*"))
		for _, name := range []string{"acme/one", "acme/two", "bob/one"} {
			if _, err := r.Push(t.Context(), name, "v1", randomImage(t)); err != nil {
				t.Fatal(err)
			}
		}
		client := oci.NewClient(granttest.NewTransport(t, r).For(r.Host()))
		for user, want := range map[string]oci.Listing{
			"ann": {Names: []string{"acme/one", "acme/two"}, Pages: 2},
			"bob": {Names: []string{"bob/one"}, Pages: 1},
		} {
			authorization := oci.Basic(user, secret.New(user[:1]))
			if kind != granttest.Basic {
				token, err := tokenFor(t, r, user, user[:1], oci.CatalogueScope)
				if err != nil {
					t.Fatal(err)
				}
				authorization = oci.Bearer(token.Value)
			}
			got, err := client.Repositories(t.Context(), oci.CataloguePath, authorization)
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("%s: %s sees (%v, -want +got):\n%s", kind, user, err, diff)
			}
		}
		if _, err := client.Repositories(t.Context(), oci.CataloguePath, oci.Anonymous); err == nil {
			t.Errorf("%s: nobody sees the list", kind)
		}
	}
}

func TestTheListIsForWhoAskedForItAlone(t *testing.T) {
	r := granttest.New(t, granttest.Options{})
	r.AddUser("ann", "a", granttest.Pull("acme/*"))
	token, err := tokenFor(t, r, "ann", "a", oci.PullScope("acme/one"))
	if err != nil {
		t.Fatal(err)
	}
	client := oci.NewClient(granttest.NewTransport(t, r).For(r.Host()))
	if _, err := client.Repositories(t.Context(), oci.CataloguePath, oci.Bearer(token.Value)); err == nil {
		t.Error("a token for a repository lists them all")
	}
}

func TestRightsToPushAndDeleteAreWhatTheRegistryItselfChecks(t *testing.T) {
	for _, kind := range []granttest.Kind{granttest.Basic, granttest.JFrog} {
		for right, want := range map[granttest.Right][2]oci.May{
			granttest.Pull("acme/*"):           {oci.MayNot, oci.MayNot},
			granttest.PullPush("acme/*"):       {oci.MaySo, oci.MayNot},
			granttest.PullPushDelete("acme/*"): {oci.MaySo, oci.MaySo},
		} {
			r := granttest.New(t, granttest.Options{Kind: kind})
			r.AddUser("ann", "a", right)
			if _, err := r.Push(t.Context(), "acme/one", "v1", randomImage(t)); err != nil {
				t.Fatal(err)
			}
			authorization := oci.Basic("ann", secret.New("a"))
			if kind == granttest.JFrog {
				token, err := tokenFor(t, r, "ann", "a", "repository:acme/one:pull,push,delete")
				if err != nil || token.SaysAccess {
					t.Fatalf("token that says %v, %v", token.Access, err)
				}
				authorization = oci.Bearer(token.Value)
			}
			client := oci.NewClient(granttest.NewTransport(t, r).For(r.Host()))
			push, err := client.TryPush(t.Context(), "acme/one", authorization)
			if err != nil {
				t.Fatal(err)
			}
			remove, err := client.TryDelete(t.Context(), "acme/one", authorization)
			if err != nil {
				t.Fatal(err)
			}
			if got := [2]oci.May{push, remove}; got != want {
				t.Errorf("%s with %+v: %v, want %v", kind, right, got, want)
			}
		}
	}
}

func TestALaxTokenServiceGivesAWrongSecretWhatNobodyGets(t *testing.T) {
	r := granttest.New(t, granttest.Options{Lax: true})
	r.AddUser("ann", "a", granttest.Pull("acme/*"))
	for password, grants := range map[string]bool{"a": true, "wrong": false} {
		token, err := tokenFor(t, r, "ann", password, oci.PullScope("acme/one"))
		if err != nil || token.Grants("acme/one") != grants {
			t.Errorf("with %s: grants %v, %v", password, token.Access, err)
		}
	}
}

func TestTheLimitsHeadersNameTheAccountAndCountNoHEAD(t *testing.T) {
	r := granttest.New(t, granttest.Options{Kind: granttest.DockerHub})
	r.AddUser("ann", "a")
	r.SetRateLimit(187, 200, 6*time.Hour)
	client := oci.NewClient(granttest.NewTransport(t, r).For(r.Host()))
	preview := image.MustParseReference("docker.io/ratelimitpreview/test")
	for user, source := range map[string]string{"ann": granttest.AccountID("ann"), "": "127.0.0.1"} {
		password := map[bool]string{true: "", false: "a"}[user == ""]
		token, err := tokenFor(t, r, user, password, oci.PullScope("ratelimitpreview/test"))
		if err != nil {
			t.Fatal(err)
		}
		limit, told, err := client.RateLimit(t.Context(), preview, oci.Bearer(token.Value))
		want := oci.RateLimit{Limit: 200, Remaining: 187, Window: 6 * time.Hour, Source: source}
		if diff := cmp.Diff(want, limit); diff != "" || !told || err != nil {
			t.Errorf("%q: told %v, %v, limit (-want +got):\n%s", user, told, err, diff)
		}
		if last, _ := client.LastLimit(); last != want {
			t.Errorf("%q: the last limit is %+v", user, last)
		}
	}
}

func TestAThrottledRegistryAsksForAWaitAndThenAnswers(t *testing.T) {
	r := granttest.New(t, granttest.Options{})
	r.Throttle(1, 7*time.Second)
	address := "https://" + r.Host() + "/v2/"
	if got := send(t, r, http.MethodGet, address, oci.Anonymous); got.StatusCode != http.StatusTooManyRequests || got.Header.Get("Retry-After") != "7" {
		t.Errorf("the first: %s, %s", got.Status, got.Header.Get("Retry-After"))
	}
	if got := send(t, r, http.MethodGet, address, oci.Anonymous); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("the second: %s", got.Status)
	}
	if n := r.Requests(); n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
}

func TestATokenServiceIsDownAlone(t *testing.T) {
	r := granttest.New(t, granttest.Options{})
	r.AddUser("ann", "a")
	r.SetTokenOutage(http.StatusBadGateway)
	if _, err := tokenFor(t, r, "ann", "a"); err == nil {
		t.Error("it gave a token")
	}
	r.SetTokenOutage(0)
	if _, err := tokenFor(t, r, "ann", "a"); err != nil {
		t.Error(err)
	}
}

func TestWhatIsHeldIsAnsweredOnceItIsReleased(t *testing.T) {
	r := granttest.New(t, granttest.Options{})
	release := r.Hold()
	answered := make(chan int)
	client := strangersTransport(t, r)
	go func() {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+r.Host()+"/v2/", http.NoBody)
		if err != nil {
			t.Error(err)
		}
		response, err := client.RoundTrip(request)
		if err != nil {
			t.Error(err)
			answered <- 0
			return
		}
		_ = response.Body.Close()
		answered <- response.StatusCode
	}()
	select {
	case status := <-answered:
		t.Errorf("it was answered with %d", status)
	default:
	}
	release()
	release()
	if status := <-answered; status != http.StatusUnauthorized {
		t.Errorf("it was answered with %d", status)
	}
}
