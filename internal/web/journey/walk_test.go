package journey_test

import (
	"testing"

	"fairlead.dev/fairlead/internal/browsertest"
)

// place is a page: what its picture is called, its path, and what it shows.
type place struct{ name, path, shows string }

// places are every page.
func (s *server) places() []place {
	s.t.Helper()
	credential := s.addCredential("registry.acme.example/ml/*")
	s.addCredential("registry.acme.example/*")
	good, _ := s.ended(s.run("learn"))
	bad, _ := s.ended(s.run("hidden"))
	at, project := "/o/1/registries/"+credential.ID+"/", "/projects/"+s.project.ID+"/"
	return []place{
		{"executions", "/executions/", "hidden"},
		{"executions-none", "/executions/?status=stopped", "No execution is like that."},
		{"execution-complete", "/executions/" + good.ID + "/", "Metadata"},
		{"execution-failed", "/executions/" + bad.ID + "/", "Which credential serves this image?"},
		{"projects", "/projects/", "New project"},
		{"project", project, "All of them"},
		{"run", project + "run/?commit=" + s.commit, "hidden"},
		{"run-step", project + "run/?commit=" + s.commit + "&step=train", "epochs"},
		{"explain-empty", "/explain/", "No registry is asked."},
		{"explain", "/explain/?image=registry.acme.example/ml/train&project=" + s.project.ID, "It goes before the next one because"},
		{"registries", "/o/1/registries/", "2 in all"},
		{"registries-none", "/o/1/registries/?q=nothing", "No credential fits."},
		{"add", "/o/1/registries/add/", "Which registry"},
		{"add-generic", "/o/1/registries/add/generic/", "Password or token"},
		{"add-docker-hub", "/o/1/registries/add/docker-hub/", "Access token"},
		{"add-aws-ecr", "/o/1/registries/add/aws-ecr/", "Secret access key"},
		{"add-aws-ecr-role", "/o/1/registries/add/aws-ecr-role/", "Role name"},
		{"add-gcp", "/o/1/registries/add/gcp/", "Service account key"},
		{"add-azure", "/o/1/registries/add/azure/", "Client secret"},
		{"add-jfrog", "/o/1/registries/add/jfrog/", "Access token"},
		{"registry", at, "Image patterns"},
		{"registry-change", at + "change/", "Its secret stays."},
		{"registry-rotate", at + "rotate/", "The new secret is checked first"},
		{"audit", "/o/1/audit/", "credential.create"},
		{"audit-none", "/o/1/audit/?actor=nobody-at-all", "No row is like that."},
		{"audit-all", "/audit/", "What belongs to no organisation"},
		{"members", "/o/1/members/", "ada"},
		{"invitations", "/o/1/invitations/", "Make the invitation"},
		{"organization", "/o/1/settings/", "New webhook"},
		{"new-channel", "/o/1/settings/new-channel/", "Make the channel"},
		{"account", "/settings/", "My account"},
		{"password", "/settings/password/", "Change the password"},
		{"second-factor", "/settings/second-factor/", "Switch it on"},
		{"tokens", "/auth/tokens/", "Make the token"},
		{"device", "/device/", "Sign a machine in"},
		{"users", "/users/", "ada"},
		{"user", "/users/ada/", "ada"},
		{"new-organization", "/organizations/", "New organisation"},
		{"notices", "/notices/", "New"},
		{"environments", "/environments/", "New environment"},
		{"environment", "/environments/default/", "default"},
		{"workers", "/workers/", "Add a worker"},
		{"worker-token", "/workers/token/", "Add a worker"},
		{"cache-token", "/workers/cache-token/", "Add a cache"},
		{"cache", "/cache/", "Cache"},
	}
}

// walk looks at every page.
func (s *server) walk(b *browsertest.Browser, as string) {
	s.t.Helper()
	b.Visit(s.url)
	b.Axe()
	b.Screenshot("journey/" + as + "/sign-in")
	s.signInAt(b, s.admin)
	b.At("/executions/")
	for _, p := range s.places() {
		b.Visit(s.url + p.path)
		b.Sees(p.shows)
		b.Axe()
		b.Screenshot("journey/" + as + "/" + p.name)
		var wide bool
		b.Evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth", &wide)
		if wide {
			s.t.Errorf("%s is wider than its window", p.path)
		}
	}
	b.Expect("/nowhere/: 404")
	b.Visit(s.url + "/nowhere/")
	b.Sees("There is no page /nowhere/")
	b.Axe()
}

func TestEveryPageIsGoodOnAPhoneInTheDark(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	b := browsertest.New(t)
	b.Phone()
	b.Dark()
	s.walk(b, "phone")
}

func TestEveryPageIsGoodOnAWideScreenInTheLight(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	s.walk(browsertest.New(t), "wide")
}

// firstLoadMost is how many bytes the first two pages may be, of an empty cache.
const firstLoadMost = 150 << 10

func TestTheFirstLoadIsSmall(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--worker=false")
	for range 50 {
		s.run("train")
	}
	b := browsertest.New(t)
	b.Visit(s.url)
	first := b.Transferred()
	s.signInAt(b, s.admin)
	b.At("/executions/")
	b.Sees("#50")
	both := b.Transferred()
	t.Logf("the page of the sign-in is %d bytes, and it and that of 50 executions are %d", first, both)
	if both <= first || both > firstLoadMost {
		t.Errorf("they are %d and %d bytes; %d are allowed", first, both, firstLoadMost)
	}
}

func TestTheMainPagesNeedNoScript(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	b := browsertest.New(t)
	b.NoScript()
	b.Visit(s.url)
	b.Expect("/sign-in/: 422")
	s.signInAt(b, person{s.admin.name, "not my password"})
	b.Sees("The user name or the password is wrong.")
	b.Holds("User name", s.admin.name)
	b.Holds("Password", "") // a secret never comes back
	b.Axe()
	s.signInAt(b, s.admin)
	b.At("/executions/")
	b.Axe()

	b.Click("Registries")
	b.Click("Add the first one")
	b.Click("Any registry")
	b.Fill("Name optional", "the robot's")
	b.Fill("User name", robot)
	b.Fill("Password or token", "wrong")
	b.Fill("Image patterns", "registry.acme.example/ml/*")
	b.Expect("/add/generic/: 422")
	b.Click("Check and save")
	b.Sees("Nothing is saved: registry.acme.example does not accept")
	b.In("region", "The check").Sees("failed")
	b.Holds("Name optional", "the robot's")
	b.Holds("Password or token", "")
	b.Axe()
	b.Screenshot("journey/no-script/wrong-secret")
	b.Fill("Password or token", robotPassword)
	b.Click("Check and save")
	b.Sees("The credential the robot's is saved.")
	b.Axe()

	b.Click("Explain")
	b.Fill("Image", "registry.acme.example/ml/train:v1")
	b.Choose("Project", "acme/train")
	b.In("main", "Explain").Click("Explain")
	b.In("listitem", "used").Sees("the robot's")

	runs(b, "train")
	b.Sees("This browser runs no scripts")
	b.Axe()
	b.Screenshot("journey/no-script/execution")
	b.Click("All of it as text")
	b.Sees("Pulling image: registry.acme.example/ml/train:v1")
	b.Visit(s.url + "/projects/")
	b.Fill("Name", "vision")
	b.Click("Make the project")
	b.In("main", "vision").Sees("Nothing has run in this project yet.")
	b.Click("admin")
	b.Click("Sign out")
	b.Sees("You are signed out.")
}
