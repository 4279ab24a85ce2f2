package journey_test

import "testing"

func TestWhatWasDoneIsFoundInTheAuditTrail(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	b := s.browse(s.admin)
	b.Visit(s.url + "/o/1/registries/add/generic/")
	b.Fill("Name optional", "the robot's")
	b.Fill("User name", robot)
	b.Fill("Password or token", robotPassword)
	b.Fill("Image patterns", "registry.acme.example/ml/*")
	b.Click("Check and save")
	b.Sees("The credential the robot's is saved.")
	pulled, _ := s.ended(s.run("train"))

	b.Click("Audit")
	rows := b.In("region", "Rows of the trail")
	rows.Sees("credential.create")
	b.Axe()
	b.Screenshot("journey/audit")
	b.Fill("What", "credential.create")
	b.Click("Show")
	rows.SeesNot("grant.issue")
	rows.In("row", "credential.create").Sees("admin")
	rows.In("row", "credential.create").Sees("the robot's")
	b.Axe()
	b.Screenshot("journey/audit-credential")

	b.Click("Show all")
	b.Fill("For execution", pulled.ID)
	b.Click("Show")
	rows.In("row", "grant.issue").Sees("ok")
	rows.SeesNot("credential.create")
	b.SeesNot(robotPassword)
	b.Axe()
	b.Screenshot("journey/audit-execution")
	b.Fill("Who", "ada")
	b.Fill("What", "credential")
	b.Click("Show")
	b.Sees("No row is like that.")
	b.Screenshot("journey/audit-none")
}
