package outbox_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/app/adapter"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/courier"
	"fairlead.dev/fairlead/internal/courier/couriertest"
	"fairlead.dev/fairlead/internal/execution"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/notice"
	"fairlead.dev/fairlead/internal/outbox"
	"fairlead.dev/fairlead/internal/registry"
	"fairlead.dev/fairlead/internal/store"
	"fairlead.dev/fairlead/internal/vault"
)

// post is an outbox over a real database, with a mail server and a receiver of
// webhooks that are real too, and a clock that can be moved on.
type post struct {
	t        *testing.T
	dir      string
	ahead    atomic.Int64
	store    *store.Store
	channels *notice.Service
	outbox   *outbox.Outbox
	box      *couriertest.Mailbox
	receiver *couriertest.Receiver

	ada  account.Actor
	acme account.Organization
	made int
}

func (p *post) now() time.Time { return time.Now().UTC().Add(time.Duration(p.ahead.Load())) }

func (p *post) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// open wires everything over the same files, as a server that starts does.
func (p *post) open() {
	p.t.Helper()
	var err error
	p.store, err = store.Open(p.t.Context(), filepath.Join(p.dir, "fairlead.db"))
	p.must(err)
	sealing, err := vault.Open(filepath.Join(p.dir, "keys.json"))
	p.must(err)
	accounts := account.NewService(p.store, p.now)
	p.channels = notice.NewService(notice.Config{
		Store: p.store, Messages: p.store, Accounts: accounts, Users: p.store, Sealer: adapter.Sealer{Vault: sealing}, Now: p.now, Mails: true,
	})
	mailer, err := courier.NewMailer(courier.SMTP{Address: p.box.Address(), From: "fairlead@acme.example", RootCAs: couriertest.Roots()})
	p.must(err)
	p.outbox = outbox.New(outbox.Config{
		Store: p.store, Channels: p.channels, Mailer: mailer, Now: p.now, Logger: slog.New(slog.DiscardHandler), PublicURL: "https://fairlead.example",
		Hooks: courier.NewHooks(courier.HooksConfig{Dial: new(net.Dialer).DialContext, RootCAs: couriertest.Roots()}),
	})
}

// restart is what is left after the server was killed, and another began.
func (p *post) restart() {
	p.t.Helper()
	p.must(p.store.Close())
	p.open()
}

func newPost(t *testing.T) *post {
	t.Helper()
	p := &post{t: t, dir: t.TempDir(), box: couriertest.NewMailbox(t, couriertest.MailOptions{}), receiver: couriertest.NewReceiver(t)}
	p.receiver.SetClock(p.now)
	p.open()
	t.Cleanup(func() { p.must(p.store.Close()) })
	user := account.User{ID: "user-ada", Username: "ada", Email: "ada@acme.example", Operator: true, CreatedAt: p.now()}
	p.must(p.store.CreateUser(t.Context(), user, "hash", audit.Event{}))
	var err error
	p.acme, err = p.store.CreateOrganization(t.Context(), account.Organization{Name: "acme", CreatedAt: p.now()}, user.ID, audit.Event{})
	p.must(err)
	p.ada = account.Actor{UserID: user.ID, Username: "ada", Operator: true, Roles: map[int64]account.Role{p.acme.ID: account.Admin}}
	p.must(p.store.CreateProject(t.Context(), account.Project{
		ID: "project-vision", Name: "vision", CreatedAt: p.now(), Owner: account.Owner{OrganizationID: p.acme.ID, Name: "acme"},
	}, audit.Event{}))
	return p
}

// webhook makes a channel to the receiver, and mail one to ada.
func (p *post) webhook(events ...notice.Event) notice.Channel {
	p.t.Helper()
	channel, signing, err := p.channels.Create(p.t.Context(), p.ada, notice.Draft{
		Organization: "acme", Name: fmt.Sprint("hook ", events), Way: notice.Webhook, URL: p.receiver.URL(), Events: events,
	})
	p.must(err)
	p.receiver.Trust(signing.Reveal())
	return channel
}

