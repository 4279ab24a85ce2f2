package outbox_test

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/app/adapter"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/execution"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/notice"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/vault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestACredentialIsToldOfOnceWhenItBeginsToFailAndOnceWhenItWorksAgain(t *testing.T) {
	p := newPost(t)
	events := []notice.Event{notice.CredentialFails, notice.CredentialWorks}
	p.webhook(events...)
	p.mail(events...)
	c := p.credential(time.Time{})
	for _, code := range []string{"", "secret_revoked", "secret_revoked", "secret_revoked", "", ""} {
		p.checked(c.ID, code)
		p.look()
	}
	p.wantTold("credential.fails: The registry credential ghcr fails its check", "credential.works: The registry credential ghcr works again")
	letters := p.box.Letters()
	if len(letters) != 2 {
		t.Fatalf("%d letters", len(letters))
	}
	for _, want := range []string{"the registry says that the secret was revoked", "Make a new one.", "It serves ghcr.io/acme/*.", "https://fairlead.example/o/acme/registries/credential-1/"} {
		if !strings.Contains(letters[0].Text, want) {
			t.Errorf("the letter does not tell %q:\n%s", want, letters[0].Text)
		}
	}
	if letters[0].Subject() != "[Fairlead] The registry credential ghcr fails its check" || strings.Join(letters[0].To, " ") != "ops@acme.example" {
		t.Errorf("%s to %v", letters[0].Subject(), letters[0].To)
	}
}

func TestAnExecutionIsToldOfAsTheChannelWantsIt(t *testing.T) {
	p := newPost(t)
	channel := p.webhook(notice.ExecutionEnds)
	e := p.ended(execution.Error)
	p.ended(execution.Complete)
	p.look()
	p.wantTold("execution.ends: Execution #1 of acme/vision: error")
	var body struct {
		Data struct {
			URL     string            `json:"url"`
			Lines   []string          `json:"lines"`
			Details map[string]string `json:"details"`
		} `json:"data"`
	}
	p.must(json.Unmarshal(p.receiver.Hooks()[0].Body, &body))
	if body.Data.URL != "https://fairlead.example/executions/"+e.ID+"/" || body.Data.Lines[0] != "the registry has no such tag" ||
		body.Data.Details["code"] != "image_not_found" || body.Data.Details["exit_code"] != "1" || body.Data.Details["project_name"] != "acme/vision" {
		t.Errorf("body %+v", body)
	}
	statuses := []string{"complete"}
	_, _, err := p.channels.Update(t.Context(), p.ada, channel.ID, notice.Change{Statuses: &statuses})
	p.must(err)
	p.ended(execution.Crashed)
	p.ended(execution.Complete)
	p.look()
	p.wantTold("execution.ends: Execution #1 of acme/vision: error", "execution.ends: Execution #4 of acme/vision: complete")
}

func TestWhoStartsAnExecutionIsMailedIfTheyWantAndAreStillAMember(t *testing.T) {
	p := newPost(t)
	p.ended(execution.Error)
	p.look()
	if got := p.box.Letters(); len(got) != 0 {
		t.Errorf("mailed without being asked: %+v", got)
	}
	_, err := p.channels.SetWish(t.Context(), p.ada, []string{"error"})
	p.must(err)
	p.ended(execution.Complete)
	p.ended(execution.Error)
	p.look()
	letters := p.box.Letters()
	if len(letters) != 1 || letters[0].Subject() != "[Fairlead] Execution #3 of acme/vision: error" || letters[0].To[0] != "ada@acme.example" {
		t.Fatalf("letters %+v", letters)
	}
	ben := account.User{ID: "user-ben", Username: "ben", CreatedAt: p.now()}
	p.must(p.store.CreateUser(t.Context(), ben, "hash", audit.Event{}))
	p.must(p.store.SetMember(t.Context(), p.acme.ID, ben.ID, account.Admin, audit.Event{}))
	p.must(p.store.RemoveMember(t.Context(), p.acme.ID, p.ada.UserID, audit.Event{}))
	p.ended(execution.Error)
	p.look()
	if got := p.box.Letters(); len(got) != 1 {
		t.Errorf("who left was told: %s", got[1].Subject())
	}
}

