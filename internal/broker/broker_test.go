package broker_test

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/app/adapter"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/broker"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/grant"
	"fairlead.dev/fairlead/internal/grant/granttest"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/registry"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/store"
	"fairlead.dev/fairlead/internal/vault"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/docker/go-events.(*Broadcaster).run"))
}

const password = "correct-horse-battery-staple"

// office is a broker over a real database, vault and registry, in an organisation
// with a project; its clock can be moved on.
type office struct {
	t          *testing.T
	registry   *granttest.Registry
	store      *store.Store
	registries *registry.Service
	config     broker.Config
	broker     *broker.Broker

	admin             account.Actor
	project, personal account.Project
	ahead             atomic.Int64 // of the real time
}

func (o *office) now() time.Time { return time.Now().UTC().Add(time.Duration(o.ahead.Load())) }

// wait moves the clock on.
func (o *office) wait(d time.Duration) { o.ahead.Add(int64(d)) }

func newOffice(t *testing.T, options granttest.Options) *office {
	t.Helper()
	ctx := t.Context()
	o := &office{t: t, registry: granttest.New(t, options)}
	o.registry.AddUser("robot", password, granttest.Pull("ml/*"))
	var err error
	o.store, err = store.Open(ctx, filepath.Join(t.TempDir(), "fairlead.db"))
	o.must(err)
	t.Cleanup(func() { o.must(o.store.Close()) })
	sealing, err := vault.Open(filepath.Join(t.TempDir(), "keys.json"))
	o.must(err)
	catalogue := grant.NewCatalogue(grant.Config{Transport: granttest.NewTransport(t, o.registry), Now: o.now})
	accounts := account.NewService(o.store, o.now)
	o.registries = registry.NewService(o.store, accounts, adapter.Kinds{Catalogue: catalogue}, adapter.Sealer{Vault: sealing}, o.now)
	o.config = broker.Config{
		Selector: registry.NewSelector(o.store), Opener: o.registries, Issuer: adapter.Issuer{Catalogue: catalogue},
		Recorder: o.store, Now: o.now,
	}
	o.open()

	first, err := accounts.Bootstrap(ctx, "root", "acme")
	o.must(err)
	_, token, err := accounts.SignIn(ctx, "root", first, "test", "")
	o.must(err)
	o.admin, err = accounts.Authenticate(ctx, token, "192.0.2.1")
	o.must(err)
	o.project, err = accounts.CreateProject(ctx, o.admin, account.NewProject{Name: "vision", Owner: "acme"})
	o.must(err)
	o.personal, err = accounts.CreateProject(ctx, o.admin, account.NewProject{Name: "notes"})
	o.must(err)
	return o
}

// open opens a broker.
func (o *office) open() {
	o.broker = broker.New(o.config)
	o.t.Cleanup(o.broker.Close)
}

// cache has the server get a pull-through cache.
func (o *office) cache() {
	o.config.Cached = true
	o.open()
}

func (o *office) must(err error) {
	o.t.Helper()
	if err != nil {
		o.t.Fatal(err)
	}
}

// register registers a credential of kind generic.
func (o *office) register(name, password string, patterns ...string) registry.Credential {
	o.t.Helper()
	created, _, err := o.registries.Create(o.t.Context(), o.admin, registry.Draft{
		Organization: "acme", Name: name, Kind: "generic", Patterns: patterns, SkipCheck: true,
		Material: registry.Material{
			Config:  map[string]string{"username": "robot"},
			Secrets: map[string]secret.Text{"password": secret.New(password)},
		},
	})
	o.must(err)
	return created
}

func (o *office) ask(project account.Project, name string) (broker.Answer, error) {
	o.t.Helper()
	ref, err := image.ParseReference(name)
	o.must(err)
	return o.broker.Grant(o.t.Context(), broker.Request{
		Actor: account.Actor{WorkerID: "w", WorkerName: "gpu-1"}, Project: project, ExecutionID: "e", Image: ref,
	})
}

const train = "registry.acme.example/ml/train:v1"

func TestAThousandAskersAtOnceCauseOneExchange(t *testing.T) {
	const askers = 1000
	hold := make(chan struct{})
	o := newOffice(t, granttest.Options{OnExchange: func(granttest.Exchange) { <-hold }})
	o.register("robot", password, "registry.acme.example/*")
	var asked, answered sync.WaitGroup
	var failed atomic.Int32
	asked.Add(askers)
	for range askers {
		answered.Go(func() {
			asked.Done()
			if _, err := o.ask(o.project, train); err != nil {
				t.Error(err)
				failed.Add(1)
			}
		})
	}
	asked.Wait()
	close(hold)
	answered.Wait()
	if got := o.registry.ExchangesOf("robot", "ml/train"); got != 1 || failed.Load() > 0 {
		t.Errorf("%d exchanges for %d askers, want 1", got, askers)
	}
}

