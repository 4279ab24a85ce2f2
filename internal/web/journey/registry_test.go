package journey_test

import (
	"maps"
	"slices"
	"testing"
)

func TestARegistryOfEveryKindIsAddedAndItsCheckIsWatched(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	entries := s.entries()
	s.launch()
	b := s.browse(s.admin)
	b.Click("Registries")
	b.Sees("acme has no registry credentials yet")
	b.Axe()
	b.Screenshot("journey/registries-empty")
	b.Click("Add the first one")
	b.Sees("Which registry are the images of acme in?")
	b.Axe()
	b.Screenshot("journey/registry-kinds")
	for _, e := range entries {
		b.Visit(s.url + "/o/1/registries/add/")
		b.Click(e.title)
		for _, label := range slices.Sorted(maps.Keys(e.fields)) {
			b.Fill(label, e.fields[label])
		}
		b.Fill("Image patterns", e.pattern)
		b.Sees("so there is no image to try these patterns on")
		b.Axe()
		b.Screenshot("journey/add-" + e.kind)
		release := e.registry.Hold()
		b.Click("Check and save")
		if e.secret != "" {
			b.Sees("Asking the registry…")
		}
		release()
		b.Sees("The credential " + e.pattern + " is saved.")
		b.In("region", "The check").Sees(e.told)
		b.In("region", "The check").SeesNot("failed")
		b.Axe()
		b.Screenshot("journey/added-" + e.kind)
		if e.secret != "" {
			b.SeesNot(e.fields[e.secret])
		}
	}
	b.In("navigation", "Pages").Click("Registries")
	b.Sees("7 in all")
	for _, e := range entries {
		b.In("row", e.pattern).Sees(e.title)
		b.In("row", e.pattern).Sees("works")
	}
	b.Axe()
	b.Screenshot("journey/registries")
}

func TestAWrongSecretIsToldAndMendedAndRotatedLater(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	b := s.browse(s.admin)
	b.Visit(s.url + "/o/1/registries/add/generic/")
	b.Fill("Name optional", "the robot's")
	b.Fill("User name", robot)
	b.Fill("Password or token", "wrong")
	b.Fill("Image patterns", "registry.acme.example/ml/*")
	b.Click("Check and save")
	b.In("region", "The check").Sees(`failed registry.acme.example does not accept user "robot" with this secret`)
	b.Sees("Nothing is saved: registry.acme.example does not accept")
	b.Holds("Name optional", "the robot's")
	b.Holds("User name", robot)
	b.Holds("Password or token", "wrong")
	b.Holds("Image patterns", "registry.acme.example/ml/*")
	b.Axe()
	b.Screenshot("journey/wrong-secret")
	b.Fill("Password or token", robotPassword)
	b.Click("Check and save")
	b.Sees("The credential the robot's is saved.")

	b.Fill("An image to try optional", "registry.acme.example/ml/train:v1")
	b.Click("Check now")
	b.Sees("was checked: it works")
	b.Screenshot("journey/checked")

	const fresh = "a-fresh-horse-and-battery"
	b.Click("Rotate")
	b.Axe()
	b.Screenshot("journey/rotate")
	b.Fill("Password or token", fresh)
	b.Click("Check and use it")
	b.Sees("The new secret is not used, and nothing has changed: registry.acme.example does not accept")
	b.Axe()
	b.Screenshot("journey/rotate-wrong")
	s.registry.SetPassword(robot, fresh)
	b.Click("Check and use it")
	b.Sees("has its new secret")
	b.Axe()
	b.Screenshot("journey/rotated")
	b.SeesNot(fresh)
	if last, log := s.ended(s.run("train")); last.Status != "complete" {
		t.Errorf("with the new secret it is %s:\n%s", last.Status, log)
	}
}

func TestWhyAnImageGetsItsCredentialIsExplained(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	for _, pattern := range []string{"registry.acme.example/*", "registry.acme.example/ml/*", "basic.acme.example/ml/*"} {
		s.addCredential(pattern)
	}
	b := s.browse(s.admin)
	b.In("navigation", "Pages").Click("Explain")
	b.Axe()
	b.Screenshot("journey/explain-empty")
	b.Fill("Image", "registry.acme.example/ml/train:v1")
	b.Choose("Project", "acme/train")
	b.In("main", "Explain").Click("Explain")
	won := b.In("listitem", "used")
	won.Sees("registry.acme.example/ml/*")
	won.Sees("It goes before the next one because")
	b.In("listitem", "behind").Sees("registry.acme.example/*")
	b.Axe()
	b.Screenshot("journey/explain")
	b.Fill("Image", "basic.acme.example/mll/train:v1")
	b.In("main", "Explain").Click("Explain")
	b.Sees("Almost")
	b.In("listitem", "It does not cover it").Sees("basic.acme.example/ml/*")
	b.Axe()
	b.Screenshot("journey/explain-almost")
}
