package web_test

import (
	"testing"

	"fairlead.dev/fairlead/internal/browsertest"
)

// needs, once in the package: func TestMain(m *testing.M) { browsertest.Main(m) }

func (h *harbour) browser(name string) *browsertest.Browser {
	h.t.Helper()
	b := browsertest.New(h.t)
	b.Visit(h.server.URL + "/sign-in/?to=" + h.acme)
	b.Fill("User name", name)
	b.Fill("Password", "password of "+name)
	b.Click("Sign in")
	b.Sees("Registries")
	return b
}

func TestACredentialIsAddedWithALiveCheckAndRotatedAndDeletedInABrowser(t *testing.T) {
	h := newHarbour(t)
	h.ran("registry.acme.example/ml/train:v1", "ghcr.io/acme/web:v1")
	b := h.browser("ada")
	b.Axe()
	b.Click("Add the first one")
	b.Sees("Which registry")
	b.Axe()
	b.Visit(h.server.URL + h.acme + "add/generic/")
	b.Fill("User name", "robot")
	b.Fill("Password or token", "wrong")
	b.Fill("Image patterns", "registry.acme.example/ml/*")
	b.Sees("1 would use it")
	b.Click("Check and save")
	b.Sees("Nothing is saved")
	b.Axe()
	b.Holds("User name", "robot")
	b.Holds("Password or token", "wrong") // nothing that was typed is lost
	b.Fill("Password or token", registryPassword)
	b.Click("Check and save")
	b.Sees("The credential registry.acme.example/ml/* is saved.")
	b.Axe()
	b.Fill("An image to try optional", "registry.acme.example/ml/train:v1")
	b.Click("Check now")
	b.Sees("was checked: it works")
	b.Click("Rotate")
	b.Fill("Password or token", "wrong again")
	b.Click("Check and use it")
	b.Sees("nothing has changed")
	b.Axe()
	b.Fill("Password or token", registryPassword)
	b.Click("Check and use it")
	b.Sees("has its new secret")
	b.Click("Change")
	b.Fill("Image patterns", "https://nope")
	b.Sees("a pattern has no scheme")
	b.Expect("422")
	b.Click("Save")
	b.Sees("see the marked fields")
	b.Holds("Image patterns", "https://nope")
	b.Axe()
	b.Fill("Image patterns", "registry.acme.example/ml/train")
	b.Click("Save")
	b.Sees("is changed")
	b.Click("Delete this credential")
	b.Sees("would be pulled without a credential")
	b.Axe()
	b.Click("Delete registry.acme.example/ml/*")
	b.Sees("is deleted")
}

func TestTheListOfCredentialsIsSearchedWhileOneTypesAlsoOnAPhone(t *testing.T) {
	h := newHarbour(t)
	h.add("wide", "ghcr.io/acme/*")
	h.add("narrow", "ghcr.io/acme/train")
	b := h.browser("ada")
	b.Dark()
	b.Phone()
	b.Visit(h.server.URL + h.acme)
	b.Axe()
	b.Fill("Name, pattern or kind", "train")
	b.Sees("1 of 2")
	b.SeesNot("wide")
	b.Visit(h.server.URL + "/explain/?image=ghcr.io/acme/train&project=acme/vision")
	b.Sees("goes before")
	b.Axe()
}