func TestAnAskerWhoLeavesDoesNotStopTheExchangeOfTheOthers(t *testing.T) {
	hold, begun := make(chan struct{}), make(chan struct{})
	o := newOffice(t, granttest.Options{OnExchange: func(granttest.Exchange) { close(begun); <-hold }})
	o.register("robot", password, "registry.acme.example/*")
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error)
	go func() {
		_, err := o.broker.Grant(ctx, broker.Request{Project: o.project, Image: image.MustParseReference(train)})
		left <- err
	}()
	<-begun
	leave()
	if err := <-left; err == nil {
		t.Error("the asker who left got a grant")
	}
	close(hold)
	if _, err := o.ask(o.project, train); err != nil {
		t.Error(err)
	}
	if got := o.registry.Exchanges(); got != 1 {
		t.Errorf("%d exchanges, want 1", got)
	}
}

func TestAGrantIsRefreshedAheadAndNeverGivenOutExpired(t *testing.T) {
	o := newOffice(t, granttest.Options{Lifetime: 10 * time.Minute})
	o.register("robot", password, "registry.acme.example/*")
	first, err := o.ask(o.project, train)
	o.must(err)
	if again, err := o.ask(o.project, train); err != nil || !again.Grant.Secret.Equal(first.Grant.Secret) {
		t.Errorf("the second asker got another grant (%v)", err)
	}
	// Past the time to refresh the old one is given out, and a new one fetched.
	o.wait(first.Grant.RefreshAt.Sub(o.now()) + time.Second)
	ahead, err := o.ask(o.project, train)
	o.must(err)
	if !ahead.Grant.Secret.Equal(first.Grant.Secret) {
		t.Error("an asker waited for a refresh that could be done ahead")
	}
	o.broker.Close() // waits for the refresh
	if got := o.registry.Exchanges(); got != 2 {
		t.Errorf("%d exchanges, want 2: the refresh ahead", got)
	}
	fresh, err := o.ask(o.project, train)
	o.must(err)
	if fresh.Grant.Secret.Equal(first.Grant.Secret) {
		t.Error("the refreshed grant is not given out")
	}
	o.wait(time.Hour)
	last, err := o.ask(o.project, train)
	o.must(err)
	if !last.Grant.ExpiresAt.After(o.now()) {
		t.Error("an expired grant was given out")
	}
}

func TestAGrantThatTheRegistryRefusesIsReplacedOnce(t *testing.T) {
	o := newOffice(t, granttest.Options{})
	o.register("robot", password, "registry.acme.example/*")
	first, err := o.ask(o.project, train)
	o.must(err)
	request := broker.Request{Project: o.project, Image: image.MustParseReference(train), Refused: first.Grant.IssuedAt}
	o.wait(10 * time.Second)
	second, err := o.broker.Grant(t.Context(), request)
	o.must(err)
	if second.Grant.Secret.Equal(first.Grant.Secret) {
		t.Error("the refused grant was given out again")
	}
	// Who was refused with the first one too gets the second, without a third.
	third, err := o.broker.Grant(t.Context(), request)
	o.must(err)
	if !third.Grant.Secret.Equal(second.Grant.Secret) || o.registry.Exchanges() != 2 {
		t.Errorf("%d exchanges, want 2", o.registry.Exchanges())
	}
}

func TestAnAskerMayWantAGrantThatIsNotOld(t *testing.T) {
	o := newOffice(t, granttest.Options{Lifetime: time.Hour})
	o.register("robot", password, "registry.acme.example/*")
	ask := func() error {
		_, err := o.broker.Grant(t.Context(), broker.Request{Project: o.project, Image: image.MustParseReference(train), Since: o.now().Add(-time.Minute)})
		return err
	}
	for range 2 {
		o.must(ask())
	}
	if got := o.registry.Exchanges(); got != 1 {
		t.Errorf("%d exchanges for a grant that is new, want 1", got)
	}
	o.wait(61 * time.Second)
	o.registry.SetRights("robot")
	if err := ask(); !fault.Is(err, fault.Denied) && !fault.Is(err, fault.NotFound) {
		t.Errorf("a right that was taken away a minute ago: %v", err)
	}
	if _, err := o.ask(o.project, train); err != nil {
		t.Errorf("who did not ask for a new one: %v", err)
	}
}

func TestAWrongSecretIsTriedOnceForAWhileAndAMendedOneAtOnce(t *testing.T) {
	o := newOffice(t, granttest.Options{})
	credential := o.register("robot", "wrong", "registry.acme.example/*")
	for _, name := range []string{train, "registry.acme.example/ml/infer:v1", train} {
		if _, err := o.ask(o.project, name); fault.From(err).Code != "secret_refused" {
			t.Errorf("%v, want secret_refused", err)
		}
	}
	if got := o.registry.Exchanges(); got != 1 {
		t.Errorf("a wrong secret was tried %d times, want once: the account could be locked", got)
	}
	o.wait(time.Minute)
	_, err := o.ask(o.project, train)
	if got := o.registry.Exchanges(); err == nil || got != 2 {
		t.Errorf("after a while: %d exchanges and %v, want another try", got, err)
	}
	_, _, err = o.registries.Update(t.Context(), o.admin, credential.ID, registry.Change{
		SkipCheck: true,
		Material:  &registry.Material{Secrets: map[string]secret.Text{"password": secret.New(password)}},
	})
	o.must(err)
	if _, err := o.ask(o.project, train); err != nil {
		t.Errorf("the mended secret is not used at once: %v", err)
	}
}

