package web_test

import (
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/browsertest"
	"fairlead.dev/fairlead/internal/cache"
	"fairlead.dev/fairlead/internal/web"
)

// operating is root's browser.
func (h *house) operating() *browsertest.Browser {
	h.t.Helper()
	b := browsertest.New(h.t)
	b.Visit(h.server.URL + "/sign-in/?to=/environments/")
	b.Fill("User name", "root")
	b.Fill("Password", "password of root")
	b.Click("Sign in")
	b.Sees("New environment")
	return b
}

func TestAnOperatorRunsTheInstallationInABrowser(t *testing.T) {
	var kept *cache.Cache
	var watch *web.CacheWatch
	h := newHouse(t, cached(&kept, &watch))
	h.furnish()
	h.run()
	h.take()
	h.must(watch.Note(t.Context(), time.Now()))
	b := h.operating()
	b.Axe()
	b.Fill("Name", "Big GPUs")
	b.Fill("At once optional", "2000000")
	b.Expect("422")
	b.Click("Make the environment")
	b.Sees("2000000 is not from 0 to 1000000")
	b.Holds("Name", "Big GPUs")
	b.Fill("At once optional", "2")
	b.Click("Make the environment")
	b.Sees("The environment Big GPUs is made.")
	b.Click("Big GPUs")
	b.Sees("Delete this environment")
	b.Axe()

	b.Visit(h.server.URL + "/workers/")
	b.Sees("acme/vision #1")
	b.Axe()
	b.Click("Add a worker")
	b.Axe()
	b.Fill("Name", "gpu-box-1")
	b.Choose("Environment", "Big GPUs")
	b.Click("Make the token")
	b.Sees("It is shown now and never again.")
	b.Axe()
	b.Click("Done")
	b.Sees("gpu-box-1")
	b.Phone()
	b.Dark()
	b.Axe()

	b.Visit(h.server.URL + "/cache/")
	b.Sees("A figure a minute since")
	b.Axe()
}

func TestTheTrailIsReadInABrowser(t *testing.T) {
	h := newHouse(t)
	h.furnish()
	b := h.operating()
	b.Visit(h.server.URL + auditPath(h.organization("ada", "acme")))
	b.Sees("credential.create")
	b.Axe()
	b.Fill("What", "project")
	b.Click("Show")
	b.Sees("1 row")
	b.SeesNot("credential.create")
	b.Click("Show all")
	b.Phone()
	b.Axe()
}