func TestALostWorkerIsToldOfOnceForAllThatItHeld(t *testing.T) {
	p := newPost(t)
	channel, signing, err := p.channels.Create(t.Context(), p.ada, notice.Draft{Installation: true, Name: "ops", Way: notice.Webhook, URL: p.receiver.URL()})
	p.must(err)
	p.receiver.Trust(signing.Reveal())
	if len(channel.Events) != 1 || channel.Events[0] != notice.WorkerLost {
		t.Errorf("events %v", channel.Events)
	}
	held := []execution.Execution{p.started("gpu-1"), p.started("gpu-1"), p.started("gpu-2")}
	if err := p.store.NoteLost(t.Context(), held[0].Lease.ID, p.now()); !fault.Is(err, fault.NotFound) {
		t.Errorf("a lease that holds was lost: %v", err)
	}
	p.wait(execution.LeaseLife + time.Second)
	for range 2 { // as a sweep that is killed in between does
		for _, e := range held {
			p.must(p.store.NoteLost(t.Context(), e.Lease.ID, p.now()))
		}
	}
	p.look()
	p.must(p.store.NoteLost(t.Context(), held[1].Lease.ID, p.now()))
	p.look()
	got := strings.Join(p.told(), "\n")
	if got != "worker.lost: The worker gpu-1 was lost\nworker.lost: The worker gpu-2 was lost" || !strings.Contains(string(p.receiver.Hooks()[0].Body), "2 executions") {
		t.Errorf("told:\n%s\n%s", got, p.receiver.Hooks()[0].Body)
	}
}

func TestACredentialIsToldOfBeforeItsEndAndAtItsEndEachTimeOnce(t *testing.T) {
	p := newPost(t)
	p.webhook(notice.CredentialExpires)
	p.credential(p.now().Add(20*24*time.Hour + time.Hour))
	for range 21 * 4 {
		p.must(p.outbox.Expire(t.Context()))
		p.must(p.outbox.Deliver(t.Context()))
		p.wait(6 * time.Hour)
	}
	titles := []string{"expires in 14 days", "expires in 3 days", "expires in 18 hours", "has expired"}
	got := p.told()
	if len(got) != len(titles) {
		t.Fatalf("told %q", got)
	}
	for i, title := range titles {
		if !strings.HasSuffix(got[i], title) {
			t.Errorf("told %q, want %q", got[i], title)
		}
	}
}

func TestWhatHappenedIsToldAfterTheServerWasKilledAtAnyPoint(t *testing.T) {
	p := newPost(t)
	channel := p.webhook(notice.ExecutionEnds)
	p.ended(execution.Error)
	p.restart() // after it happened, before anybody saw to it
	p.must(p.outbox.Settle(t.Context()))
	p.restart() // after the message was made, before it was sent
	messages, _, err := p.channels.Deliveries(t.Context(), p.ada, channel.ID, 0, 0)
	p.must(err)
	if len(messages) != 1 || messages[0].State != notice.Waiting {
		t.Fatalf("messages %+v", messages)
	}
	m, ok, err := p.store.Attempt(t.Context(), messages[0].ID, 0, p.now().Add(2*time.Minute))
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	p.restart() // after an attempt began, before it was known what became of it
	p.look()
	p.wantTold()
	p.wait(2*time.Minute + time.Second)
	p.look()
	p.look()
	p.wantTold("execution.ends: Execution #1 of acme/vision: error")
	if got := p.receiver.Hooks()[0].ID; got != m.ID {
		t.Errorf("the id became %s, it was %s", got, m.ID)
	}
}

