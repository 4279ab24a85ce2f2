package oci_test

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/diagnosis"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/secret"
)

const password = "s3cret-password"

// ask asks the far side's token service, on the host auth.example.com.
func (f farSide) ask(t *testing.T, user string) (oci.Token, error) {
	t.Helper()
	return f.route().FetchToken(t.Context(), oci.TokenRequest{
		Challenge: oci.Challenge{
			Scheme: oci.SchemeBearer, Realm: "https://auth.example.com/token?region=eu", Service: "registry",
			Scope: "repository:acme/train:pull,push,delete",
		},
		Repository: "acme/train", User: user, Password: secret.New(password),
	})
}

func TestATokenIsAskedForToPullOneRepositoryWhateverTheChallengeProposes(t *testing.T) {
	var got http.Request
	f := newFarSide(t, func(w http.ResponseWriter, r *http.Request) {
		got = *r
		answer(200, `{"access_token":"opaque","expires_in":300}`)(w, r)
	})
	token, err := f.ask(t, "robot")
	if err != nil {
		t.Fatal(err)
	}
	want := url.Values{"region": {"eu"}, "service": {"registry"}, "scope": {"repository:acme/train:pull"}}
	if diff := cmp.Diff(want, got.URL.Query()); diff != "" {
		t.Errorf("query (-want +got):\n%s", diff)
	}
	if user, shown, _ := got.BasicAuth(); user != "robot" || shown != password || got.UserAgent() != "fairlead-test" {
		t.Errorf("asked as %q with %q by %q", user, shown, got.UserAgent())
	}
	if token.Value.Reveal() != "opaque" || token.Lifetime != 5*time.Minute {
		t.Errorf("token %q for %s", token.Value.Reveal(), token.Lifetime)
	}
	if !token.Grants("acme/train") || token.OnlyPulls("acme/train") || token.SaysAccess {
		t.Error("a token that cannot be read is not taken as such")
	}
}

func TestATokenServiceWithoutGETIsAskedWithPOST(t *testing.T) {
	var form url.Values
	f := newFarSide(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		form = r.PostForm
		answer(200, `{"access_token":"opaque"}`)(w, r)
	})
	token, err := f.ask(t, "robot")
	if err != nil {
		t.Fatal(err)
	}
	if token.Lifetime != time.Minute {
		t.Errorf("a token that does not say holds for %s, want a minute", token.Lifetime)
	}
	want := url.Values{
		"grant_type": {"password"}, "username": {"robot"}, "password": {password}, "client_id": {"fairlead"},
		"service": {"registry"}, "scope": {"repository:acme/train:pull"},
	}
	if diff := cmp.Diff(want, form); diff != "" {
		t.Errorf("form (-want +got):\n%s", diff)
	}
	if _, err := f.ask(t, ""); err != nil {
		t.Fatal(err)
	}
	if form.Get("grant_type") != "refresh_token" || form.Get("refresh_token") != password {
		t.Errorf("a secret without a user was sent as %q", form.Get("grant_type"))
	}
}

func TestATokenServiceThatAnswersBadlyIsToldOfAndTheSecretIsNot(t *testing.T) {
	redirect := func(w http.ResponseWriter, r *http.Request) {
		if r.Host == authHost {
			http.Redirect(w, r, "https://blobs.example.com/token", http.StatusTemporaryRedirect)
			return
		}
		answer(200, `{"token":"of-nobody"}`)(w, r)
	}
	tests := map[string]struct {
		handler http.HandlerFunc
		kind    fault.Kind
		code    string
	}{
		"no token":                    {answer(200, `{"expires_in":300}`), fault.Unavailable, "token_missing"},
		"a token that is none":        {answer(200, `{"token":{"value":"`+password+`"}}`), fault.Unavailable, "token_missing"},
		"an odd time":                 {answer(200, `{"token":"x","issued_at":"`+password+`"}`), fault.Unavailable, "token_missing"},
		"no JSON":                     {answer(200, password), fault.Unavailable, "not_a_registry"},
		"a page":                      {answer(200, `<html>`+password, "Content-Type", "text/html"), fault.Unavailable, "not_a_registry"},
		"too much":                    {answer(200, `{"token":"`+strings.Repeat("x", 300<<10)+`"}`), fault.Unavailable, "not_a_registry"},
		"a redirect to another host":  {redirect, fault.Denied, "realm_redirected"},
		"a refusal with the password": {answer(401, `{"details":"no user with `+password+`"}`), fault.Unauthenticated, "unauthorized"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := newFarSide(t, test.handler).ask(t, "robot")
			wantFault(t, diagnosis.Of(err, diagnosis.Subject{Service: diagnosis.Registry, Image: train}), test.kind, test.code, password)
		})
	}
}

