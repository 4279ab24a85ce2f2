package journey_test

import "testing"

const lostWords = "The server does not answer. What you typed is still here"

func TestAFormOutlivesTheServer(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--worker=false")
	b := s.browse(s.admin)
	b.Visit(s.url + "/projects/")
	b.Fill("Name", "vision")
	b.Choose("Owner", "acme")
	s.kill()
	b.Expect(": net::ERR_CONNECTION_REFUSED")
	b.Expect("console: htmx:")
	b.Click("Make the project")
	b.Sees(lostWords)
	b.Holds("Name", "vision")
	b.Fill("Description optional", "typed while nobody listened")
	b.Axe()
	b.Screenshot("journey/lost")
	s.launch()
	b.Sees("The server is back.")
	b.Screenshot("journey/lost-back")
	b.SeesNot("The server is back.")
	b.Holds("Name", "vision")
	b.Click("Make the project")
	b.In("main", "vision").Sees("typed while nobody listened")

	b.Visit(s.url + "/o/1/registries/add/generic/")
	b.Fill("User name", robot)
	b.Fill("Password or token", robotPassword)
	b.Fill("Image patterns", "registry.acme.example/ml/*")
	b.Sees("so there is no image to try these patterns on")
	s.kill()
	b.Click("Check and save")
	b.Sees(lostWords)
	b.Sees("The check was broken off. What you typed is still here.")
	b.Axe()
	b.Screenshot("journey/lost-check")
	s.launch()
	b.Sees("The server is back.")
	b.Holds("Password or token", robotPassword)
	b.Click("Check and save")
	b.Sees("The credential registry.acme.example/ml/* is saved.")
}

func TestALogGoesOnAfterTheServerCameBack(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--worker=false")
	s.addCredential("registry.acme.example/ml/*")
	s.startWorker()
	b := s.browse(s.ada)
	runs(b, "tick")
	b.Sees("#1 tick")
	logged(b, "tick 2")
	s.kill()
	b.Expect(": net::ERR_") // of the log, and of the question whether the server is back
	b.Sees(lostWords)
	b.Screenshot("journey/lost-log")
	s.launch()
	b.Sees("The server is back.")
	logged(b, "tick 24")
	b.Sees("#1 tick complete")
	b.SeesNot("are not shown here")
	var lines []string
	b.Evaluate("[...document.querySelectorAll('#log .line:not(.status)')].map(e => e.textContent.trim())", &lines)
	if len(lines) != 24 {
		t.Errorf("the page has %d lines of 24: %q", len(lines), lines)
	}
	b.Axe()
	b.Screenshot("journey/lost-log-complete")
}
