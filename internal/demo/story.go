package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/app"
	"fairlead.dev/fairlead/internal/client"
	"fairlead.dev/fairlead/internal/demoimage"
	"fairlead.dev/fairlead/internal/grant/granttest"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/source"
	"fairlead.dev/fairlead/internal/wire"
)

// Who is in the story.
const (
	adminName    = "admin"
	memberName   = "member"
	organization = "acme"
)

// story is what happens, over the API as anybody's would.
type story struct {
	teller
	server  *app.Server
	shelves []*shelf
	code    string // directory of the project

	adminPassword         secret.Text
	admin, member         *client.Client
	owned, personal       wire.Project
	ownedCode, privateOne string // identifiers of the uploaded code
}

// tell tells the story and returns what did not come out right.
func (s *story) tell(ctx context.Context) error {
	for _, part := range []func(context.Context) error{
		s.people, s.credentials, s.projects, s.privateImages, s.personalRefused, s.uncovered, s.wrongSecret, s.failures, s.trail,
	} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	s.chapter("Everything came out right")
	return nil
}

// people makes the organisation, its admin and its member.
func (s *story) people(ctx context.Context) (err error) {
	s.chapter("An organisation with an admin and a member")
	operator, err := s.signIn(ctx, s.server.First().Username, s.server.First().Password)
	if err != nil {
		return err
	}
	defer operator.Close()
	if _, err := operator.CreateOrganization(ctx, wire.NewOrganization{Name: organization}); err != nil {
		return err
	}
	for _, user := range []struct{ name, role string }{{adminName, "admin"}, {memberName, "member"}} {
		name, role := user.name, user.role
		password := newPassword()
		if _, err := operator.CreateUser(ctx, wire.NewUser{Username: name, Password: wire.NewPassword(password.Reveal())}); err != nil {
			return err
		}
		if _, err := operator.SetMember(ctx, organization, wire.NewMember{Username: name, Role: role}); err != nil {
			return err
		}
		signed, err := s.signIn(ctx, name, password)
		if err != nil {
			return err
		}
		if name == adminName {
			s.admin, s.adminPassword = signed, password
		} else {
			s.member = signed
		}
	}
	s.say("%s: %s (admin) and %s (member)", organization, adminName, memberName)
	return nil
}

func (s *story) signIn(ctx context.Context, name string, password secret.Text) (*client.Client, error) {
	anonymous, err := client.New(client.Config{Server: s.server.URL(), Transport: s.config.Transport})
	if err != nil {
		return nil, err
	}
	defer anonymous.Close()
	got, err := anonymous.SignIn(ctx, wire.GetToken{Username: name, Password: wire.NewPassword(password.Reveal()), Name: "demo"})
	if err != nil {
		return nil, err
	}
	return client.New(client.Config{Server: s.server.URL(), Transport: s.config.Transport, Token: secret.New(got.Token)})
}

// credentials registers one credential of each kind; a member may not.
func (s *story) credentials(ctx context.Context) error {
	s.chapter("The admin registers the registries' credentials, once for all projects")
	for _, shelf := range s.shelves {
		name := shelf.kind
		created, err := s.admin.CreateCredential(ctx, wire.CredentialChange{
			Type: name, Name: &name, Owner: organization, ImagePatterns: []string{shelf.pattern},
			Configuration: shelf.configuration(),
		})
		if err != nil {
			return err
		}
		s.say("%s serves %s", created.Name, strings.Join(created.ImagePatterns, ", "))
		if err := s.checked(created); err != nil {
			return err
		}
	}
	if _, err := s.member.Credentials(ctx, organization); err == nil {
		return errors.New("a member could see the registry credentials")
	}
	s.say("%s, who is no admin, may not even see them", memberName)
	return nil
}

// checked shows what the registry answered when the credential was saved.
func (s *story) checked(credential wire.Credential) error {
	if credential.Check == nil {
		return fmt.Errorf("the credential %s was not checked", credential.Name)
	}
	for _, step := range credential.Check.Steps {
		s.say("  %s: %s", step.Result, s.config.Harmless(step.Sentence))
		if step.Result == "failed" {
			return fmt.Errorf("the check of %s failed: %s", credential.Name, step.Sentence)
		}
	}
	return nil
}

// projects makes a project of the organisation and a personal one, with the
// same code.
func (s *story) projects(ctx context.Context) (err error) {
	s.chapter("The member's projects: one of the organisation, one personal")
	if s.owned, err = s.member.CreateProject(ctx, wire.NewProject{Name: "forecast", Owner: organization}); err != nil {
		return err
	}
	if s.personal, err = s.member.CreateProject(ctx, wire.NewProject{Name: "notes"}); err != nil {
		return err
	}
	if s.ownedCode, err = s.upload(ctx, s.owned); err != nil {
		return err
	}
	if s.privateOne, err = s.upload(ctx, s.personal); err != nil {
		return err
	}
	s.say("forecast of %s, and notes of %s", organization, memberName)
	return nil
}

