package oidc_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/oidc"
	"fairlead.dev/fairlead/internal/oidc/oidctest"
	"fairlead.dev/fairlead/internal/secret"
)

const callback = "https://fairlead.example/callback"

// clock is a time that a test moves.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// house is a provider that knows ada, and a client of it.
type house struct {
	*testing.T
	far   *oidctest.Provider
	near  *oidc.Provider
	clock *clock
}

func newHouse(t *testing.T, options oidctest.Options) *house {
	t.Helper()
	c := &clock{at: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	options.Now, options.Redirects = c.now, []string{callback}
	h := &house{T: t, far: oidctest.New(t, options), clock: c}
	h.far.Put(oidctest.User{
		Subject: "s-ada", Username: "ada", Name: "Ada Lovelace", Email: "ada@acme.example", EmailVerified: true, Groups: []string{"ml", "ops"},
	})
	h.near = h.client(nil)
	return h
}

func (h *house) client(change func(*oidc.Config)) *oidc.Provider {
	h.Helper()
	config := oidc.Config{
		Issuer: h.far.Issuer(), ClientID: h.far.ClientID(), ClientSecret: secret.New(h.far.ClientSecret()), RedirectURL: callback,
		GroupsClaim: "groups", HTTP: &http.Client{}, Now: h.clock.now,
	}
	if change != nil {
		change(&config)
	}
	provider, err := oidc.New(config)
	if err != nil {
		h.Fatal(err)
	}
	return provider
}

// signIn goes the whole way.
func (h *house) signIn(subject string) (oidc.Identity, error) {
	h.Helper()
	flow := oidc.NewFlow()
	address, err := h.near.AuthorizationURL(h.Context(), flow)
	if err != nil {
		return oidc.Identity{}, err
	}
	back := h.far.SignIn(h, address, subject).Query()
	if back.Get("state") != flow.State {
		h.Fatalf("came back as %v", back)
	}
	if code := back.Get("error"); code != "" {
		return oidc.Identity{}, oidc.Refused(code, back.Get("error_description"))
	}
	return h.near.Exchange(h.Context(), flow, secret.New(back.Get("code")), back.Get("iss"))
}

func refused(t *testing.T, err error, kind fault.Kind, code string) {
	t.Helper()
	if f := fault.From(err); f == nil || f.Kind != kind || f.Code != code || f.Hint == "" {
		t.Fatalf("got %v (%+v), want %s %s", err, f, kind, code)
	}
}

func TestWhoSignsInAtTheProviderIsKnownByItsClaims(t *testing.T) {
	for name, options := range map[string]oidctest.Options{
		"all in the ID token":                   {},
		"the claims at the userinfo endpoint":   {Thin: true},
		"the secret in the body of a request":   {OnlyPost: true},
		"a secret with characters of every URL": {ClientSecret: "a+b/c=d&e %f"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, options)
			got, err := h.signIn("s-ada")
			if err != nil {
				t.Fatal(err)
			}
			if got.RefreshToken.IsEmpty() || got.IDToken.IsEmpty() || got.Claims.SID == "" {
				t.Errorf("got %+v", got)
			}
			want := oidc.Claims{
				Issuer: h.far.Issuer(), Subject: "s-ada", Username: "ada", Name: "Ada Lovelace", Email: "ada@acme.example", EmailVerified: true,
				Groups: []string{"ml", "ops"}, SID: got.Claims.SID,
			}
			if diff := cmp.Diff(want, got.Claims); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestAnAnswerThatIsWrongInAnyWaySignsNobodyIn(t *testing.T) {
	for name, c := range map[string]struct {
		faults oidctest.Faults
		kind   fault.Kind
		code   string
	}{
		"another issuer":            {oidctest.Faults{WrongIssuer: true}, fault.Unauthenticated, "oidc_token"},
		"another audience":          {oidctest.Faults{WrongAudience: true}, fault.Unauthenticated, "oidc_token"},
		"for another application":   {oidctest.Faults{WrongParty: true}, fault.Unauthenticated, "oidc_token"},
		"another nonce":             {oidctest.Faults{WrongNonce: true}, fault.Unauthenticated, "oidc_nonce"},
		"another signature":         {oidctest.Faults{WrongSignature: true}, fault.Unauthenticated, "oidc_token"},
		"no keys":                   {oidctest.Faults{WrongKeys: true}, fault.Unauthenticated, "oidc_token"},
		"expired":                   {oidctest.Faults{Expired: true}, fault.Unauthenticated, "oidc_clock"},
		"of the future":             {oidctest.Faults{Future: true}, fault.Unauthenticated, "oidc_clock"},
		"no ID token":               {oidctest.Faults{NoIDToken: true}, fault.Unauthenticated, "oidc_token_missing"},
		"groups that were left out": {oidctest.Faults{LeftOut: true}, fault.Denied, "oidc_groups_left_out"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, oidctest.Options{})
			h.far.Break(c.faults)
			_, err := h.signIn("s-ada")
			refused(t, err, c.kind, c.code)
			h.far.Break(oidctest.Faults{})
			h.near = h.client(nil) // who asks within the same moment may still hear of the old keys
			if _, err := h.signIn("s-ada"); err != nil {
				t.Errorf("mended, it says %v", err)
			}
		})
	}
}

func TestUserinfoOfSomebodyElseIsRefused(t *testing.T) {
	h := newHouse(t, oidctest.Options{Thin: true})
	h.far.Break(oidctest.Faults{WrongSubject: true})
	_, err := h.signIn("s-ada")
	refused(t, err, fault.Unauthenticated, "oidc_token")
}

func TestWhoRefusesAtTheProviderIsToldSo(t *testing.T) {
	h := newHouse(t, oidctest.Options{})
	_, err := h.signIn("nobody")
	refused(t, err, fault.Denied, "oidc_refused")
	refused(t, oidc.Refused("temporarily_unavailable", ""), fault.Unavailable, "oidc_away")
	refused(t, oidc.Refused("invalid_scope", "no such scope"), fault.Unavailable, "oidc_request_refused")
}

func TestACodeIsGoodOnceForTheBrowserThatItWasMadeFor(t *testing.T) {
	h := newHouse(t, oidctest.Options{})
	flow, other := oidc.NewFlow(), oidc.NewFlow()
	address, err := h.near.AuthorizationURL(t.Context(), flow)
	if err != nil {
		t.Fatal(err)
	}
	stolen := secret.New(h.far.SignIn(t, address, "s-ada").Query().Get("code"))
	_, err = h.near.Exchange(t.Context(), other, stolen, h.far.Issuer())
	refused(t, err, fault.Unauthenticated, "oidc_code")
	code := secret.New(h.far.SignIn(t, address, "s-ada").Query().Get("code"))
	_, err = h.near.Exchange(t.Context(), flow, code, "https://elsewhere.example")
	refused(t, err, fault.Unauthenticated, "oidc_issuer_other")
	_, err = h.near.Exchange(t.Context(), flow, code, "") // which the provider would have said
	refused(t, err, fault.Unauthenticated, "oidc_issuer_other")
	if _, err = h.near.Exchange(t.Context(), flow, code, h.far.Issuer()); err != nil {
		t.Fatal(err)
	}
	_, err = h.near.Exchange(t.Context(), flow, code, h.far.Issuer())
	refused(t, err, fault.Unauthenticated, "oidc_code")
}

func TestAClientThatTheProviderDoesNotTakeIsTheOperatorsToMend(t *testing.T) {
	h := newHouse(t, oidctest.Options{})
	h.near = h.client(func(c *oidc.Config) { c.ClientSecret = secret.New("hunter2hunter2") })
	_, err := h.signIn("s-ada")
	refused(t, err, fault.Unavailable, "oidc_client_refused")
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the error shows the secret: %v", err)
	}
}

