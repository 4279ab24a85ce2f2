package broker_test

import (
	"path/filepath"
	"sync"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/app/adapter"
	"fairlead.dev/fairlead/internal/broker"
	"fairlead.dev/fairlead/internal/grant"
	"fairlead.dev/fairlead/internal/grant/granttest"
	"fairlead.dev/fairlead/internal/registry"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/store"
	"fairlead.dev/fairlead/internal/vault"
)

func TestAThousandExecutionsOnOneAccessKeyCauseOneSessionAndOneTokenForEachRepository(t *testing.T) {
	aws := granttest.NewAWS(t, granttest.AWSOptions{})
	id, key := aws.AddIAMUser("fairlead", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["ecr:*","sts:GetFederationToken"],"Resource":"*"}]}`)
	o := &office{t: t, registry: aws.Registry}
	var err error
	o.store, err = store.Open(t.Context(), filepath.Join(t.TempDir(), "fairlead.db"))
	o.must(err)
	t.Cleanup(func() { o.must(o.store.Close()) })
	sealing, err := vault.Open(filepath.Join(t.TempDir(), "keys.json"))
	o.must(err)
	catalogue := grant.NewCatalogue(grant.Config{Transport: granttest.NewTransport(t, aws.Registry), Now: o.now})
	accounts := account.NewService(o.store, o.now)
	o.registries = registry.NewService(o.store, accounts, adapter.Kinds{Catalogue: catalogue}, adapter.Sealer{Vault: sealing}, o.now)
	o.broker = broker.New(broker.Config{
		Selector: registry.NewSelector(o.store), Opener: o.registries, Issuer: adapter.Issuer{Catalogue: catalogue}, Recorder: o.store, Now: o.now,
	})
	t.Cleanup(o.broker.Close)
	first, err := accounts.Bootstrap(t.Context(), "root", "acme")
	o.must(err)
	_, token, err := accounts.SignIn(t.Context(), "root", first, "test", "")
	o.must(err)
	o.admin, err = accounts.Authenticate(t.Context(), token, "")
	o.must(err)
	o.project, err = accounts.CreateProject(t.Context(), o.admin, account.NewProject{Name: "vision", Owner: "acme"})
	o.must(err)
	_, _, err = o.registries.Create(t.Context(), o.admin, registry.Draft{
		Organization: "acme", Name: "ecr", Kind: "aws-ecr", Patterns: []string{aws.Host() + "/*"}, SkipCheck: true,
		Material: registry.Material{
			Config:  map[string]string{"access_key_id": id},
			Secrets: map[string]secret.Text{"secret_access_key": secret.New(key)},
		},
	})
	o.must(err)

	repositories := []string{"ml/a", "ml/b", "ml/c"}
	ask := func(i int) {
		answer, err := o.ask(o.project, aws.Host()+"/"+repositories[i%len(repositories)]+":v1")
		if err != nil || !answer.Grant.Narrow {
			t.Errorf("%v", err)
		}
	}
	var wait sync.WaitGroup
	for i := range 1000 {
		wait.Go(func() { ask(i) })
	}
	wait.Wait()
	for _, action := range []string{"GetFederationToken", "GetAuthorizationToken"} {
		if got := aws.Calls(action); got != len(repositories) {
			t.Errorf("%d calls of %s, want one for each of %d repositories", got, action, len(repositories))
		}
	}

	// AWS throttles while the grants are to be refreshed: they go on while they hold.
	aws.Throttle(1000)
	o.wait(50 * time.Minute)
	for i := range 30 {
		ask(i)
	}
	o.broker.Close()
}