func (s *story) upload(ctx context.Context, project wire.Project) (string, error) {
	var packed bytes.Buffer
	if _, err := source.Pack(ctx, s.code, &packed, source.Options{}); err != nil {
		return "", err
	}
	commit, err := s.member.ImportPackage(ctx, project.ID, "the demo's code", "", &packed)
	return commit.Identifier, err
}

// privateImages runs a step on a private image of each registry.
func (s *story) privateImages(ctx context.Context) error {
	for _, shelf := range s.shelves {
		step, output := shelf.step, shelf.output
		s.chapter("fairlead run " + step + "   (" + shelf.kind + ")")
		ended, log, err := s.run(ctx, s.owned, s.ownedCode, step)
		if err != nil {
			return err
		}
		if ended.Status != "complete" || ended.ImageDigest == "" {
			return fmt.Errorf("the step %s is %s, not complete with an image digest", step, ended.Status)
		}
		for _, line := range []string{"Pulling image: ", "Image digest: " + ended.ImageDigest, output} {
			if !strings.Contains(log, line) {
				return fmt.Errorf("the log of the step %s does not say %q", step, line)
			}
		}
	}
	return nil
}

// run runs a step, shows its log and returns it.
func (s *story) run(ctx context.Context, project wire.Project, commit, step string) (wire.Execution, string, error) {
	created, err := s.member.CreateExecution(ctx, wire.NewExecution{Project: project.ID, Commit: commit, Step: step})
	if err != nil {
		return wire.Execution{}, "", err
	}
	shown := &log{teller: s.teller}
	ended, err := s.member.Follow(ctx, created.ID, 0, shown)
	return ended, shown.text.String(), err
}

// log shows an execution's log and keeps it.
type log struct {
	teller
	text strings.Builder
}

// Lines shows new lines.
func (l *log) Lines(events []wire.Event) error {
	for _, event := range events {
		l.say("| %s", l.config.Harmless(event.Message))
		l.text.WriteString(event.Message + "\n")
	}
	return nil
}

// State tells how it ended.
func (l *log) State(e wire.Execution) error {
	if e.EndTime != nil {
		l.say("=> %s", e.Status)
	}
	return nil
}

// refused runs a step that has to fail with a code, and shows the sentence.
func (s *story) refused(ctx context.Context, project wire.Project, commit, step, code string) error {
	ended, _, err := s.run(ctx, project, commit, step)
	if err != nil {
		return err
	}
	if ended.Status != "error" || ended.Failure == nil || ended.Failure.Code != code {
		return fmt.Errorf("the step %s should have failed with %s, and is %s (%v)", step, code, ended.Status, ended.Failure)
	}
	return nil
}

func (s *story) personalRefused(ctx context.Context) error {
	s.chapter("The same step in the personal project: refused, and why")
	return s.refused(ctx, s.personal, s.privateOne, "train", "personal_project")
}

func (s *story) uncovered(ctx context.Context) error {
	s.chapter("An image that no pattern covers: refused, with the nearest one")
	return s.refused(ctx, s.owned, s.ownedCode, "uncovered", "no_credential")
}

// wrongSecret changes the credential to a wrong secret, and mends it.
func (s *story) wrongSecret(ctx context.Context) error {
	s.chapter("A wrong secret: the log says which credential, and what is wrong with it")
	shelf := s.shelves[0]
	change := func(password string) error { return s.change(ctx, shelf, map[string]string{"password": password}) }
	if err := change("not-the-password"); err != nil {
		return err
	}
	if err := s.refused(ctx, s.owned, s.ownedCode, "train", "secret_refused"); err != nil {
		return err
	}
	if err := change(shelf.secrets["password"].Reveal()); err != nil {
		return err
	}
	s.chapter("Mended by the admin, and it works at once; the image is here already")
	ended, _, err := s.run(ctx, s.owned, s.ownedCode, "train")
	if err == nil && ended.Status != "complete" {
		err = fmt.Errorf("after the secret was mended the step is %s", ended.Status)
	}
	return err
}