func TestAFormWithAPasswordIsNotSentAfterARedirect(t *testing.T) {
	seen := 0
	f := newFarSide(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Host != authHost:
			seen++
		case r.Method == http.MethodGet:
			w.WriteHeader(http.StatusMethodNotAllowed)
		default:
			http.Redirect(w, r, "https://blobs.example.com/token", http.StatusPermanentRedirect)
		}
	})
	_, err := f.ask(t, "robot")
	wantFault(t, diagnosis.Of(err, diagnosis.Subject{Service: diagnosis.Registry, Image: train}), fault.Denied, "realm_redirected", password)
	if seen != 0 {
		t.Error("the other host was asked")
	}
}

func TestALifetimeIsNeverLongerThanADay(t *testing.T) {
	f := newFarSide(t, answer(200, `{"token":"x","expires_in":99999999}`))
	token, err := f.ask(t, "robot")
	if err != nil || token.Lifetime != 24*time.Hour {
		t.Errorf("lifetime %s (%v)", token.Lifetime, err)
	}
}

func TestATokenIsNarrowOnlyIfItSaysSo(t *testing.T) {
	pull := oci.Access{Type: "repository", Name: "acme/train", Actions: []string{"pull"}}
	tests := map[string]struct {
		access         any
		grants, narrow bool
	}{
		"the one right":         {[]oci.Access{pull}, true, true},
		"the one right twice":   {[]oci.Access{pull, pull}, true, true},
		"to push too":           {[]oci.Access{{Type: "repository", Name: "acme/train", Actions: []string{"pull", "push"}}}, true, false},
		"everything":            {[]oci.Access{{Type: "repository", Name: "acme/train", Actions: []string{"*"}}}, true, false},
		"another one too":       {[]oci.Access{pull, {Type: "repository", Name: "acme/other", Actions: []string{"pull"}}}, true, false},
		"another one":           {[]oci.Access{{Type: "repository", Name: "acme/other", Actions: []string{"pull"}}}, false, false},
		"another type":          {[]oci.Access{{Type: "registry", Name: "acme/train", Actions: []string{"pull"}}}, false, false},
		"only to push":          {[]oci.Access{{Type: "repository", Name: "acme/train", Actions: []string{"push"}}}, false, false},
		"nothing":               {[]oci.Access{}, false, false},
		"no claim":              {nil, true, false},
		"a claim of other sort": {"acme/train:pull", true, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			body, err := json.Marshal(map[string]any{"token": signed(t, test.access)})
			if err != nil {
				t.Fatal(err)
			}
			token, err := newFarSide(t, answer(200, string(body))).ask(t, "robot")
			if err != nil {
				t.Fatal(err)
			}
			if token.Grants("acme/train") != test.grants || token.OnlyPulls("acme/train") != test.narrow {
				t.Errorf("grants %v, narrow %v; want %v, %v", token.Grants("acme/train"), token.OnlyPulls("acme/train"), test.grants, test.narrow)
			}
		})
	}
}

func signed(t *testing.T, access any) string {
	t.Helper()
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	claims := map[string]any{"sub": "robot"}
	if access != nil {
		claims["access"] = access
	}
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}
