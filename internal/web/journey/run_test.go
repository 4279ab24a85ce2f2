package journey_test

import (
	"strconv"
	"testing"

	"fairlead.dev/fairlead/internal/browsertest"
)

// runs runs a step from the project's page.
func runs(b *browsertest.Browser, step string) {
	b.In("navigation", "Pages").Click("Projects")
	b.Click("train")
	b.Click("Run a step")
	b.In("main", "Run a step").In("list", step).Click(step)
	b.Click("Run it")
}

// logged waits until the page's log has the text. It asks no tree of accessibility,
// which Chromium does not survive while a page changes as fast as a log comes.
func logged(b *browsertest.Browser, text string) {
	b.WaitFor("#log")
	b.Evaluate(`new Promise(resolve => {
		const log = document.getElementById("log");
		const look = () => { if (log.textContent.includes(`+strconv.Quote(text)+`)) resolve(); };
		new MutationObserver(look).observe(log, {subtree: true, childList: true});
		look();
	})`, nil)
}

func TestAStepIsRunAndWatchedFromTheProjectsPage(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	s.addCredential("registry.acme.example/ml/*")
	b := s.browse(s.ada)
	b.Sees("Nothing has run yet.")
	b.Axe()
	b.Screenshot("journey/executions-empty")
	b.In("navigation", "Pages").Click("Projects")
	b.Axe()
	b.Screenshot("journey/projects")
	b.Click("train")
	b.Sees("Nothing has run in this project yet.")
	b.Axe()
	b.Screenshot("journey/project")
	b.Click("Run a step")
	b.Sees("learn")
	b.Axe()
	b.Screenshot("journey/run")
	b.In("main", "Run a step").Click("learn")
	b.Fill("Title optional", "the first try")
	b.Axe()
	b.Screenshot("journey/run-step")
	release := s.registry.Hold()
	b.Click("Run it")
	b.Sees("#1 the first try running")
	b.Axe()
	b.Screenshot("journey/execution-pulling")
	release()
	b.Sees("#1 the first try complete")
	logged(b, `{"epoch":6,"loss":0.1}`)
	b.Sees("sha256:")
	b.In("region", "The pull over time").Sees("Rate")
	b.In("listitem", "loss").Sees("0.1 to 0.9 in 6 values, last 0.1")
	b.In("region", "Outputs").Sees("model.txt")
	b.Axe()
	b.Screenshot("journey/execution-complete")

	runs(b, "slow")
	b.Sees("#2 slow")
	logged(b, "started")
	b.Sees("#2 slow running") // while its log is shown
	b.Screenshot("journey/execution-running")
	b.Click("Stop")
	b.Sees("was told to stop")
	b.Sees("#2 slow stopped")
	b.Axe()
	b.Screenshot("journey/execution-stopped")
	b.In("navigation", "Pages").Click("Executions")
	b.In("row", "#1").Sees("complete")
	b.In("row", "#2").Sees("stopped")
	b.Choose("State", "Complete")
	b.Click("Show")
	b.SeesNot("#2")
	b.Axe()
	b.Screenshot("journey/executions")
}

func TestAFailedPullLeadsToItsExplanation(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	b := s.browse(s.ada)
	runs(b, "train")
	b.Sees("#1 train failed")
	b.Sees("No registry credential of the organisation acme covers registry.acme.example/ml/train")
	b.Axe()
	b.Screenshot("journey/execution-uncovered")
	b.Click("Which credential serves this image?")
	b.Sees("Ask an admin of acme to add its registry")
	b.Axe()
	b.Screenshot("journey/explain-member")

	s.addCredential("registry.acme.example/*")
	runs(b, "hidden")
	b.Sees("#2 hidden failed")
	b.Axe()
	b.Screenshot("journey/execution-refused")
	b.Click("Which credential serves this image?")
	b.In("listitem", "used").Sees("registry.acme.example/*")
	runs(b, "fail")
	b.Sees("#3 fail failed")
	logged(b, "before")
	b.Sees("Exit code 7")
	b.Axe()
	b.Screenshot("journey/execution-failed")
}
