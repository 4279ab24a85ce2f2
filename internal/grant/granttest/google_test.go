package granttest_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/auth/credentials"
	"github.com/google/go-containerregistry/pkg/authn"

	"fairlead.dev/fairlead/internal/grant/granttest"
)

const (
	googleProject = "my-project"
	googleReads   = "https://www.googleapis.com/auth/cloud-platform.read-only https://www.googleapis.com/auth/devstorage.read_only"
)

// newGoogle is a fake with one image and an account that may read it.
func newGoogle(t *testing.T, role granttest.GoogleRole) (_ *granttest.Google, key map[string]string) {
	t.Helper()
	g := granttest.NewGoogle(t, granttest.GoogleOptions{})
	if _, err := g.Push(t.Context(), "my-project/ml/train", "v1", randomImage(t)); err != nil {
		t.Fatal(err)
	}
	text, err := g.AddServiceAccount("reader", googleProject, map[string]granttest.GoogleRole{"my-project/ml": role})
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(text), &key); err != nil {
		t.Fatal(err)
	}
	return g, key
}

// assertion signs claims by hand, so that nothing keeps a test from wrong ones.
func assertion(t *testing.T, key, header map[string]string, claims map[string]any) string {
	t.Helper()
	block, _ := pem.Decode([]byte(key["private_key"]))
	if block == nil {
		t.Fatal("the key holds no PEM")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	private, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		t.Fatalf("the key is a %T", parsed)
	}
	part := func(v any) string {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(text)
	}
	signed := part(header) + "." + part(claims)
	hash := crypto.SHA256.New()
	hash.Write([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, private, crypto.SHA256, hash.Sum(nil))
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// postForm sends a form and reads the answer.
func postForm(t *testing.T, g *granttest.Google, address string, form url.Values) (status int, answer map[string]any) {
	t.Helper()
	client := &http.Client{Transport: strangersTransport(t, g.Registry)}
	response, err := client.PostForm(address, form)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Fatalf("%s: %s", err, text)
	}
	return response.StatusCode, answer
}

func trade(t *testing.T, g *granttest.Google, signed string) (status int, answer map[string]any) {
	t.Helper()
	return postForm(t, g, "https://oauth2.googleapis.com/token", url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {signed},
	})
}

func TestGooglesOwnLibraryGetsATokenOfTheFakeThatPulls(t *testing.T) {
	g, key := newGoogle(t, granttest.GoogleReader)
	text, err := json.Marshal(key)
	if err != nil {
		t.Fatal(err)
	}
	found, err := credentials.NewCredentialsFromJSON(credentials.ServiceAccount, text, &credentials.DetectOptions{
		Scopes: strings.Fields(googleReads), Client: &http.Client{Transport: strangersTransport(t, g.Registry)},
	})
	if err != nil {
		t.Fatal(err)
	}
	token, err := found.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	pulls := func(user, password string) error {
		return pullAll(t, g.Registry, g.Host(), "my-project/ml/train", authn.FromConfig(authn.AuthConfig{Username: user, Password: password}))
	}
	if err := pulls("oauth2accesstoken", token.Value); err != nil {
		t.Error(err)
	}
	for user, password := range map[string]string{"oauth2accesstoken": token.Value + "x", "_token": token.Value, "_json_key": string(text)} {
		if pulls(user, password) == nil {
			t.Errorf("%s pulls too", user)
		}
	}
	g.ExpireTokens()
	if pulls("oauth2accesstoken", token.Value) == nil {
		t.Error("a token that ended pulls")
	}
}

