package broker_test

import (
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/random"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/broker"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/grant/granttest"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/registry"
	"fairlead.dev/fairlead/internal/secret"
)

func (o *office) rotate(credential registry.Credential, password string, skipCheck bool) error {
	o.t.Helper()
	_, _, err := o.registries.Rotate(o.t.Context(), o.admin, credential.ID, registry.Rotation{
		SkipCheck: skipCheck, New: &registry.Material{Secrets: map[string]secret.Text{"password": secret.New(password)}},
	}, nil)
	return err
}

func TestWhileANewSecretIsNotKnownYetTheOldOneIsTriedAndThenForgotten(t *testing.T) {
	o := newOffice(t, granttest.Options{})
	credential := o.register("robot", password, "registry.acme.example/*")
	o.must(o.rotate(credential, "not-known-yet", true))
	answer, err := o.ask(o.project, train)
	o.must(err)
	if answer.Grant.HeldVersion != credential.Version {
		t.Errorf("the grant is of version %d, want %d", answer.Grant.HeldVersion, credential.Version)
	}
	events, _, err := o.store.Events(t.Context(), audit.Filter{
		OrganizationIDs: []int64{o.project.Owner.OrganizationID}, Verb: audit.GrantIssue, Limit: 1,
	})
	o.must(err)
	if events[0].Details["held_version"] != "1" {
		t.Errorf("the trail does not say that the old secret was used: %v", events[0].Details)
	}

	// The registry learns of the new one: it is used from then on.
	o.registry.SetPassword("robot", "not-known-yet")
	answer, err = o.ask(o.project, "registry.acme.example/ml/infer:v1")
	o.must(err)
	if answer.Grant.HeldVersion != 0 {
		t.Error("the old secret was used though the new one is accepted")
	}

	// After the longest grant it is gone, and is tried no more.
	o.wait(24 * time.Hour)
	forgotten, err := o.registries.ForgetHeld(t.Context())
	o.must(err)
	if forgotten != 1 {
		t.Errorf("%d forgotten, want 1", forgotten)
	}
	o.registry.SetPassword("robot", password)
	if _, err := o.ask(o.project, train); fault.From(err).Code != "secret_refused" {
		t.Errorf("%v, want secret_refused: the old secret is forgotten", err)
	}
}

func TestAGrantOutlivesARotation(t *testing.T) {
	o := newOffice(t, granttest.Options{Lifetime: 10 * time.Minute})
	credential := o.register("robot", password, "registry.acme.example/*")
	before, err := o.ask(o.project, train)
	o.must(err)
	o.registry.SetPassword("robot", "fresh-secret")
	o.must(o.rotate(credential, "fresh-secret", false))
	held, err := o.registries.Held(t.Context(), credential)
	o.must(err)
	if len(held) != 1 || held[0].Until.Before(before.Grant.ExpiresAt) {
		t.Errorf("held %+v, want until %s at least: the grant is in use", held, before.Grant.ExpiresAt)
	}
	if before.Grant.ExpiresAt.Before(o.now()) {
		t.Error("the grant of the old secret ended with the rotation")
	}
	after, err := o.ask(o.project, train)
	o.must(err)
	if after.Grant.Secret.Equal(before.Grant.Secret) {
		t.Error("the next execution got the grant of the old secret")
	}
}

func TestAnImageIsTriedUpToItsManifestAndTheFailureIsThatOfAPull(t *testing.T) {
	o := newOffice(t, granttest.Options{})
	content, err := random.Image(1024, 1)
	o.must(err)
	digest, err := o.registry.Push(t.Context(), "ml/train", "v1", content)
	o.must(err)
	o.register("robot", password, "registry.acme.example/*")
	check := func(name string) broker.Checked {
		t.Helper()
		ref, err := image.ParseReference(name)
		o.must(err)
		checked, err := o.broker.Check(t.Context(), broker.Request{
			Actor: account.Actor{UserID: "u", Username: "ada"}, Project: o.project, Image: ref,
		})
		o.must(err)
		return checked
	}
	if got := check(train); got.Digest != digest.String() || got.Failure != nil {
		t.Errorf("%+v, want digest %s", got, digest)
	}
	if got := check("registry.acme.example/ml/train:none"); got.Failure == nil || got.Failure.Kind != fault.NotFound {
		t.Errorf("%+v, want not found", got)
	}
	if got := check("registry.acme.example/other/x:v1"); got.Failure == nil || got.Failure.Code != "no_pull_right" {
		t.Errorf("%+v, want no_pull_right", got)
	}
}
