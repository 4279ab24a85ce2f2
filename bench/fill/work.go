package fill

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/execution"
	"fairlead.dev/fairlead/internal/wire"
)

// gpu is where what waits goes on waiting: it has no worker.
const gpu = "gpu"

const step = "train-7"

// work makes the environment, the projects and their code.
func (f *filler) work(ctx context.Context) error {
	environment := account.Environment{ID: uuid.NewString(), Name: gpu, Slug: gpu, Enabled: true, CreatedAt: f.now}
	if err := f.store.CreateEnvironment(ctx, environment, f.event(audit.EnvironmentCreate, 0, environment.ID, gpu)); err != nil {
		return err
	}
	config := steps(50)
	for i := range projects {
		owner := f.organizations[0]
		if i%3 == 2 {
			owner = f.organizations[i%organizations]
		}
		project := account.Project{
			ID: uuid.NewString(), Name: fmt.Sprintf("project-%d", i), Description: "What the team trains by the week", CreatedAt: f.now,
			Owner: account.Owner{OrganizationID: owner.ID, Name: owner.Name},
		}
		if err := f.store.CreateProject(ctx, project, f.event(audit.ProjectCreate, owner.ID, project.ID, project.Name)); err != nil {
			return err
		}
		f.projects = append(f.projects, project)
	}
	f.filled.Project, f.filled.Step = f.projects[0].ID, step
	return each(projects+commits, func(i int) error {
		project := f.projects[max(0, i-commits)]
		commit := execution.Commit{
			ProjectID: project.ID, Identifier: "~" + strings.Repeat(fmt.Sprintf("%08x", i), 8), Description: "by the week", CreatedAt: f.now,
			Config: config, ConfigPath: "valohai.yaml", Size: 1 << 20,
		}
		commit.Package = commit.Identifier
		if i == 0 {
			f.filled.Commit = commit.Identifier
		}
		_, err := f.store.CreateCommit(ctx, commit, f.event(audit.CommitImport, project.Owner.OrganizationID, commit.Identifier, commit.Identifier))
		return err
	})
}

// steps is a valohai.yaml of n steps.
func steps(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `- step:
    name: train-%[1]d
    image: registry.acme.example/team-%[1]d/train:v1
    command: [pip install -r requirements.txt, "python train.py {parameters}"]
    parameters:
      - {name: epochs, type: integer, default: %[1]d, min: 0, max: 100000}
      - {name: learning_rate, type: float, default: 0.001}
      - {name: optimizer, type: string, default: adam, choices: [adam, sgd]}
      - {name: augment, type: flag, default: true}
    inputs:
      - {name: dataset, default: "s3://acme/datasets/%[1]d/*.parquet"}
    environment-variables:
      - {name: RUN, default: "%[1]d"}
`, i)
	}
	return b.String()
}

// draft is the nth execution as somebody queued it.
func (f *filler) draft(n int) execution.Execution {
	author := f.members[n%len(f.members)]
	if n%10 == 0 {
		author = f.admin
	}
	return execution.Execution{
		ID: uuid.NewString(), ProjectID: f.projects[n*n%len(f.projects)].ID, Title: fmt.Sprintf("Run %d", n), Tags: []string{"weekly", "gpu"},
		Environment: execution.EnvironmentName{ID: account.DefaultEnvironmentID},
		Work: execution.Work{
			Step: step, Commit: f.filled.Commit, Package: f.filled.Commit, Image: imageOf(n),
			Commands: []string{"pip install -r requirements.txt", "python train.py --epochs=7 --learning_rate=0.001 --optimizer=adam --augment"},
			Script:   "pip install -r requirements.txt\npython train.py --epochs=7 --learning_rate=0.001 --optimizer=adam --augment\n",
			Inputs: []execution.Input{{
				Name: "dataset", Files: []execution.InputFile{{URL: "s3://acme/datasets/7/part-1.parquet"}, {URL: "s3://acme/datasets/7/part-2.parquet"}},
			}},
			Environment: map[string]string{"RUN": "7", "DATA": "/valohai/inputs/dataset"},
		},
		CreatedBy: author.ID, CreatedByName: author.Username, Status: execution.Queued, CreatedAt: f.now.Add(time.Duration(n-Executions) * 10 * time.Minute),
	}
}

// imageOf is the image of the nth execution; the credentials serve most of them.
func imageOf(n int) string {
	return fmt.Sprintf("registry.acme.example/team-%d/train:v%d", n%1200, n%3)
}