func TestTheTokenEndpointVerifiesEveryPartOfAnAssertion(t *testing.T) {
	g, key := newGoogle(t, granttest.GoogleReader)
	_, other := newGoogle(t, granttest.GoogleReader)
	for name, test := range map[string]struct {
		spoil func(header map[string]string, claims map[string]any)
		key   map[string]string
		error string
		says  string
	}{
		"nothing wrong":        {func(map[string]string, map[string]any) {}, key, "", ""},
		"another's signature":  {func(map[string]string, map[string]any) {}, other, "invalid_grant", "Invalid JWT Signature."},
		"another key's ID":     {func(h map[string]string, _ map[string]any) { h["kid"] = "0123456789" }, key, "invalid_grant", "Invalid JWT Signature."},
		"another algorithm":    {func(h map[string]string, _ map[string]any) { h["alg"] = "HS256" }, key, "invalid_grant", "Bad Request"},
		"an unknown account":   {func(_ map[string]string, c map[string]any) { c["iss"] = "x@y.iam.gserviceaccount.com" }, key, "invalid_grant", "account not found"},
		"another audience":     {func(_ map[string]string, c map[string]any) { c["aud"] = "https://evil.example" }, key, "invalid_grant", "audience"},
		"no scope":             {func(_ map[string]string, c map[string]any) { delete(c, "scope") }, key, "invalid_scope", ""},
		"no times":             {func(_ map[string]string, c map[string]any) { delete(c, "iat") }, key, "invalid_grant", "short-lived"},
		"more than an hour":    {func(_ map[string]string, c map[string]any) { c["exp"] = time.Now().Add(2 * time.Hour).Unix() }, key, "invalid_grant", "short-lived"},
		"a time to come":       {func(_ map[string]string, c map[string]any) { c["iat"] = time.Now().Add(30 * time.Minute).Unix() }, key, "invalid_grant", "short-lived"},
		"an end that is over":  {func(_ map[string]string, c map[string]any) { c["exp"] = time.Now().Add(-10 * time.Minute).Unix() }, key, "invalid_grant", "short-lived"},
		"a clock a little off": {func(_ map[string]string, c map[string]any) { c["iat"] = time.Now().Add(30 * time.Second).Unix() }, key, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			header := map[string]string{"alg": "RS256", "typ": "JWT", "kid": key["private_key_id"]}
			claims := map[string]any{
				"iss": key["client_email"], "aud": key["token_uri"], "scope": googleReads,
				"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
			}
			test.spoil(header, claims)
			status, answer := trade(t, g, assertion(t, test.key, header, claims))
			switch {
			case test.error == "" && (status != http.StatusOK || answer["access_token"] == ""):
				t.Errorf("%d %v", status, answer)
			case test.error != "":
				words, _ := answer["error_description"].(string)
				if status != http.StatusBadRequest || answer["error"] != test.error || !strings.Contains(words, test.says) {
					t.Errorf("%d %v, want %s: %s", status, answer, test.error, test.says)
				}
			}
		})
	}
}

// accessOf trades a key for an access token with scopes.
func accessOf(t *testing.T, g *granttest.Google, key map[string]string, scopes string) string {
	t.Helper()
	_, answer := trade(t, g, assertion(t, key, map[string]string{"alg": "RS256", "typ": "JWT", "kid": key["private_key_id"]}, map[string]any{
		"iss": key["client_email"], "aud": key["token_uri"], "scope": scopes,
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
	}))
	token, ok := answer["access_token"].(string)
	if !ok {
		t.Fatalf("no token: %v", answer)
	}
	return token
}

