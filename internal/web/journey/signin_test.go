package journey_test

import (
	"testing"

	"fairlead.dev/fairlead/internal/browsertest"
)

// browse opens a browser in which somebody has signed in.
func (s *server) browse(who person) *browsertest.Browser {
	s.t.Helper()
	b := browsertest.New(s.t)
	b.Visit(s.url)
	s.signInAt(b, who)
	b.At("/executions/")
	return b
}

func (s *server) signInAt(b *browsertest.Browser, who person) {
	s.t.Helper()
	b.Fill("User name", who.name)
	b.Fill("Password", who.password)
	b.Click("Sign in")
}

func TestSomebodySignsInAfterAWrongPassword(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	b := browsertest.New(t)
	b.Visit(s.url + "/projects/")
	b.At("/sign-in/?to=%2Fprojects%2F")
	b.Axe()
	b.Screenshot("journey/sign-in")
	b.Expect("/sign-in/: 422")
	s.signInAt(b, person{s.admin.name, "not my password"})
	b.Sees("The user name or the password is wrong.")
	b.Holds("User name", s.admin.name)
	b.Axe()
	b.Screenshot("journey/sign-in-wrong")
	s.signInAt(b, s.admin)
	b.At("/projects/")
	b.In("link", "train").Sees("train")
	b.Click("admin")
	b.Axe()
	b.Screenshot("journey/menu")
	b.Click("Sign out")
	b.Sees("You are signed out.")
	b.Visit(s.url + "/projects/")
	b.At("/sign-in/?to=%2Fprojects%2F")
}