func (p *post) mail(events ...notice.Event) notice.Channel {
	p.t.Helper()
	channel, _, err := p.channels.Create(p.t.Context(), p.ada, notice.Draft{
		Organization: "acme", Name: fmt.Sprint("mail ", events), Way: notice.Email, Addresses: []string{"ops@acme.example"}, Events: events,
	})
	p.must(err)
	return channel
}

// look is one look of the outbox.
func (p *post) look() {
	p.t.Helper()
	p.must(p.outbox.Settle(p.t.Context()))
	p.must(p.outbox.Deliver(p.t.Context()))
}

func (p *post) wait(d time.Duration) { p.ahead.Add(int64(d)) }

func (p *post) credential(ends time.Time) registry.Credential {
	p.t.Helper()
	pattern, err := image.ParsePattern("ghcr.io/acme/*")
	p.must(err)
	c := registry.Credential{
		ID: "credential-1", OrganizationID: p.acme.ID, Name: "ghcr", Kind: "generic", Patterns: []image.Pattern{pattern}, Version: 1,
		Sealed: registry.Sealed{Bytes: []byte{1}}, CreatedAt: p.now(), UpdatedAt: p.now(), ExpiresAt: ends,
	}
	p.must(p.store.CreateCredential(p.t.Context(), c, audit.Event{}))
	return c
}

// checked keeps a check's answer; a code is of what failed.
func (p *post) checked(id, code string) {
	p.t.Helper()
	check := registry.Check{Version: 1, At: p.now(), Steps: []registry.CheckStep{{Question: "login", Result: registry.CheckPassed}}}
	if code != "" {
		check.Steps = append(check.Steps, registry.CheckStep{Result: registry.CheckFailed, Code: code, Sentence: "the registry says that the secret was revoked", Hint: "Make a new one."})
	}
	p.must(p.store.SaveCheck(p.t.Context(), id, check, p.now(), audit.Event{}))
}

// started is an execution that a worker has.
func (p *post) started(worker string) execution.Execution {
	p.t.Helper()
	p.made++
	_, err := p.store.CreateExecution(p.t.Context(), execution.Execution{
		ID: fmt.Sprint("execution-", p.made), ProjectID: "project-vision", Status: execution.Queued, CreatedAt: p.now(),
		CreatedBy: p.ada.UserID, CreatedByName: "ada", Work: execution.Work{Step: "train", Image: "ghcr.io/acme/train:1"},
	}, nil, audit.Event{})
	p.must(err)
	e, ok, err := p.store.TakeLease(p.t.Context(), "", execution.Lease{
		ID: fmt.Sprint("lease-", p.made), WorkerID: "id of " + worker, WorkerName: worker, ExpiresAt: p.now().Add(execution.LeaseLife),
	}, p.now())
	p.must(err)
	if !ok {
		p.t.Fatal("nothing to take")
	}
	return e
}

// ended is an execution that came to its end.
func (p *post) ended(status execution.Status) execution.Execution {
	p.t.Helper()
	e := p.started("gpu-1")
	code := 1
	p.must(p.store.FinishLease(p.t.Context(), e.Lease.ID, p.now(), execution.Result{Status: status, ExitCode: &code, Code: "image_not_found", Message: "the registry has no such tag"}, nil))
	return e
}

// told is what arrived at the receiver, each with a right signature.
func (p *post) told() []string {
	p.t.Helper()
	var told []string
	for _, hook := range p.receiver.Hooks() {
		var body struct {
			Type string `json:"type"`
			Data struct {
				Title string `json:"title"`
			} `json:"data"`
		}
		if hook.Err != nil {
			p.t.Errorf("webhook %s: %v", hook.ID, hook.Err)
		}
		p.must(json.Unmarshal(hook.Body, &body))
		told = append(told, body.Type+": "+body.Data.Title)
	}
	return told
}

func (p *post) wantTold(want ...string) {
	p.t.Helper()
	if got := p.told(); strings.Join(got, "\n") != strings.Join(want, "\n") {
		p.t.Errorf("told:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
