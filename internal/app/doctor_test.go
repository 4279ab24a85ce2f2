package app

import (
	"context"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/wire"
)

// examined are the findings of a part.
func examined(found []wire.Finding, part string) []wire.Finding {
	return slices.DeleteFunc(slices.Clone(found), func(f wire.Finding) bool { return f.Part != part })
}

func TestAClockIsComparedWithWholeSeconds(t *testing.T) {
	date := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	response := &http.Response{Header: http.Header{"Date": {date.Format(http.TimeFormat)}}}
	for name, test := range map[string]struct {
		began, ended time.Duration // after the date
		want         time.Duration
	}{
		"the same":            {100 * time.Millisecond, 200 * time.Millisecond, 0},
		"within the second":   {900 * time.Millisecond, 1100 * time.Millisecond, 0},
		"a slow answer":       {-time.Minute, time.Minute, 0},
		"ahead":               {61 * time.Second, 62 * time.Second, time.Minute},
		"behind":              {-62 * time.Second, -time.Minute, -time.Minute},
		"just before its end": {time.Second, 2 * time.Second, 0},
	} {
		if got := aheadOf(response, date.Add(test.began), date.Add(test.ended)); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
	if got := aheadOf(&http.Response{Header: http.Header{"Date": {"yesterday"}}}, date, date); got != 0 {
		t.Errorf("a date that is none: %s", got)
	}
}

func TestAClockThatDiffersIsToldOfAndAtFiveMinutesFails(t *testing.T) {
	now := time.Now()
	for ahead, want := range map[time.Duration]string{
		0: "", 5 * time.Second: "", 30 * time.Second: wire.FindingWarn, -time.Minute: wire.FindingWarn, time.Hour: wire.FindingFail, -time.Hour: wire.FindingFail,
	} {
		found := wire.Doctor{At: wire.Time{Time: now}}
		CompareClocks(&found, "http://far.example", now.Add(ahead), now.Add(ahead))
		var got string
		for _, f := range found.Findings {
			got = f.Result
			if word := map[bool]string{true: "is 1h0m0s ahead of", false: "behind"}[ahead == time.Hour]; !strings.Contains(f.Sentence, word) && ahead.Abs() == time.Hour {
				t.Errorf("%s is told as %q", ahead, f.Sentence)
			}
		}
		if got != want {
			t.Errorf("%s is %q, want %q", ahead, got, want)
		}
	}
}

func TestProxiesAreToldWithoutTheirPasswords(t *testing.T) {
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"} {
		t.Setenv(name, "")
	}
	e := &examination{}
	e.proxies()
	t.Setenv("https_proxy", "http://user:hunter2@proxy.example:3128")
	t.Setenv("NO_PROXY", "10.0.0.0/8,.acme.example")
	e.proxies()
	t.Setenv("HTTP_PROXY", "http://user:hunter2@%zz")
	e.proxies()
	var told []string
	for _, f := range e.findings {
		told = append(told, f.Result+" "+f.Sentence)
	}
	want := []string{
		"ok none is named in the environment",
		"ok https_proxy=***@proxy.example:3128, NO_PROXY=10.0.0.0/8,.acme.example",
		"warn HTTP_PROXY cannot be read as an address",
		"ok https_proxy=***@proxy.example:3128, NO_PROXY=10.0.0.0/8,.acme.example",
	}
	if !slices.Equal(told, want) {
		t.Errorf("told is %q, want %q", told, want)
	}
}

func TestOnlyAnOperatorHasAServerLookAtItself(t *testing.T) {
	server := open(t, nil)
	if _, err := server.Examine(t.Context(), account.Actor{Username: "ada"}, false); !fault.Is(err, fault.Denied) {
		t.Errorf("it is %v", err)
	}
	found, err := server.Examine(t.Context(), account.Actor{Username: "root", Operator: true}, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found.Findings {
		if f.Result == wire.FindingFail || f.Part == "engine" {
			t.Errorf("%+v", f)
		}
	}
	for _, part := range []string{"data", "disk", "database", "keys", "audit", "proxy"} {
		if len(examined(found.Findings, part)) == 0 {
			t.Errorf("%s was not looked at", part)
		}
	}
	gone, stop := context.WithCancel(t.Context())
	stop()
	if _, err := server.Examine(gone, account.Actor{Operator: true}, false); err == nil {
		t.Error("whoever has gone gets an answer")
	}
}

func TestASealedSecretWhoseKeyIsNotThereFails(t *testing.T) {
	server := open(t, nil)
	server.addExpiring(t) // is sealed with a key that nobody has
	found, err := server.Examine(t.Context(), account.Actor{Operator: true}, true)
	if err != nil {
		t.Fatal(err)
	}
	keys, credentials := examined(found.Findings, "keys"), examined(found.Findings, "credential")
	if len(keys) != 1 || keys[0].Result != wire.FindingFail || keys[0].Code != "vault_key_unknown" || keys[0].Next == "" {
		t.Errorf("the keys are %+v", keys)
	}
	if len(credentials) != 1 || credentials[0].Result != wire.FindingFail || strings.Contains(credentials[0].Sentence, "ends") {
		t.Errorf("the credentials are %+v", credentials)
	}
}

func TestADirectoryThatIsNotThereIsNotWritable(t *testing.T) {
	e := &examination{owner: true}
	if e.directory("data", filepath.Join(t.TempDir(), "nothing")) || len(e.findings) != 1 || e.findings[0].Code != "directory_unwritable" {
		t.Errorf("%+v", e.findings)
	}
	if !e.directory("data", t.TempDir()) || e.findings[1].Result != wire.FindingOK {
		t.Errorf("%+v", e.findings)
	}
}