// executions makes all but the last: those that ended, in all ways, those that run and
// those that wait.
func (f *filler) executions(ctx context.Context) error {
	report, err := json.Marshal(pulled())
	if err != nil {
		return err
	}
	err = each(Executions-queued-1, func(i int) error { // the last of them run on
		draft := f.draft(i)
		if _, err := f.store.CreateExecution(ctx, draft, nil, f.event(audit.ExecutionCreate, 0, draft.ID, step)); err != nil {
			return err
		}
		e, lease, err := f.take(ctx, i)
		if err != nil {
			return err
		}
		if err := f.store.NoteImage(ctx, lease, "sha256:"+strings.Repeat("ab", 32), report); err != nil || i >= Executions-queued-running-1 {
			return err
		}
		if i == 1 {
			f.filled.Failed = e.ID
		}
		return f.store.FinishLease(ctx, lease, e.CreatedAt.Add(5*time.Minute), resultOf(i), lines(20, e.CreatedAt))
	})
	if err != nil {
		return err
	}
	environments, err := f.store.Environments(ctx)
	if err != nil {
		return err
	}
	for i := range queued {
		draft := f.draft(Executions - queued - 1 + i)
		for _, e := range environments {
			if e.Slug == gpu {
				draft.Environment.ID = e.ID
			}
		}
		f.filled.Queued = draft.ID
		if _, err := f.store.CreateExecution(ctx, draft, nil, f.event(audit.ExecutionCreate, 0, draft.ID, step)); err != nil {
			return err
		}
	}
	return nil
}

// take has a worker of nobody's take the next execution. There is one; another
// worker may be faster, and then there is another one.
func (f *filler) take(ctx context.Context, n int) (execution.Execution, string, error) {
	for {
		lease := execution.Lease{ID: uuid.NewString(), WorkerID: f.workers[n%workers], WorkerName: fmt.Sprintf("worker-%d", n%workers), ExpiresAt: f.now.Add(time.Hour)}
		e, ok, err := f.store.TakeLease(ctx, account.DefaultEnvironmentID, lease, f.now)
		if ok || err != nil {
			return e, lease.ID, err
		}
	}
}

// resultOf is how the nth execution ended.
func resultOf(n int) execution.Result {
	zero, one := 0, 1
	switch n % 10 {
	case 0:
		return execution.Result{Status: execution.Error, ExitCode: &one}
	case 1:
		return execution.Result{Status: execution.Error, Code: "image_denied", Message: "registry.acme.example refused the image"}
	case 2:
		return execution.Result{Status: execution.Stopped}
	default:
		return execution.Result{Status: execution.Complete, ExitCode: &zero}
	}
}

func pulled() wire.PullReport {
	report := wire.PullReport{Sentence: "Pulled 1.2 GiB in 12 s", TotalSeconds: 12, TransferSeconds: 11, SizeBytes: 1 << 30, FetchedBytes: 1 << 30}
	for i := range 20 {
		at := func(seconds float64) *float64 { return &seconds }
		begin := float64(i) / 2
		report.Layers = append(report.Layers, wire.PulledLayer{
			Digest: fmt.Sprintf("sha256:%064x", i), SizeBytes: 50 << 20, FetchedBytes: 50 << 20, BytesPerSecond: 100 << 20,
			RequestedAt: at(begin), FirstByteAt: at(begin + 0.1), LastByteAt: at(begin + 1), UnpackedAt: at(begin + 2),
		})
	}
	return report
}

// lines are n lines of a log.
func lines(n int, begin time.Time) []execution.Line {
	all := make([]execution.Line, n)
	for i := range all {
		all[i] = execution.Line{Time: begin.Add(time.Duration(i) * time.Millisecond), Stream: execution.Stdout, Text: fmt.Sprintf("epoch %d/%d loss=0.%06d", i, n, i*7919%1_000_000)}
	}
	return all
}

// loud makes the execution that tells and leaves the most.
func (f *filler) loud(ctx context.Context) error {
	draft := f.draft(Executions - 1)
	draft.ProjectID = f.filled.Project
	if _, err := f.store.CreateExecution(ctx, draft, nil, f.event(audit.ExecutionCreate, 0, draft.ID, step)); err != nil {
		return err
	}
	e, lease, err := f.take(ctx, 0)
	if err != nil {
		return err
	}
	f.filled.Loud = e.ID
	const batch = 1000
	for i := range LogLines / batch {
		begin := e.CreatedAt.Add(time.Duration(i) * time.Minute)
		told := make([]execution.Metadatum, Metadata*batch/LogLines)
		for j := range told {
			n := i*len(told) + j
			told[j] = execution.Metadatum{Time: begin, Body: fmt.Appendf(nil, `{"epoch":%d,"loss":%g,"accuracy":%g,"learning_rate":0.001,"phase":"train"}`, n, 1/float64(n+1), 1-1/float64(n+1))}
		}
		if err := f.store.AppendLog(ctx, lease, int64(i)+1, lines(batch, begin), told...); err != nil {
			return err
		}
	}
	err = each(Outputs, func(i int) error {
		d := execution.Datum{
			ID: uuid.NewString(), ProjectID: e.ProjectID, ExecutionID: e.ID, Name: fmt.Sprintf("checkpoints/model-%04d.pt", i), Size: 1 << 30,
			SHA256: strings.Repeat("cd", 32), Key: uuid.NewString(), CreatedAt: f.now,
		}
		_, err := f.store.AddDatum(ctx, lease, d, f.event(audit.DatumCreate, 0, d.ID, d.Name))
		return err
	})
	if err != nil {
		return err
	}
	return f.store.FinishLease(ctx, lease, f.now, resultOf(9), nil)
}