func TestAProviderThatIsAwayIsAskedAgainAndWhatItSaidBeforeHolds(t *testing.T) {
	h := newHouse(t, oidctest.Options{})
	h.far.Break(oidctest.Faults{Away: true})
	_, err := h.signIn("s-ada")
	refused(t, err, fault.Unavailable, "oidc_answer")
	h.far.Break(oidctest.Faults{})
	_, err = h.signIn("s-ada") // within the same second
	refused(t, err, fault.Unavailable, "oidc_answer")
	const discovery = "/.well-known/openid-configuration"
	if n := h.far.Asked(discovery); n != 1 {
		t.Errorf("asked %d times", n)
	}
	h.clock.pass(time.Minute)
	if _, err := h.signIn("s-ada"); err != nil {
		t.Fatal(err)
	}
	h.far.Break(oidctest.Faults{Away: true})
	h.clock.pass(2 * time.Hour)
	if _, err := h.near.AuthorizationURL(t.Context(), oidc.NewFlow()); err != nil {
		t.Errorf("what was known is forgotten: %v", err)
	}
}

func TestManyWhoSignInAtOnceAskTheProviderOnceWhatItIs(t *testing.T) {
	h := newHouse(t, oidctest.Options{})
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if _, err := h.near.AuthorizationURL(t.Context(), oidc.NewFlow()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := h.far.Asked("/.well-known/openid-configuration"); n > 2 { // one may begin when another has just ended
		t.Errorf("asked %d times", n)
	}
}

func TestAProviderThatCallsItselfOtherwiseIsNotBelieved(t *testing.T) {
	h := newHouse(t, oidctest.Options{})
	h.near = h.client(func(c *oidc.Config) { c.Issuer += "/" })
	_, err := h.signIn("s-ada")
	refused(t, err, fault.Unavailable, "oidc_issuer_mismatch")
}

func TestKeysOfTheProviderMayChangeAtAnyTime(t *testing.T) {
	h := newHouse(t, oidctest.Options{})
	for range 4 {
		if _, err := h.signIn("s-ada"); err != nil {
			t.Fatal(err)
		}
		h.far.RotateKeys()
	}
}

func TestASessionIsAskedForUntilTheProviderEndsIt(t *testing.T) {
	h := newHouse(t, oidctest.Options{})
	got, err := h.signIn("s-ada")
	if err != nil {
		t.Fatal(err)
	}
	refresh := got.RefreshToken
	for range 3 {
		again, err := h.near.Refresh(t.Context(), refresh)
		if err != nil {
			t.Fatal(err)
		}
		if again.RefreshToken.Equal(refresh) || again.Claims.Subject != "s-ada" || again.Claims.SID != got.Claims.SID {
			t.Errorf("refreshed as %+v", again)
		}
		refresh = again.RefreshToken
	}
	h.far.Break(oidctest.Faults{Away: true})
	_, err = h.near.Refresh(t.Context(), refresh)
	refused(t, err, fault.Unavailable, "oidc_token_refused")
	h.far.Break(oidctest.Faults{NoRefreshToken: true, NoIDToken: true})
	h.far.Revoke("another session")
	kept, err := h.near.Refresh(t.Context(), refresh)
	if err != nil || !kept.RefreshToken.Equal(refresh) || kept.Claims.Subject != "" {
		t.Errorf("a provider that tells nothing gave %+v, %v", kept, err)
	}
	h.far.Break(oidctest.Faults{})
	h.far.Revoke(got.Claims.SID)
	_, err = h.near.Refresh(t.Context(), refresh)
	refused(t, err, fault.Unauthenticated, oidc.SessionEnded)
	if strings.Contains(err.Error(), refresh.Reveal()) {
		t.Errorf("the error shows the token: %v", err)
	}
}

func TestASettingThatMakesNoSenseIsRefusedBeforeAnybodyIsAsked(t *testing.T) {
	good := oidc.Config{
		Issuer: "https://login.acme.example/realms/main", ClientID: "fairlead", RedirectURL: callback, HTTP: &http.Client{}, Now: time.Now,
	}
	if _, err := oidc.New(good); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*oidc.Config)
		code   string
	}{
		"no issuer":               {func(c *oidc.Config) { c.Issuer = "" }, "oidc_issuer"},
		"an issuer without TLS":   {func(c *oidc.Config) { c.Issuer = "http://login.acme.example" }, "oidc_issuer_plain"},
		"an issuer of files":      {func(c *oidc.Config) { c.Issuer = "file://host/x" }, "oidc_issuer_plain"},
		"an issuer with a login":  {func(c *oidc.Config) { c.Issuer = "https://a:hunter2@login.acme.example" }, "oidc_issuer"},
		"an issuer with a query":  {func(c *oidc.Config) { c.Issuer = "https://login.acme.example?x=1" }, "oidc_issuer"},
		"an issuer with a #":      {func(c *oidc.Config) { c.Issuer = "https://login.acme.example/#" }, "oidc_issuer"},
		"an issuer that is none":  {func(c *oidc.Config) { c.Issuer = "https://log in:hunter2@%" }, "oidc_issuer"},
		"no client":               {func(c *oidc.Config) { c.ClientID = "" }, "blank"},
		"a way back without TLS":  {func(c *oidc.Config) { c.RedirectURL = "http://fairlead.example/callback" }, "oidc_redirect"},
		"no way back":             {func(c *oidc.Config) { c.RedirectURL = "/callback" }, "oidc_redirect"},
		"a scope with a space":    {func(c *oidc.Config) { c.Scopes = []string{"profile email"} }, "oidc_scope"},
		"a clock of another time": {func(c *oidc.Config) { c.Skew = time.Hour }, "oidc_skew"},
	} {
		t.Run(name, func(t *testing.T) {
			config := good
			c.change(&config)
			_, err := oidc.New(config)
			if f := fault.From(err); f == nil || f.Kind != fault.Invalid || f.Code != c.code || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v", err)
			}
		})
	}
	for _, issuer := range []string{"http://localhost:1", "http://127.0.0.1", "http://[::1]:9000/realms/x"} {
		config := good
		config.Issuer = issuer
		if _, err := oidc.New(config); err != nil {
			t.Errorf("%s: %v", issuer, err)
		}
	}
}

