package execution_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"go.uber.org/goleak"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/app/adapter"
	"fairlead.dev/fairlead/internal/execution"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/gitfetch"
	"fairlead.dev/fairlead/internal/project"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/source"
	"fairlead.dev/fairlead/internal/store"
	"fairlead.dev/fairlead/internal/valohaiyaml"
	"fairlead.dev/fairlead/internal/vault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const config = `- step:
    name: train
    image: registry.example/ml/train:v1
    command: train {parameters}
    time-limit: 2h
    resources: {memory: {max: 64}, cpu: {max: 2}}
    parameters:
      - {name: epochs, type: integer, default: 3}
      - {name: rate, type: float, default: 0.1, min: 0, max: 1}
    environment-variables:
      - {name: MODE, default: fast}
`

// works is a service over a real database and real packages, with a member of
// acme, their project vision and its code.
type works struct {
	*execution.Service
	t        *testing.T
	store    *store.Store
	bell     *execution.Bell
	member   account.Actor
	project  account.Project
	projects *project.Service
	commit   string
}

func newWorks(t *testing.T) *works {
	t.Helper()
	w := &works{t: t, bell: new(execution.Bell)}
	var err error
	w.store, err = store.Open(t.Context(), filepath.Join(t.TempDir(), "fairlead.db"))
	w.must(err)
	t.Cleanup(func() { w.must(w.store.Close()) })
	packages, err := store.OpenPackages(t.TempDir())
	w.must(err)
	now := func() time.Time { return time.Now().UTC() }
	accounts := account.NewService(w.store, now)
	password, err := accounts.Bootstrap(t.Context(), "root", "acme")
	w.must(err)
	root := w.enter(accounts, "root", password)
	password = secret.New("a-long-enough-password")
	_, err = accounts.CreateUser(t.Context(), root, account.NewUser{Username: "member", Password: password})
	w.must(err)
	_, err = accounts.SetMember(t.Context(), root, "acme", "member", account.Member)
	w.must(err)
	w.member = w.enter(accounts, "member", password)
	w.project, err = accounts.CreateProject(t.Context(), root, account.NewProject{Name: "vision", Owner: "acme"})
	w.must(err)
	keys, err := vault.Open(filepath.Join(t.TempDir(), "keys.json"))
	w.must(err)
	w.projects = project.NewService(w.store, accounts, adapter.Sealer{Vault: keys}, adapter.Hosts{}, now)
	git, err := gitfetch.New(gitfetch.Config{Dir: t.TempDir(), AllowPlain: true})
	w.must(err)
	t.Cleanup(git.Close)
	w.Service = execution.NewService(execution.Config{
		Store: w.store, Packages: packages, Projects: accounts, Settings: w.projects,
		Repositories: adapter.Repositories{Fetcher: git, Projects: w.projects}, Now: now, Changed: w.bell,
	})
	commit, err := w.upload(config)
	w.must(err)
	w.commit = commit.Identifier
	return w
}

func (w *works) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *works) enter(accounts *account.Service, name string, password secret.Text) account.Actor {
	w.t.Helper()
	_, text, err := accounts.SignIn(w.t.Context(), name, password, "test", "")
	w.must(err)
	actor, err := accounts.Authenticate(w.t.Context(), text, "")
	w.must(err)
	return actor
}

// upload packs a directory with a valohai.yaml, as `fairlead run` does.
func (w *works) upload(config string) (execution.Commit, error) {
	w.t.Helper()
	dir := w.t.TempDir()
	w.must(os.WriteFile(filepath.Join(dir, "valohai.yaml"), []byte(config), 0o600))
	var packed bytes.Buffer
	_, err := source.Pack(w.t.Context(), dir, &packed, source.Options{})
	w.must(err)
	return w.Import(w.t.Context(), w.member, execution.NewPackage{Project: "vision"}, &packed)
}

func (w *works) draft() execution.Draft {
	return execution.Draft{Project: "vision", Commit: w.commit, Step: "train"}
}

func (w *works) create(draft execution.Draft) execution.Execution {
	w.t.Helper()
	e, err := w.Create(w.t.Context(), w.member, draft)
	w.must(err)
	return e
}

// take holds the oldest queued execution, as a worker does.
func (w *works) take() execution.Execution {
	w.t.Helper()
	now := time.Now().UTC()
	e, ok, err := w.store.TakeLease(w.t.Context(), account.DefaultEnvironmentID, execution.Lease{
		ID: uuid.NewString(), WorkerID: "1", WorkerName: "gpu-1", ExpiresAt: now.Add(time.Minute),
	}, now)
	w.must(err)
	if !ok {
		w.t.Fatal("there is nothing to take")
	}
	return e
}

func TestAStepIsQueuedWithEverythingThatAWorkerNeeds(t *testing.T) {
	w := newWorks(t)
	rung := w.bell.Wait(execution.QueueKey)
	draft := w.draft()
	draft.Parameters = map[string]valohaiyaml.Value{"epochs": valohaiyaml.IntValue(5)}
	draft.Environment = map[string]string{"EXTRA": "1"}
	draft.Image = "ubuntu"
	e := w.create(draft)
	select {
	case <-rung:
	default:
		t.Error("no worker was told")
	}
	if e.Counter != 1 || e.Status != execution.Queued || e.CreatedByName != "member" {
		t.Errorf("created %+v", e)
	}
	work := e.Work
	if want := "train --epochs=5 --rate=0.1"; !strings.Contains(work.Script, want) {
		t.Errorf("the script is %q, want %q in it", work.Script, want)
	}
	if diff := cmp.Diff(map[string]string{"MODE": "fast", "EXTRA": "1"}, work.Environment); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
	if work.Image != "ubuntu" || work.TimeLimit != 2*time.Hour || work.MemoryBytes != 64e6 || work.CPUs != 2 {
		t.Errorf("work %+v", work)
	}
}

func TestWhatTheRunSaysGoesBeforeWhatTheStepSays(t *testing.T) {
	w := newWorks(t)
	draft := w.draft()
	none := time.Duration(0)
	draft.TimeLimit, draft.MemoryBytes, draft.CPUs, draft.NoNetwork = &none, 8<<20, 0.5, true
	draft.Environment = map[string]string{"MODE": "slow"}
	work := w.create(draft).Work
	if work.TimeLimit != 0 || work.MemoryBytes != 8<<20 || work.CPUs != 0.5 || !work.NoNetwork || work.Environment["MODE"] != "slow" {
		t.Errorf("work %+v", work)
	}
}

func TestWhatCannotRunIsRefusedBeforeItIsQueued(t *testing.T) {
	w := newWorks(t)
	negative := -time.Second
	for name, c := range map[string]struct {
		change func(*execution.Draft)
		kind   fault.Kind
		words  string
	}{
		"project":   {func(d *execution.Draft) { d.Project = "elsewhere" }, fault.NotFound, "elsewhere"},
		"commit":    {func(d *execution.Draft) { d.Commit = "~00" }, fault.NotFound, "no commit"},
		"step":      {func(d *execution.Draft) { d.Step = "trian" }, fault.Invalid, `Did you mean "train"`},
		"parameter": {func(d *execution.Draft) { d.Parameters = map[string]valohaiyaml.Value{"epocs": {}} }, fault.Invalid, `Did you mean "epochs"`},
		"value": {func(d *execution.Draft) {
			d.Parameters = map[string]valohaiyaml.Value{"rate": valohaiyaml.FloatValue(2)}
		}, fault.Invalid, "rate"},
		"image":     {func(d *execution.Draft) { d.Image = "Acme/Train" }, fault.Invalid, "upper-case"},
		"variable":  {func(d *execution.Draft) { d.Environment = map[string]string{"A=B": "x"} }, fault.Invalid, "no name of a variable"},
		"null byte": {func(d *execution.Draft) { d.Environment = map[string]string{"A": "\x00"} }, fault.Invalid, "null byte"},
		"memory":    {func(d *execution.Draft) { d.MemoryBytes = 1 }, fault.Invalid, "less than a container needs"},
		"cpus":      {func(d *execution.Draft) { d.CPUs = -1 }, fault.Invalid, "0.01"},
		"time":      {func(d *execution.Draft) { d.TimeLimit = &negative }, fault.Invalid, "negative"},
		"title":     {func(d *execution.Draft) { d.Title = strings.Repeat("x", 201) }, fault.Invalid, "200"},
		"tags":      {func(d *execution.Draft) { d.Tags = make([]string, 51) }, fault.Invalid, "51 tags"},
	} {
		draft := w.draft()
		c.change(&draft)
		_, err := w.Create(t.Context(), w.member, draft)
		if fault.KindOf(err) != c.kind || !strings.Contains(fault.From(err).Sentence(), c.words) {
			t.Errorf("%s: %v, want %s with %q", name, err, c.kind, c.words)
		}
	}
	_, count, err := w.List(t.Context(), w.member, "", execution.Filter{})
	if err != nil || count != 0 {
		t.Errorf("%d executions came of it (%v)", count, err)
	}
}

func TestEveryMistakeOfARunIsToldAtOnce(t *testing.T) {
	w := newWorks(t)
	draft := w.draft()
	draft.Image, draft.CPUs, draft.Title = "Acme/Train", -1, strings.Repeat("x", 201)
	draft.Parameters = map[string]valohaiyaml.Value{"epochs": valohaiyaml.TextValue("many")}
	_, err := w.Create(t.Context(), w.member, draft)
	fields := map[string]bool{}
	for _, field := range fault.From(err).Fields {
		fields[field.Name] = true
	}
	if len(fields) != 4 {
		t.Errorf("told of %v: %v", fields, err)
	}
}

func TestCodeWhoseStepsCannotRunIsRefusedWithLineAndColumn(t *testing.T) {
	w := newWorks(t)
	_, err := w.upload("- step:\n    name: train\n   image: x\n")
	if !fault.Is(err, fault.Invalid) || !strings.Contains(fault.From(err).Sentence(), "line 3, column 4") {
		t.Errorf("%v", err)
	}
	again, err := w.upload(config)
	if err != nil || again.Identifier != w.commit {
		t.Errorf("the same code is %s (%v), want %s", again.Identifier, err, w.commit)
	}
	if _, count, err := w.Commits(t.Context(), w.member, "vision", "", execution.Page{}); err != nil || count != 1 {
		t.Errorf("%d commits (%v)", count, err)
	}
}

func TestAStrangerSeesNoExecutionAndChangesNone(t *testing.T) {
	w := newWorks(t)
	e := w.create(w.draft())
	stranger := account.Actor{UserID: "x", Username: "stranger"}
	_, _, getErr := w.Get(t.Context(), stranger, e.ID)
	_, _, unknownErr := w.Get(t.Context(), stranger, strings.Replace(e.ID, e.ID[:4], "0000", 1))
	_, stopErr := w.Stop(t.Context(), stranger, e.ID)
	_, createErr := w.Create(t.Context(), stranger, w.draft())
	_, _, tailErr := w.Tail(t.Context(), stranger, e.ID, 0)
	for what, err := range map[string]error{
		"get": getErr, "unknown": unknownErr, "stop": stopErr, "create": createErr, "log": tailErr,
		"delete": w.Delete(t.Context(), stranger, e.ID),
		"follow": w.Follow(t.Context(), stranger, e.ID, 0, &listener{}),
	} {
		if !fault.Is(err, fault.NotFound) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if got, want := fault.From(getErr).Code, fault.From(unknownErr).Code; got != want {
		t.Errorf("one that is there is told as %s, one that is not as %s", got, want)
	}
	if _, count, err := w.List(t.Context(), stranger, "", execution.Filter{}); err != nil || count != 0 {
		t.Errorf("a stranger lists %d (%v)", count, err)
	}
}

func TestAnExecutionIsFoundByItsNumberInTheProject(t *testing.T) {
	w := newWorks(t)
	first, second := w.create(w.draft()), w.create(w.draft())
	for key, want := range map[string]string{
		"vision:1": first.ID, "vision:2": second.ID, "vision:latest": second.ID, "acme/vision:1": first.ID, second.ID: second.ID,
	} {
		if got, _, err := w.Get(t.Context(), w.member, key); err != nil || got.ID != want {
			t.Errorf("%s is %s (%v), want %s", key, got.ID, err, want)
		}
	}
	for _, key := range []string{"vision:3", "vision:0", "vision:-1", "vision:x", "vision:", ":1", "nothing:1", ""} {
		if _, _, err := w.Get(t.Context(), w.member, key); !fault.Is(err, fault.NotFound) {
			t.Errorf("%q: %v", key, err)
		}
	}
}

func TestAQueuedExecutionStopsAtOnceAndMayThenBeDeleted(t *testing.T) {
	w := newWorks(t)
	e := w.create(w.draft())
	if err := w.Delete(t.Context(), w.member, e.ID); !fault.Is(err, fault.Conflict) {
		t.Errorf("one that has not ended is deleted (%v)", err)
	}
	stopped, err := w.Stop(t.Context(), w.member, e.ID)
	if err != nil || stopped.Status != execution.Stopped {
		t.Errorf("stopped: %s (%v)", stopped.Status, err)
	}
	if _, err := w.Stop(t.Context(), w.member, e.ID); !fault.Is(err, fault.Conflict) {
		t.Errorf("stopped again: %v", err)
	}
	lines, total, err := w.Tail(t.Context(), w.member, e.ID, 0)
	if err != nil || total != 1 || lines[0].Text != "Stopped by member" {
		t.Errorf("log %v (%v)", lines, err)
	}
	w.must(w.Delete(t.Context(), w.member, e.ID))
	if _, _, err := w.Get(t.Context(), w.member, e.ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("it is still there (%v)", err)
	}
}

// listener is a follower that remembers in which order it heard what.
type listener struct {
	heard []string
	more  chan<- string // every line too, if not nil
}

func (l *listener) Lines(lines []execution.Line) error {
	for _, line := range lines {
		l.heard = append(l.heard, line.Text)
		if l.more != nil {
			l.more <- line.Text
		}
	}
	return nil
}

func (l *listener) State(e execution.Execution) error {
	l.heard = append(l.heard, string(e.Status))
	return nil
}

func TestAFollowerHearsEveryLineOnceAndTheEndLast(t *testing.T) {
	w := newWorks(t)
	e := w.create(w.draft())
	heard := make(chan string)
	follower := &listener{more: heard}
	ended := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	go func() { ended <- w.Follow(ctx, w.member, e.ID, 0, follower) }()

	held := w.take()
	want := []string{"queued"}
	const batches, size = 5, 900 // more than is read at a time
	for batch := range batches {
		var lines []execution.Line
		for n := range size {
			text := fmt.Sprintf("line %d of batch %d", n, batch)
			lines = append(lines, execution.Line{Time: time.Now(), Stream: execution.Stdout, Text: text})
			want = append(want, text)
		}
		w.must(w.store.AppendLog(t.Context(), held.Lease.ID, int64(batch+1), lines))
		w.must(w.store.AppendLog(t.Context(), held.Lease.ID, int64(batch+1), lines)) // its answer was lost
		w.bell.Ring(e.ID)
		for range lines {
			select {
			case <-heard:
			case err := <-ended:
				t.Fatalf("the follower was let go: %v", err)
			}
		}
	}
	w.must(w.store.FinishLease(t.Context(), held.Lease.ID, time.Now(), execution.Result{Status: execution.Complete},
		[]execution.Line{{Time: time.Now(), Stream: execution.StatusStream, Text: "the last word"}}))
	w.bell.Ring(e.ID)
	if got := <-heard; got != "the last word" {
		t.Errorf("heard %q at the end", got)
	}
	w.must(<-ended)

	var lines, states []string
	for _, text := range follower.heard {
		if strings.Contains(text, " ") {
			lines = append(lines, text)
		} else {
			states = append(states, text)
		}
	}
	if diff := cmp.Diff(append(want[1:], "the last word"), lines); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	if last := follower.heard[len(follower.heard)-1]; last != "complete" || states[len(states)-1] != "complete" {
		t.Errorf("the end came before the last line: %s, states %v", last, states)
	}
}

func TestAFollowerTakesUpTheLogWhereItWas(t *testing.T) {
	w := newWorks(t)
	e := w.create(w.draft())
	held := w.take()
	w.must(w.store.FinishLease(t.Context(), held.Lease.ID, time.Now(), execution.Result{Status: execution.Error}, []execution.Line{
		{Stream: execution.Stdout, Text: "one"}, {Stream: execution.Stderr, Text: "two"}, {Stream: execution.Stdout, Text: "three"},
	}))
	follower := &listener{}
	w.must(w.Follow(t.Context(), w.member, e.ID, 2, follower))
	if diff := cmp.Diff([]string{"three", "error"}, follower.heard); diff != "" {
		t.Errorf("heard (-want +got):\n%s", diff)
	}
	lines, total, err := w.Tail(t.Context(), w.member, e.ID, 2)
	if err != nil || total != 3 || len(lines) != 2 || lines[0].Text != "two" {
		t.Errorf("the last two of %d are %v (%v)", total, lines, err)
	}
}

func TestALongLogIsToldInPieces(t *testing.T) {
	w := newWorks(t)
	e := w.create(w.draft())
	held := w.take()
	const count = 2*execution.BatchMost + 100
	for i := range 3 {
		batch := make([]execution.Line, execution.BatchMost)
		for j := range batch {
			batch[j] = execution.Line{Stream: execution.Stdout, Text: fmt.Sprint(i*execution.BatchMost + j + 1)}
		}
		w.must(w.store.AppendLog(t.Context(), held.Lease.ID, int64(i)+1, batch[:min(len(batch), count-i*len(batch))]))
	}
	told, pieces := 0, 0
	total, err := w.TellTail(t.Context(), w.member, e.ID, 0, func(lines []execution.Line) error {
		pieces++
		for _, line := range lines {
			if told++; line.Text != fmt.Sprint(told) {
				t.Fatalf("line %d is %q", told, line.Text)
			}
		}
		return nil
	})
	if err != nil || total != count || told != count || pieces != 3 {
		t.Errorf("told %d of %d in %d pieces (%v)", told, total, pieces, err)
	}
	if _, err := w.TellTail(t.Context(), w.member, e.ID, 0, func([]execution.Line) error { return context.Canceled }); err != context.Canceled { //nolint:errorlint // that very one
		t.Errorf("nobody listens, and yet: %v", err)
	}
	lines, _, err := w.Tail(t.Context(), w.member, e.ID, 5000)
	if err != nil || len(lines) != 5000 || lines[4999].Text != fmt.Sprint(count) {
		t.Errorf("the last 5000 are %d (%v)", len(lines), err)
	}
}

func TestALineOfTheLogIsOneLineOfValidText(t *testing.T) {
	for text, want := range map[string]string{"plain ü": "plain ü", "a\nb": "a b", "\xff": "\uFFFD", "a\x00": "a\uFFFD", "\x1b[31m": "\x1b[31m"} {
		if got := execution.CleanText(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}