// get asks an address with an Authorization header.
func get(t *testing.T, g *granttest.Google, address string, apply func(*http.Request)) (status int, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	apply(request)
	response, err := (&http.Client{Transport: strangersTransport(t, g.Registry)}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

func TestAnAccessTokenIsGoodForWhatItsScopesAllow(t *testing.T) {
	g, key := newGoogle(t, granttest.GoogleAdmin)
	for scope, want := range map[string]struct{ api, pull, push int }{
		"https://www.googleapis.com/auth/cloud-platform":           {http.StatusOK, http.StatusOK, http.StatusOK},
		"https://www.googleapis.com/auth/cloud-platform.read-only": {http.StatusOK, http.StatusForbidden, http.StatusForbidden},
		"https://www.googleapis.com/auth/devstorage.read_only":     {http.StatusForbidden, http.StatusOK, http.StatusForbidden},
		"https://www.googleapis.com/auth/devstorage.read_write":    {http.StatusForbidden, http.StatusOK, http.StatusOK},
		"https://www.googleapis.com/auth/userinfo.email":           {http.StatusForbidden, http.StatusForbidden, http.StatusForbidden},
	} {
		token := accessOf(t, g, key, scope)
		basic := func(r *http.Request) { r.SetBasicAuth("oauth2accesstoken", token) }
		if status, body := get(t, g, "https://artifactregistry.googleapis.com/v1/projects/my-project/locations/us-central1/repositories/ml/packages",
			func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }); status != want.api {
			t.Errorf("%s: the API says %d %s", scope, status, body)
		}
		for action, status := range map[string]int{"pull": want.pull, "push": want.push} {
			if got, body := get(t, g, "https://"+g.Host()+"/v2/token?scope=repository:my-project/ml/train:"+action, basic); got != status {
				t.Errorf("%s: the registry says %d to %s: %s", scope, got, action, body)
			}
		}
	}
}

func TestARegistryOfGoogleTakesItsOwnTokensAlone(t *testing.T) {
	g, key := newGoogle(t, granttest.GoogleReader)
	token := accessOf(t, g, key, googleReads)
	manifest := "https://" + g.Host() + "/v2/my-project/ml/train/manifests/v1"
	if status, _ := get(t, g, manifest, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }); status != http.StatusUnauthorized {
		t.Errorf("an access token is answered with %d", status)
	}
	_, body := get(t, g, "https://"+g.Host()+"/v2/token?scope=repository:my-project/ml/train:pull", func(r *http.Request) { r.SetBasicAuth("oauth2accesstoken", token) })
	var answer struct{ Token string }
	if err := json.Unmarshal([]byte(body), &answer); err != nil || answer.Token == "" || strings.HasPrefix(answer.Token, "ey") {
		t.Fatalf("%v: %s", err, body)
	}
	bearer := func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+answer.Token) }
	if status, body := get(t, g, manifest, bearer); status != http.StatusOK {
		t.Errorf("the registry's token is answered with %d: %s", status, body)
	}
	if status, body := get(t, g, "https://"+g.Host()+"/v2/my-project/secret/x/manifests/v1", bearer); status != http.StatusForbidden ||
		!strings.Contains(body, `denied on resource \"projects/my-project/locations/us-central1/repositories/secret\"`) {
		t.Errorf("for another repository it is answered with %d: %s", status, body)
	}
}

func TestSTSWantsAGoodTokenOfAProviderThatThereIs(t *testing.T) {
	g, _ := newGoogle(t, granttest.GoogleReader)
	provider, err := g.AddProvider("my-pool", "cluster")
	if err != nil {
		t.Fatal(err)
	}
	good, err := provider.Token("me", "https:"+provider.Audience())
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		field, value string
		error        string
	}{
		"nothing wrong":       {"", "", ""},
		"another audience":    {"audience", provider.Audience() + "x", "invalid_target"},
		"a token that is cut": {"subject_token", good[:len(good)-8], "invalid_grant"},
		"another grant":       {"grant_type", "refresh_token", "unsupported_grant_type"},
		"another token":       {"subject_token_type", "urn:ietf:params:oauth:token-type:saml2", "invalid_request"},
		"no scope":            {"scope", "", "invalid_scope"},
	} {
		form := url.Values{
			"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "audience": {provider.Audience()},
			"requested_token_type": {"urn:ietf:params:oauth:token-type:access_token"},
			"subject_token_type":   {"urn:ietf:params:oauth:token-type:jwt"}, "subject_token": {good},
			"scope": {"https://www.googleapis.com/auth/cloud-platform"},
		}
		if test.field != "" {
			form.Set(test.field, test.value)
		}
		status, answer := postForm(t, g, "https://sts.googleapis.com/v1/token", form)
		if test.error == "" && status != http.StatusOK || test.error != "" && answer["error"] != test.error {
			t.Errorf("%s: %d %v, want %q", name, status, answer, test.error)
		}
	}
}