func TestAnOutageIsForgottenAfterSecondsAndAnOldGrantOutlivesIt(t *testing.T) {
	o := newOffice(t, granttest.Options{Lifetime: 10 * time.Minute})
	o.register("robot", password, "registry.acme.example/*")
	o.registry.SetOutage(503)
	if _, err := o.ask(o.project, train); !fault.Is(err, fault.Unavailable) {
		t.Errorf("%v, want unavailable", err)
	}
	o.registry.SetOutage(0)
	o.wait(3 * time.Second)
	first, err := o.ask(o.project, train)
	o.must(err)
	o.registry.SetOutage(503)
	o.wait(first.Grant.RefreshAt.Sub(o.now()) + time.Second)
	for range 3 {
		if _, err := o.ask(o.project, train); err != nil {
			t.Errorf("a grant that holds was not given out while the registry is down: %v", err)
		}
		o.broker.Close()
	}
}

func TestOnlyTheWinnerIsTriedAndTheOthersAreNamed(t *testing.T) {
	o := newOffice(t, granttest.Options{})
	o.register("broad", password, "registry.acme.example/*")
	o.register("narrow", "wrong", "registry.acme.example/ml/*")
	_, err := o.ask(o.project, train)
	sentence := fault.From(err).Sentence()
	for _, words := range []string{"narrow", "generic", "registry.acme.example/ml/*", "not tried, though they cover it too: broad"} {
		if !strings.Contains(sentence, words) {
			t.Errorf("the sentence does not say %q: %s", words, sentence)
		}
	}
	if got := o.registry.Exchanges(); got != 1 {
		t.Errorf("%d exchanges, want 1: the next credential is not tried silently", got)
	}
}

func TestAPersonalProjectGetsNoCredentialOfAnyOrganisation(t *testing.T) {
	o := newOffice(t, granttest.Options{})
	o.register("robot", password, "registry.acme.example/*")
	_, err := o.ask(o.personal, train)
	if f := fault.From(err); f.Code != "personal_project" || !strings.Contains(f.Sentence(), "personal") {
		t.Errorf("%v, want personal_project", err)
	}
	if got := o.registry.ExchangesOf("robot", "ml/train"); got != 0 {
		t.Errorf("the organisation's secret was shown %d times", got)
	}
}

func TestAnImageWithoutACredentialIsToldWithTheNearestPattern(t *testing.T) {
	o := newOffice(t, granttest.Options{})
	o.register("robot", password, "registry.acme.example/ml/*")
	_, err := o.ask(o.project, "registry.acme.example/mm/train:v1")
	f := fault.From(err)
	for _, words := range []string{"no registry credential of the organisation acme covers", "Almost", "registry.acme.example/ml/*", "robot", "fairlead registry add"} {
		if !strings.Contains(f.Sentence(), words) {
			t.Errorf("the sentence does not say %q: %s", words, f.Sentence())
		}
	}
	if f.Code != "no_credential" {
		t.Errorf("code %s, want no_credential", f.Code)
	}
}

func TestAPublicImageNeedsNoCredential(t *testing.T) {
	o := newOffice(t, granttest.Options{})
	o.registry.Public("open/*")
	answer, err := o.ask(o.personal, "registry.acme.example/open/tool:v1")
	o.must(err)
	if answer.Credential != nil || answer.Grant.Repository != "open/tool" {
		t.Errorf("got %+v, want a grant of nobody's", answer)
	}
}

func TestEveryGrantAndEveryRefusalLeavesARowWithoutASecret(t *testing.T) {
	o := newOffice(t, granttest.Options{})
	o.register("robot", password, "registry.acme.example/ml/*")
	answer, err := o.ask(o.project, train)
	o.must(err)
	_, _ = o.ask(o.project, "registry.acme.example/secret/x:v1")
	events, _, err := o.store.Events(t.Context(), audit.Filter{
		OrganizationIDs: []int64{o.project.Owner.OrganizationID}, Verb: audit.GrantIssue, Limit: 10,
	})
	o.must(err)
	var results []string
	for _, event := range events {
		results = append(results, event.Result)
		if event.Actor != "worker gpu-1" || event.ExecutionID != "e" {
			t.Errorf("who and for what: %+v", event)
		}
		for _, value := range event.Details {
			if strings.Contains(value, answer.Grant.Secret.Reveal()) || strings.Contains(value, password) {
				t.Errorf("a secret in the row: %+v", event.Details)
			}
		}
	}
	slices.Sort(results)
	if !slices.Equal(results, []string{"no_credential", "ok"}) {
		t.Errorf("rows %v, want ok and no_credential", results)
	}
}