func TestAReceiverThatIsDownGetsEachNoticeWhenItIsBackAndOthersDoNotWait(t *testing.T) {
	p := newPost(t)
	hook, mail := p.webhook(notice.ExecutionEnds), p.mail(notice.ExecutionEnds)
	p.receiver.Answer(func(w http.ResponseWriter) { http.Error(w, "down", http.StatusServiceUnavailable) })
	p.ended(execution.Error)
	p.ended(execution.Error)
	for range 4 {
		p.look()
		p.look() // too soon for another attempt
		p.wait(2 * time.Hour)
	}
	if got := len(p.receiver.Hooks()); got != 4 {
		t.Errorf("%d attempts, want one for each time that was due, of the first notice alone", got)
	}
	if got := len(p.box.Letters()); got != 2 {
		t.Errorf("%d letters: mail waited for the webhook", got)
	}
	state, err := p.channels.Get(t.Context(), p.ada, hook.ID)
	p.must(err)
	if state.Last.State != notice.Waiting || state.Last.Code != "webhook_refused" {
		t.Errorf("the channel's last: %+v", state.Last)
	}
	p.receiver.Answer(nil)
	p.look()
	p.look()
	ids := make(map[string]int)
	for _, h := range p.receiver.Hooks() {
		ids[h.ID]++
	}
	if len(ids) != 2 || len(p.receiver.Hooks()) != 6 {
		t.Errorf("arrived %v", ids)
	}
	for _, channel := range []notice.Channel{hook, mail} {
		messages, count, err := p.channels.Deliveries(t.Context(), p.ada, channel.ID, 0, 0)
		p.must(err)
		for _, m := range messages {
			if m.State != notice.Delivered || count != 2 {
				t.Errorf("%s: %+v", channel.Name, m)
			}
		}
	}
}

func TestANoticeIsGivenUpAfterADayOrWhenTheReceiverIsGoneForGood(t *testing.T) {
	p := newPost(t)
	channel := p.webhook(notice.ExecutionEnds)
	p.receiver.Answer(func(w http.ResponseWriter) { w.WriteHeader(http.StatusInternalServerError) })
	p.ended(execution.Error)
	for range 30 {
		p.look()
		p.wait(90 * time.Minute)
	}
	first := len(p.receiver.Hooks())
	if first < 12 || first > 20 {
		t.Errorf("%d attempts in a day", first)
	}
	p.receiver.Answer(func(w http.ResponseWriter) { w.WriteHeader(http.StatusGone) })
	p.ended(execution.Error)
	p.look()
	p.wait(2 * time.Hour)
	p.look()
	if got := len(p.receiver.Hooks()) - first; got != 1 {
		t.Errorf("%d attempts where it is gone", got)
	}
	messages, _, err := p.channels.Deliveries(t.Context(), p.ada, channel.ID, 0, 0)
	p.must(err)
	for i, code := range []string{"webhook_gone", "webhook_refused"} {
		if messages[i].State != notice.GivenUp || messages[i].Code != code || messages[i].DoneAt.IsZero() {
			t.Errorf("message %+v, want %s", messages[i], code)
		}
	}
}

func TestAThousandFailuresAreNoFloodAndNoneIsLeftUntold(t *testing.T) {
	p := newPost(t)
	p.webhook(notice.ExecutionEnds)
	p.mail(notice.ExecutionEnds)
	const failures = 157
	for range failures {
		p.ended(execution.Error)
	}
	p.look()
	if hooks, letters := len(p.receiver.Hooks()), len(p.box.Letters()); hooks != 20 || letters != 20 {
		t.Fatalf("%d webhooks and %d letters at once, want 20", hooks, letters)
	}
	p.wait(10*time.Minute + time.Second)
	p.look()
	hooks, letters := p.receiver.Hooks(), p.box.Letters()
	if len(hooks) != 21 || len(letters) != 21 {
		t.Fatalf("%d webhooks and %d letters, want one digest more", len(hooks), len(letters))
	}
	var body struct {
		Type string `json:"type"`
		Data struct {
			Notices []struct{} `json:"notices"`
			More    int        `json:"more"`
		} `json:"data"`
	}
	p.must(json.Unmarshal(hooks[20].Body, &body))
	if body.Type != "notice.digest" || 20+len(body.Data.Notices)+body.Data.More != failures {
		t.Errorf("digest %+v", body)
	}
	if got := letters[20]; !strings.Contains(got.Text, "And 117 more.") || got.Subject() != "[Fairlead] Execution #21 of acme/vision: error and 136 more" {
		t.Errorf("%s\n%s", got.Subject(), got.Text)
	}
}

