package cli

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/wire"
)

func TestAnInvitationIsReadFromItsLinkOrItsText(t *testing.T) {
	for pasted, want := range map[string]string{
		"fli_abc-DEF_1": " fli_abc-DEF_1",
		" fli_abc\t":    " fli_abc",
		"https://fairlead.example/invitations/fli_abc/":    "https://fairlead.example fli_abc",
		"http://127.0.0.1:8080/invitations/fli_abc":        "http://127.0.0.1:8080 fli_abc",
		"https://fairlead.example/invitations/fli_abc/?x":  "https://fairlead.example fli_abc",
		"https://ada:pw@fairlead.example/invitations/fli_": "invitation",
		"ftp://fairlead.example/invitations/fli_abc/":      "invitation",
		"https:///invitations/fli_abc/":                    "invitation",
		"https://fairlead.example/":                        "invitation",
		"flu_abc":                                          "invitation",
		"fli_a b":                                          "invitation",
		"":                                                 "invitation",
	} {
		server, text, err := parseInvitation(secret.New(pasted))
		got := server + " " + text.Reveal()
		if err != nil {
			got = fault.From(err).Code
		}
		if got != want {
			t.Errorf("%q is read as %q, want %q", pasted, got, want)
		}
	}
}

func FuzzWhatIsReadAsAnInvitationIsOne(f *testing.F) {
	for _, pasted := range []string{"fli_abc", "https://fairlead.example/invitations/fli_abc/", "://", "http://[::1", "fli_://x/fli_y", "http://h/%2ffli_a"} {
		f.Add(pasted)
	}
	f.Fuzz(func(t *testing.T, pasted string) {
		server, text, err := parseInvitation(secret.New(pasted))
		if err != nil {
			if pasted != "" && len(pasted) > 12 && strings.Contains(err.Error(), pasted) {
				t.Fatalf("%q is repeated: %v", pasted, err)
			}
			return
		}
		again, same, err := parseInvitation(secret.New(server + "/invitations/" + text.Reveal() + "/"))
		if server != "" && (err != nil || again != server || !same.Equal(text)) {
			t.Fatalf("%q is read as %q and %q, and those as %q and %q (%v)", pasted, server, text.Reveal(), again, same.Reveal(), err)
		}
	})
}

// asked are when a server was asked, in seconds after the beginning.
func asked(t *testing.T, answers ...error) (seconds []int, token secret.Text, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		begun := wire.DeviceLogin{Interval: 5, ExpiresIn: 60}
		token, err = awaitDevice(t.Context(), begun, func(time.Duration) {}, func(context.Context) (wire.GotToken, error) {
			seconds = append(seconds, int(time.Since(began).Seconds()))
			if len(answers) == 0 {
				return wire.GotToken{Token: "flu_right"}, nil
			}
			answer := answers[0]
			answers = answers[1:]
			return wire.GotToken{}, answer
		})
	})
	return seconds, token, err
}

func TestAMachineAsksAsOftenAsItIsTold(t *testing.T) {
	pending := fault.New(fault.Invalid, "authorization_pending", "not yet")
	slow := fault.New(fault.Exhausted, "slow_down", "too often").WithRetryAfter(10 * time.Second)
	away := fault.New(fault.Unavailable, "server_unreachable", "the server is away")
	for name, c := range map[string]struct {
		answers []error
		seconds []int
		code    string
	}{
		"it is approved at once":     {nil, []int{5}, ""},
		"it waits":                   {[]error{pending, pending}, []int{5, 10, 15}, ""},
		"it slows down from then on": {[]error{slow, pending}, []int{5, 15, 25}, ""},
		"the server is away":         {[]error{away, away, pending}, []int{5, 15, 35, 55}, ""},
		"it is denied":               {[]error{fault.New(fault.Denied, "access_denied", "no")}, []int{5}, "access_denied"},
		"its time is over":           {[]error{away, away, away, pending}, []int{5, 15, 35}, "expired_token"},
	} {
		t.Run(name, func(t *testing.T) {
			seconds, token, err := asked(t, c.answers...)
			if len(seconds) < len(c.seconds) || !slices.Equal(seconds[:len(c.seconds)], c.seconds) {
				t.Errorf("asked after %v seconds, want %v", seconds, c.seconds)
			}
			if c.code == "" {
				if err != nil || token.Reveal() != "flu_right" {
					t.Errorf("got %v", err)
				}
			} else if fault.From(err) == nil || fault.From(err).Code != c.code {
				t.Errorf("got %v, want %s", err, c.code)
			}
		})
	}
}

func TestAMachineThatIsGivenUpStopsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		shown := 0
		_, err := awaitDevice(ctx, wire.DeviceLogin{Interval: 5, ExpiresIn: 60}, func(left time.Duration) {
			if shown++; shown == 3 {
				cancel()
			}
		}, func(context.Context) (wire.GotToken, error) {
			t.Error("the server was asked")
			return wire.GotToken{}, nil
		})
		if !errors.Is(err, context.Canceled) || shown != 3 {
			t.Errorf("got %v after %d seconds", err, shown)
		}
	})
}

func TestATerminalCountsDownOnOneLine(t *testing.T) {
	var out strings.Builder
	w := &waiting{w: &out, terminal: true}
	w.show(10 * time.Minute)
	w.show(9*time.Minute + 59*time.Second)
	w.end()
	if got := out.String(); got != "\rWaiting, 10:00 left; Ctrl-C gives up. \rWaiting, 9:59 left; Ctrl-C gives up. \n" {
		t.Errorf("shown is %q", got)
	}
}