// failures are what else people meet, each told in a sentence.
func (s *story) failures(ctx context.Context) error {
	generic, hub, jfrog, ecr, gcp, azure := s.shelves[0], s.shelves[1], s.shelves[2], s.shelves[3], s.shelves[5], s.shelves[6]
	for _, failure := range []struct {
		title string
		step  string
		code  string
		begin func() error // nil: nothing has to happen first
		end   func() error
	}{
		{title: "A tag that was never pushed", step: "no-tag", code: "image_not_found"},
		{title: "A private repository of somebody else on Docker Hub", step: "others", code: "no_pull_right"},
		{title: "A repository that ECR does not have", step: "no-repository", code: "repository_not_found"},
		{title: "A host that there is not", step: "no-host", code: "dns_unknown"},
		{
			title: "A token of JFrog that has expired", step: "infer", code: "secret_expired",
			begin: func() error {
				jfrog.registry.SetState("reader", granttest.Expired)
				return s.touch(ctx, jfrog)
			},
			end: func() error {
				jfrog.registry.SetState("reader", granttest.Valid)
				return s.touch(ctx, jfrog)
			},
		},
		{
			title: "Docker Hub's rate limit", step: "report", code: "rate_limited",
			begin: func() error {
				hub.registry.SetRateLimit(0, 200, 6*time.Hour)
				return s.pushAnew(ctx, hub)
			},
			end: func() error {
				hub.registry.SetRateLimit(200, 200, 6*time.Hour)
				return nil
			},
		},
		{
			title: "A wrong secret access key of AWS", step: "label", code: "secret_refused",
			begin: func() error {
				return s.change(ctx, ecr, map[string]string{"secret_access_key": strings.Repeat("x", 40)})
			},
			end: func() error {
				return s.change(ctx, ecr, map[string]string{"secret_access_key": ecr.secrets["secret_access_key"].Reveal()})
			},
		},
		{
			title: "A right that AWS does not give", step: "label", code: "access_denied",
			begin: func() error {
				ecr.aws.SetPolicies("fairlead", awsChecks, `{"Version": "2012-10-17", "Statement": [
					{"Effect": "Allow", "Action": "ecr:GetAuthorizationToken", "Resource": "*"}]}`)
				return s.touch(ctx, ecr)
			},
			end: func() error {
				ecr.aws.SetPolicies("fairlead", awsPull, awsChecks)
				return s.touch(ctx, ecr)
			},
		},
		{
			title: "A role that Google's service account has lost", step: "embed", code: "access_denied",
			begin: func() error {
				gcp.google.SetRoles("fairlead@my-project.iam.gserviceaccount.com", nil)
				return s.touch(ctx, gcp)
			},
			end: func() error {
				gcp.google.SetRoles("fairlead@my-project.iam.gserviceaccount.com", map[string]granttest.GoogleRole{"my-project/ml": granttest.GoogleReader})
				return s.touch(ctx, gcp)
			},
		},
		{
			title: "The firewall of an Azure registry", step: "evaluate", code: "registry_firewall",
			begin: func() error {
				azure.azure.SetFirewall(true)
				return s.touch(ctx, azure)
			},
			end: func() error {
				azure.azure.SetFirewall(false)
				return s.touch(ctx, azure)
			},
		},
		{
			title: "A client secret of Azure that is mistyped", step: "evaluate", code: "secret_refused",
			begin: func() error { return s.change(ctx, azure, map[string]string{"client_secret": "mistyped"}) },
			end: func() error {
				return s.change(ctx, azure, map[string]string{"client_secret": azure.secrets["client_secret"].Reveal()})
			},
		},
		{
			title: "A registry that is down", step: "train", code: "registry_down",
			begin: func() error {
				generic.registry.SetOutage(http.StatusServiceUnavailable)
				return s.touch(ctx, generic)
			},
			end: func() error {
				generic.registry.SetOutage(0)
				return nil
			},
		},
	} {
		s.chapter(failure.title)
		if failure.begin != nil {
			if err := failure.begin(); err != nil {
				return err
			}
		}
		if err := s.refused(ctx, s.owned, s.ownedCode, failure.step, failure.code); err != nil {
			return err
		}
		if failure.end != nil {
			if err := failure.end(); err != nil {
				return err
			}
		}
	}
	return nil
}

// touch makes a credential's grants of before be asked for again.
func (s *story) touch(ctx context.Context, shelf *shelf) error {
	return s.change(ctx, shelf, shelf.configuration())
}

// pushAnew puts another image under the tag, so that the worker has to ask for a
// manifest that it does not know.
func (s *story) pushAnew(ctx context.Context, shelf *shelf) error {
	options := shelf.image
	options.Files = map[string][]byte{"etc/motd": []byte("accuracy 0.98\n")}
	image, err := demoimage.New(options)
	if err != nil {
		return err
	}
	_, err = shelf.registry.Push(ctx, shelf.repository, tag, image)
	return err
}

// change changes fields of a shelf's credential.
func (s *story) change(ctx context.Context, shelf *shelf, fields map[string]string) error {
	all, err := s.admin.Credentials(ctx, organization)
	if err != nil {
		return err
	}
	unchecked := false
	for _, credential := range all {
		if credential.Name == shelf.kind {
			_, err := s.admin.ChangeCredential(ctx, credential.ID, wire.CredentialChange{Configuration: fields, Check: &unchecked})
			return err
		}
	}
	return fmt.Errorf("there is no credential %s", shelf.kind)
}

// trail shows that every grant left a row.
func (s *story) trail(ctx context.Context) error {
	s.chapter("The audit trail")
	events, err := s.admin.Audit(ctx, client.AuditFilter{Verb: "grant"}, 100)
	if err != nil {
		return err
	}
	results := make(map[string]int)
	for _, event := range events.Results {
		results[event.Result]++
	}
	for _, result := range []string{"ok", "no_credential", "secret_refused"} {
		if results[result] == 0 {
			return fmt.Errorf("no audit row tells of a grant with the result %s", result)
		}
		s.say("grant.issue %s: %d", result, results[result])
	}
	return nil
}