func TestATestTellsWhatCameOfItAndIsForWhoManagesTheChannelAlone(t *testing.T) {
	p := newPost(t)
	channel := p.webhook(notice.ExecutionEnds)
	sent, err := p.outbox.Test(t.Context(), p.ada, channel.ID)
	if err != nil || len(sent) != 1 || sent[0].State != notice.Delivered {
		t.Fatalf("%+v, %v", sent, err)
	}
	p.wantTold("notice.test: A test of the notice channel " + channel.Name)
	p.receiver.Answer(func(w http.ResponseWriter) { w.WriteHeader(http.StatusTeapot) })
	sent, err = p.outbox.Test(t.Context(), p.ada, channel.ID)
	if err != nil || sent[0].State != notice.GivenUp || sent[0].Code != "webhook_refused" {
		t.Errorf("%+v, %v", sent, err)
	}
	p.wait(time.Hour)
	p.look()
	if got := len(p.receiver.Hooks()); got != 2 {
		t.Errorf("a test was sent %d times", got)
	}
	member := account.Actor{UserID: "ben", Roles: map[int64]account.Role{p.acme.ID: account.Member}}
	if _, err := p.outbox.Test(t.Context(), member, channel.ID); !fault.Is(err, fault.Denied) {
		t.Errorf("a member: %v", err)
	}
	if _, err := p.outbox.Test(t.Context(), account.Actor{UserID: "eve"}, channel.ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("a stranger: %v", err)
	}
	_, count, err := p.store.Events(t.Context(), audit.Filter{OrganizationIDs: []int64{p.acme.ID}, Verb: audit.ChannelTest, Limit: 1})
	if err != nil || count != 2 {
		t.Errorf("%d audit rows (%v)", count, err)
	}
}

func TestASecretThatWasReplacedSignsNothingMoreAndRotationSealsItAnew(t *testing.T) {
	p := newPost(t)
	channel := p.webhook(notice.ExecutionEnds)
	changed, fresh, err := p.channels.Update(t.Context(), p.ada, channel.ID, notice.Change{NewSecret: true})
	p.must(err)
	opened, err := p.channels.Open(changed)
	if err != nil || !opened.Equal(fresh) || changed.Version != 2 {
		t.Fatalf("version %d, %v", changed.Version, err)
	}
	if sent, err := p.outbox.Test(t.Context(), p.ada, channel.ID); err != nil || sent[0].State == notice.Delivered {
		t.Errorf("who knows the old secret took it: %+v, %v", sent, err)
	}
	sealing, err := vault.Open(filepath.Join(p.dir, "keys.json"))
	p.must(err)
	channels := notice.NewService(notice.Config{Store: p.store, Messages: p.store, Sealer: adapter.Sealer{Vault: sealing}, Now: p.now})
	key, err := sealing.Rotate()
	p.must(err)
	if n, err := channels.Reseal(t.Context(), key); err != nil || n != 1 {
		t.Errorf("%d sealed anew: %v", n, err)
	}
	again, err := p.store.ChannelByID(t.Context(), channel.ID)
	p.must(err)
	if opened, err := channels.Open(again); err != nil || !opened.Equal(fresh) || again.Sealed.KeyID != key {
		t.Errorf("after the rotation: %v", err)
	}
	again.Version = 1
	if opened, err := channels.Open(again); !fault.Is(err, fault.Internal) || !opened.Equal(secret.Text{}) {
		t.Errorf("it opened in another place: %v", err)
	}
}
