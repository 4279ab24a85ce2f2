package broker_test

import (
	"testing"

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

func TestWhatTakesOnlyThePasswordIsPulledThroughTheCacheWithoutIt(t *testing.T) {
	o := newOffice(t, granttest.Options{Kind: granttest.Basic})
	content, err := random.Image(1024, 1)
	o.must(err)
	digest, err := o.registry.Push(t.Context(), "ml/train", "v1", content)
	o.must(err)
	credential := o.register("robot", password, "registry.acme.example/*")
	if _, err := o.ask(o.project, train); fault.From(err).Code != "basic_only" {
		t.Errorf("without a cache: %v, want basic_only", err)
	}

	o.cache()
	for range 2 {
		answer, err := o.ask(o.project, train)
		o.must(err)
		given := answer.Grant
		if !given.Through || given.Scheme != "anonymous" || given.User != "" || !given.Secret.IsEmpty() || given.Host != "registry.acme.example" || answer.Credential.Name != "robot" {
			t.Errorf("the grant is %+v", given)
		}
	}
	events, _, err := o.store.Events(t.Context(), audit.Filter{
		OrganizationIDs: []int64{o.project.Owner.OrganizationID}, Verb: audit.GrantIssue, Limit: 1,
	})
	o.must(err)
	if events[0].Details["through"] != "cache" || events[0].Result != audit.ResultOK {
		t.Errorf("the trail does not say how: %+v", events[0])
	}

	// The cache itself has the password, for whoever may read with it.
	ref := image.MustParseReference(train)
	kept, err := o.broker.Grant(t.Context(), broker.Request{Project: o.project, Image: ref, Kept: true})
	o.must(err)
	if kept.Grant.Through || kept.Grant.Secret.Reveal() != password {
		t.Errorf("the cache's grant shows %s", kept.Grant.Scheme)
	}
	checked, err := o.broker.Check(t.Context(), broker.Request{Actor: account.Actor{UserID: "u"}, Project: o.project, Image: ref})
	o.must(err)
	if checked.Digest != digest.String() || !checked.Answer.Grant.Through || !checked.Answer.Grant.Secret.IsEmpty() {
		t.Errorf("checked: %+v", checked)
	}
	if _, err := o.ask(o.personal, train); err == nil {
		t.Error("a personal project was sent to the cache")
	}

	// A password that is wrong is found out before the worker goes anywhere.
	_, _, err = o.registries.Update(t.Context(), o.admin, credential.ID, registry.Change{
		SkipCheck: true, Material: &registry.Material{Secrets: map[string]secret.Text{"password": secret.New("wrong")}},
	})
	o.must(err)
	if answer, err := o.ask(o.project, train); fault.From(err).Code != "secret_refused" || answer.Grant.Through {
		t.Errorf("with a wrong password: %v, want secret_refused", err)
	}

	// Who says that workers may have it is taken at the word.
	_, _, err = o.registries.Update(t.Context(), o.admin, credential.ID, registry.Change{
		SkipCheck: true, Material: &registry.Material{
			Config: map[string]string{"basic_on_worker": "true"}, Secrets: map[string]secret.Text{"password": secret.New(password)},
		},
	})
	o.must(err)
	answer, err := o.ask(o.project, train)
	o.must(err)
	if answer.Grant.Through || answer.Grant.Scheme != "basic" || answer.Grant.Secret.Reveal() != password {
		t.Errorf("with basic_on_worker: %+v", answer.Grant)
	}
}

func TestWhatCanBeTradedIsNotSentToTheCache(t *testing.T) {
	o := newOffice(t, granttest.Options{})
	o.register("robot", password, "registry.acme.example/*")
	o.cache()
	answer, err := o.ask(o.project, train)
	o.must(err)
	if answer.Grant.Through || answer.Grant.Scheme != "bearer" || answer.Grant.Secret.IsEmpty() {
		t.Errorf("the grant is %+v", answer.Grant)
	}
	if _, err := o.ask(o.project, "registry.acme.example/other/x:v1"); fault.From(err).Code != "no_pull_right" {
		t.Errorf("%v, want no_pull_right", err)
	}
}
