package journey_test

import (
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"fairlead.dev/fairlead/internal/browsertest"
	"fairlead.dev/fairlead/internal/client"
	"fairlead.dev/fairlead/internal/wire"
)

// enter signs somebody in by the page.
func (s *server) enter(b *browsertest.Browser, who person) {
	s.t.Helper()
	b.Visit(s.url + "/sign-in/")
	b.Fill("User name", who.name)
	b.Fill("Password", who.password)
	b.Click("Sign in")
	b.At("/executions/")
}

func TestPeopleLookAfterTheirAccountAndWhoJoinsThem(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--worker=false", "--smtp-address", "127.0.0.1:1", "--smtp-from", "fairlead@acme.example", "--smtp-tls", "none")
	b := browsertest.New(t)
	s.enter(b, s.admin)

	b.Visit(s.url + "/settings/second-factor/")
	b.Axe()
	b.Click("Switch it on")
	b.Sees("1. Give the key to your app")
	b.Axe()
	var key string
	b.Evaluate(`document.getElementById("key").textContent`, &key)
	b.Expect("/confirm/: 422")
	b.Fill("Code", "000000")
	b.Click("Confirm")
	b.Sees("this is not the code of the new key")
	b.Sees("1. Give the key to your app") // it is not lost
	code, err := totp.GenerateCode(key, time.Now())
	s.check(err)
	b.Fill("Code", code)
	b.Click("Confirm")
	b.Sees("They are shown this once")
	var focused string
	b.Evaluate(`document.activeElement.id`, &focused)
	if focused != "main" {
		t.Errorf("the focus is at %q, not at what is new", focused)
	}
	b.Axe()
	b.Click("I have kept them")
	b.Sees("10 recovery codes left")
	b.Axe()

	b.Visit(s.url + "/auth/tokens/")
	b.Expect("/auth/tokens/: 422")
	b.Fill("Name", "not a name")
	b.Click("Make the token")
	b.Sees("is not a name")
	b.Fill("Name", "ci")
	b.Click("Make the token")
	b.Sees("Copy it now.")
	b.Axe()
	b.Reload()
	b.At("/auth/tokens/")
	b.SeesNot("flu_")
	b.Axe()

	b.Visit(s.url + "/o/1/invitations/")
	b.Fill("E-mail optional", "grace@acme.example")
	b.Click("Make the invitation")
	b.Sees("Copy the link now.")
	b.Sees("It could not be mailed") // nobody listens there, and the link is good all the same
	var link string
	b.Evaluate(`document.getElementById("link").textContent`, &link)
	guest := browsertest.New(t)
	guest.Phone()
	guest.Visit(link)
	guest.Sees("admin invites you to the organisation acme")
	guest.Axe()
	guest.Fill("User name", "grace")
	guest.Fill("Password", "grace's very long password")
	guest.Click("Make my account and join")
	guest.Sees("you are a member of acme now")
	guest.Axe()

	machine, err := client.New(client.Config{Server: s.url})
	s.check(err)
	t.Cleanup(machine.Close)
	asked, err := machine.BeginDeviceLogin(t.Context(), wire.NewDeviceLogin{Name: "gpu-7"})
	s.check(err)
	guest.Visit(asked.VerificationURI)
	guest.Fill("Code", asked.UserCode)
	guest.Click("Go on")
	guest.Sees("Approve only what you started yourself")
	guest.Axe()
	guest.Click("Approve")
	guest.Sees("gpu-7 is approved")
	guest.Visit(s.url + "/settings/")
	guest.Click("failed")
	guest.Axe()
	guest.Click("Save")
	guest.Sees("Your notices are saved")
	var wants bool
	guest.Evaluate(`document.getElementById("executions-error").checked`, &wants)
	if !wants {
		t.Error("the notices that were asked for are not kept")
	}

	b.Visit(s.url + "/o/1/members/")
	b.Sees("grace")
	b.Axe()
	b.Visit(s.url + "/o/1/settings/")
	b.Axe()
	b.Click("New webhook")
	b.Fill("Name", "chat")
	b.Fill("Address", "https://127.0.0.1:1/hook")
	b.Axe()
	b.Click("Make the channel")
	b.Sees("The signing secret of chat")
	b.Click("To the channel")
	b.Expect("/test/: 422")
	b.Click("Send a test")
	b.Sees("The test did not arrive")
	b.Axe()
	for _, path := range []string{"/users/", "/users/grace/", "/organizations/", "/settings/password/", "/device/", "/notices/", "/notices/new-channel/"} {
		b.Visit(s.url + path)
		b.Axe()
	}
}