func TestGroupsAreReadInEveryShapeThatIsAListOfNames(t *testing.T) {
	h := newHouse(t, oidctest.Options{})
	for name, c := range map[string]struct {
		groups any
		want   []string
		code   string
	}{
		"a list":            {[]string{"ml", "/acme/ops"}, []string{"ml", "/acme/ops"}, ""},
		"one name":          {"ml", []string{"ml"}, ""},
		"an empty list":     {[]string{}, nil, ""},
		"none":              {nil, nil, ""},
		"names that are no": {[]string{"", strings.Repeat("x", 2000), "ml"}, []string{"ml"}, ""},
		"objects":           {[]map[string]string{{"name": "ml"}}, nil, "oidc_groups_shape"},
		"a number":          {7, nil, "oidc_groups_shape"},
		"an object":         {map[string]bool{"ml": true}, nil, "oidc_groups_shape"},
		"too many":          {make([]int, 20_000), nil, "oidc_groups_shape"},
	} {
		t.Run(name, func(t *testing.T) {
			h.far.Put(oidctest.User{Subject: "s-ada", Username: "ada", Groups: c.groups})
			got, err := h.signIn("s-ada")
			if c.code != "" {
				refused(t, err, fault.Denied, c.code)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got.Claims.Groups); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	h.far.Put(oidctest.User{Subject: "s-ada", Username: "ada", Groups: map[string]any{"roles": []string{"deep"}}})
	h.near = h.client(func(c *oidc.Config) { c.GroupsClaim = "groups.roles" })
	if got, err := h.signIn("s-ada"); err != nil || !cmp.Equal(got.Claims.Groups, []string{"deep"}) {
		t.Errorf("below dots are %v, %v", got.Claims.Groups, err)
	}
	h.near = h.client(func(c *oidc.Config) { c.GroupsClaim = "" })
	if got, err := h.signIn("s-ada"); err != nil || len(got.Claims.Groups) > 0 {
		t.Errorf("where nobody asks for groups, there are %v, %v", got.Claims.Groups, err)
	}
}

func TestNothingPrintedOfASignInShowsASecret(t *testing.T) {
	h := newHouse(t, oidctest.Options{})
	got, err := h.signIn("s-ada")
	if err != nil {
		t.Fatal(err)
	}
	flow := oidc.NewFlow()
	printed := fmt.Sprintf("%v %+v %#v %+v", got, got, got, flow)
	for _, hidden := range []string{got.RefreshToken.Reveal(), got.IDToken.Reveal(), flow.Verifier.Reveal()} {
		if strings.Contains(printed, hidden) {
			t.Errorf("printed: %s", printed)
		}
	}
}
