package store_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/execution"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/registry"
)

func TestFiguresAreWhatIsInTheDatabase(t *testing.T) {
	s := open(t, t.TempDir())
	defer func() { _ = s.Close() }()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx, now := t.Context(), time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	accounts := account.NewService(s, func() time.Time { return now })
	_, err := accounts.Bootstrap(ctx, "root", "acme")
	must(err)
	root, _, err := s.UserByName(ctx, "root")
	must(err)
	organization, err := s.OrganizationByName(ctx, "acme")
	must(err)
	project := account.Project{ID: uuid.NewString(), Name: "notes", Owner: account.Owner{UserID: root.ID}, CreatedAt: now}
	must(s.CreateProject(ctx, project, audit.Event{}))
	queue := func(at time.Time) {
		_, err := s.CreateExecution(ctx, execution.Execution{
			ID: uuid.NewString(), ProjectID: project.ID, Status: execution.Queued, CreatedAt: at, Work: execution.Work{Step: "train"},
			Environment: execution.EnvironmentName{ID: account.DefaultEnvironmentID},
		}, nil, audit.Event{})
		must(err)
	}
	queue(now.Add(-time.Minute))
	queue(now.Add(-time.Hour))
	queue(now)
	_, ok, err := s.TakeLease(ctx, account.DefaultEnvironmentID, execution.Lease{ID: "l", WorkerID: "w", ExpiresAt: now.Add(time.Minute)}, now)
	must(err)
	for _, ends := range []time.Time{{}, now.Add(48 * time.Hour)} {
		must(s.CreateCredential(ctx, registry.Credential{
			ID: uuid.NewString(), OrganizationID: organization.ID, Name: "c" + ends.String(), Kind: "generic", Version: 1, CreatedAt: now, ExpiresAt: ends,
			Sealed: registry.Sealed{KeyID: 1, Bytes: []byte("sealed")},
		}, audit.Event{}))
	}
	f, err := s.Figures(ctx)
	must(err)
	if !ok || len(f.Queues) != 1 || f.Queues[0].Environment != "default" || f.Queues[0].Length != 2 || !f.Queues[0].Oldest.Equal(now.Add(-time.Hour)) {
		t.Errorf("the queue is %+v", f.Queues)
	}
	if f.Leases != 1 || f.AuditHead == 0 || f.Notices != 0 {
		t.Errorf("the figures are %+v", f)
	}
	if len(f.Credentials) != 1 || f.Credentials[0].Organization != "acme" || !f.Credentials[0].ExpiresAt.Equal(now.Add(48*time.Hour)) {
		t.Errorf("the credentials are %+v", f.Credentials)
	}
}

func TestADatabaseAnswersUntilItIsClosed(t *testing.T) {
	s := open(t, t.TempDir())
	if err := s.Answers(t.Context()); err != nil {
		t.Error(err)
	}
	if done, known, err := s.Migrations(t.Context()); err != nil || done != known || known == 0 {
		t.Errorf("%d of %d changes of the tables (%v)", done, known, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Answers(t.Context()); !fault.Is(err, fault.Unavailable) {
		t.Errorf("it answers: %v", err)
	}
}
