package adapter_test

import (
	"path/filepath"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/app/adapter"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/mirror"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/store"
)

func TestWhoLosesARoleOrATokenPullsNothingMoreAtOnce(t *testing.T) {
	kept, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "fairlead.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := kept.Close(); err != nil {
			t.Error(err)
		}
	})
	accounts := account.NewService(kept, func() time.Time { return time.Now().UTC() })
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	enter := func(name string, password secret.Text) (account.Actor, account.Token, secret.Text) {
		t.Helper()
		token, text, err := accounts.SignIn(t.Context(), name, password, "test", "192.0.2.1")
		must(err)
		actor, err := accounts.Authenticate(t.Context(), text, "192.0.2.1")
		must(err)
		return actor, token, text
	}
	first, err := accounts.Bootstrap(t.Context(), "root", "acme")
	must(err)
	root, _, _ := enter("root", first)
	password := secret.New("a-long-enough-password")
	_, err = accounts.CreateUser(t.Context(), root, account.NewUser{Username: "ada", Email: "ada@acme.example", Password: password})
	must(err)
	_, err = accounts.SetMember(t.Context(), root, "acme", "ada", account.Member)
	must(err)
	ada, token, text := enter("ada", password)
	made, err := accounts.CreateProject(t.Context(), ada, account.NewProject{Name: "train", Owner: "acme"})
	must(err)

	readers := &adapter.Readers{Accounts: accounts}
	for range 2 { // the second time, the project is remembered
		client, err := readers.Authenticate(t.Context(), mirror.Shown{User: "acme/train", Password: text})
		must(err)
		if want := "ada for " + made.Owner.Name + "/train"; client.Name() != want {
			t.Errorf("it is %s, want %s", client.Name(), want)
		}
	}
	must(accounts.RemoveMember(t.Context(), root, "acme", "ada"))
	if _, err := readers.Authenticate(t.Context(), mirror.Shown{User: "acme/train", Password: text}); !fault.Is(err, fault.NotFound) {
		t.Errorf("without a role: %v", err)
	}
	_, err = accounts.SetMember(t.Context(), root, "acme", "ada", account.Member)
	must(err)
	_, err = readers.Authenticate(t.Context(), mirror.Shown{User: "acme/train", Password: text})
	must(err)
	must(accounts.DeleteToken(t.Context(), ada, token.ID))
	if _, err := readers.Authenticate(t.Context(), mirror.Shown{User: "acme/train", Password: text}); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("without a token: %v", err)
	}
}
