package journey_test

import (
	"net/http"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/wire"
)

func TestTheServerRunsStepsOnPrivateImagesAndSaysWhyItDoesNot(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	last, log := s.ended(s.run("train"))
	if last.Status != "error" || !strings.Contains(log, "no registry credential of the organisation acme covers registry.acme.example/ml/train") {
		t.Errorf("without a credential it is %s:\n%s", last.Status, log)
	}
	s.addCredential("registry.acme.example/*")
	for _, c := range []struct{ step, status, says string }{
		{"train", "complete", "training for 3 epochs"},
		{"fail", "error", "before"},
		{"hidden", "error", "registry.acme.example"},
	} {
		last, log := s.ended(s.run(c.step))
		if last.Status != c.status || !strings.Contains(log, c.says) || strings.Contains(log, "never") || strings.Contains(log, robotPassword) {
			t.Errorf("%s is %s:\n%s", c.step, last.Status, log)
		}
	}
	slow := s.run("slow")
	if _, err := s.signIn(s.ada).Stop(t.Context(), slow.ID); err != nil {
		t.Error(err)
	}
	if last, log := s.ended(slow); last.Status != "stopped" {
		t.Errorf("what was stopped is %s:\n%s", last.Status, log)
	}
}

func TestEachRegistryIsTrustedAndKnowsItsRobot(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	admin := s.signIn(s.admin)
	for _, c := range []struct{ kind, field, pattern string }{
		{"generic", "password", "registry.acme.example/ml/*"},
		{"generic", "password", "basic.acme.example/ml/*"},
		{"docker-hub", "access_token", "docker.io/acme/*"},
	} {
		for password, works := range map[string]bool{robotPassword: true, "wrong": false} {
			name := c.pattern + " with " + password
			created, err := admin.CreateCredential(t.Context(), wire.CredentialChange{
				Name: &name, Type: c.kind, Owner: "acme", ImagePatterns: []string{c.pattern}, Configuration: map[string]string{"username": robot, c.field: password},
			})
			if err != nil || created.Check == nil || (created.State != "fails") != works {
				t.Errorf("%s: it is %q, %+v, %v", name, created.State, created.Check, err)
			}
		}
	}
}

func TestTheAPIAnswersWhoSignedInAndNobodyElse(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/api/v0/users/me/", http.NoBody)
	s.check(err)
	response, err := http.DefaultClient.Do(request)
	s.check(err)
	defer response.Body.Close()
	if response.StatusCode != http.StatusUnauthorized {
		t.Errorf("nobody is answered %d", response.StatusCode)
	}
	for _, who := range []person{s.admin, s.ada} {
		me, err := s.signIn(who).Me(t.Context())
		if err != nil || me.Username != who.name {
			t.Errorf("%s is %q, %v", who.name, me.Username, err)
		}
	}
	_, err = s.trySignIn(person{"ada", "not her password"})
	if !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("a wrong password signs in: %v", err)
	}
}
