package project_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/pem"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/app/adapter"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/project"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/store"
	"fairlead.dev/fairlead/internal/vault"
)

// office is a service over a real database and vault, with two projects of root.
type office struct {
	*project.Service
	t              *testing.T
	store          *store.Store
	vault          *vault.Vault
	root           account.Actor
	vision, speech account.Project
}

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{t: t}
	now := func() time.Time { return time.Now().UTC() }
	var err error
	o.store, err = store.Open(t.Context(), filepath.Join(t.TempDir(), "fairlead.db"))
	o.must(err)
	t.Cleanup(func() { o.must(o.store.Close()) })
	o.vault, err = vault.Open(filepath.Join(t.TempDir(), "keys.json"))
	o.must(err)
	accounts := account.NewService(o.store, now)
	password, err := accounts.Bootstrap(t.Context(), "root", "acme")
	o.must(err)
	_, text, err := accounts.SignIn(t.Context(), "root", password, "test", "")
	o.must(err)
	o.root, err = accounts.Authenticate(t.Context(), text, "")
	o.must(err)
	for name, into := range map[string]*account.Project{"vision": &o.vision, "speech": &o.speech} {
		*into, err = accounts.CreateProject(t.Context(), o.root, account.NewProject{Name: name, Owner: "acme"})
		o.must(err)
	}
	o.Service = project.NewService(o.store, accounts, adapter.Sealer{Vault: o.vault}, adapter.Hosts{}, now)
	return o
}

func (o *office) must(err error) {
	o.t.Helper()
	if err != nil {
		o.t.Fatal(err)
	}
}

// link links vision by ssh, with a key of its own.
func (o *office) link() (repository project.Repository, key string) {
	o.t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	o.must(err)
	block, err := ssh.MarshalPrivateKey(private, "")
	o.must(err)
	hostKey, err := ssh.NewPublicKey(public)
	o.must(err)
	key = string(pem.EncodeToMemory(block))
	repository, err = o.Link(o.t.Context(), o.root, "vision", project.Link{
		URL: "git@git.example:acme/vision.git", SSHKey: secret.New(key), KnownHosts: "git.example " + string(ssh.MarshalAuthorizedKey(hostKey)),
	})
	o.must(err)
	return repository, key
}

func TestAnSSHKeyIsSealedForItsProjectAlone(t *testing.T) {
	o := newOffice(t)
	linked, key := o.link()
	if bytes.Contains(linked.Sealed.Bytes, []byte("PRIVATE KEY")) || linked.Login != project.SSHKey {
		t.Errorf("it is kept as %+v", linked)
	}
	_, login, err := o.OpenRepository(t.Context(), o.vision)
	o.must(err)
	if login.Reveal() != key {
		t.Error("another key comes out than went in")
	}
	// The row of another project, and that of an earlier link, do not open.
	stolen := linked
	stolen.ProjectID = o.speech.ID
	o.must(o.store.SetRepository(t.Context(), stolen, audit.Event{}))
	old, _ := o.link()
	old.Sealed = linked.Sealed
	o.must(o.store.SetRepository(t.Context(), old, audit.Event{}))
	for _, p := range []account.Project{o.speech, o.vision} {
		_, _, err := o.OpenRepository(t.Context(), p)
		if err == nil || fault.From(err).Code != "seal_broken" || strings.Contains(err.Error(), key) {
			t.Errorf("%s: %v", p.Name, err)
		}
	}
}

func TestWhatIsSetAnewDoesNotOpenWhatWasSealedBefore(t *testing.T) {
	o := newOffice(t)
	first, _ := o.link()
	o.must(o.Unlink(t.Context(), o.root, "vision"))
	again, _ := o.link()
	again.Sealed = first.Sealed
	o.must(o.store.SetRepository(t.Context(), again, audit.Event{}))
	if _, _, err := o.OpenRepository(t.Context(), o.vision); err == nil || fault.From(err).Code != "seal_broken" {
		t.Errorf("the login of before opens: %v", err)
	}

	// Nor does the value of a variable that was deleted meanwhile.
	o.must(o.SetVariable(t.Context(), o.root, "vision", "API_KEY", secret.New("first"), true))
	before, err := o.Variables(t.Context(), o.vision)
	o.must(err)
	o.must(o.DeleteVariable(t.Context(), o.root, "vision", "API_KEY"))
	o.must(o.SetVariable(t.Context(), o.root, "vision", "API_KEY", secret.New("second"), true))
	after, err := o.Variables(t.Context(), o.vision)
	o.must(err)
	after[0].Sealed = before[0].Sealed
	o.must(o.store.SetVariable(t.Context(), after[0], audit.Event{}))
	if _, err := o.SecretVariables(t.Context(), o.vision.ID, []string{"API_KEY"}); err == nil || fault.From(err).Code != "seal_broken" {
		t.Errorf("the value of before opens: %v", err)
	}
}

func TestNewKeysSealEverythingOfAProjectAnew(t *testing.T) {
	o := newOffice(t)
	_, key := o.link()
	o.must(o.SetVariable(t.Context(), o.root, "vision", "API_KEY", secret.New("hunter2"), true))
	before, err := o.vault.PrimaryKeyID()
	o.must(err)
	fresh, err := o.vault.Rotate()
	o.must(err)
	count, err := o.Reseal(t.Context(), fresh)
	if err != nil || count != 2 {
		t.Fatalf("%d secrets were sealed anew: %v", count, err)
	}
	o.must(o.vault.Retire(before))
	_, login, err := o.OpenRepository(t.Context(), o.vision)
	o.must(err)
	values, err := o.SecretVariables(t.Context(), o.vision.ID, []string{"API_KEY"})
	o.must(err)
	if login.Reveal() != key || values["API_KEY"].Reveal() != "hunter2" {
		t.Error("other secrets come out than went in")
	}
	if _, err := o.Reseal(t.Context(), fresh+1); err == nil {
		t.Error("a key that the vault does not use is taken for the present one")
	}
}
