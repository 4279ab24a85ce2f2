package store_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/execution"
	"fairlead.dev/fairlead/internal/store"
)

func benchStore(b *testing.B) *store.Store {
	b.Helper()
	s, err := store.Open(b.Context(), b.TempDir()+"/fairlead.db")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	return s
}

// must stops the benchmark on an error.
func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// leased is a store with one execution under the lease l1.
func leased(b *testing.B) *store.Store {
	b.Helper()
	s := benchStore(b)
	must(b, s.Bootstrap(b.Context(), account.User{ID: "u", Username: "ada"}, "", account.Organization{Name: "acme"}, audit.Event{}))
	must(b, s.CreateToken(b.Context(), account.Token{ID: "t", Name: "t", UserID: "u"}, "hash", audit.Event{}))
	must(b, s.CreateProject(b.Context(), account.Project{ID: "p", Name: "p", Owner: account.Owner{OrganizationID: 1}}, audit.Event{}))
	_, err := s.CreateExecution(b.Context(), execution.Execution{ID: "e", ProjectID: "p", Status: execution.Queued}, nil, audit.Event{})
	must(b, err)
	_, _, err = s.TakeLease(b.Context(), "", execution.Lease{ID: "l1"}, time.Now())
	must(b, err)
	return s
}

func BenchmarkRecordFrom64Goroutines(b *testing.B) {
	s := benchStore(b)
	event := audit.Event{
		Time: time.Now(), Actor: "worker gpu-1", ActorID: "6f1c9f2e-0000-4000-8000-000000000001", Remote: "192.0.2.1", Verb: audit.GrantIssue, Result: audit.ResultOK,
		OrganizationID: 1, ObjectID: "6f1c9f2e-0000-4000-8000-000000000002", ObjectName: "hub", ExecutionID: "6f1c9f2e-0000-4000-8000-000000000003",
		Details: map[string]string{"repository": "acme/train", "registry": "ghcr.io"},
	}
	work := make(chan struct{})
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			for range work {
				if err := s.Record(b.Context(), event); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for b.Loop() {
		work <- struct{}{}
	}
	close(work)
	all.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

func BenchmarkAppendLog(b *testing.B) {
	s := leased(b)
	lines := make([]execution.Line, execution.BatchMost)
	for i := range lines {
		lines[i] = execution.Line{Stream: execution.Stdout, Text: fmt.Sprintf("epoch %d/1000000 loss=0.%06d", i, i*7919%1_000_000)}
	}
	batch := int64(0)
	for b.Loop() {
		batch++
		for i := range lines {
			lines[i].Time = time.UnixMicro(batch*1_000_000 + int64(i))
		}
		must(b, s.AppendLog(b.Context(), "l1", batch, lines))
	}
	b.ReportMetric(float64(b.N*len(lines))/b.Elapsed().Seconds(), "lines/s")
}

func BenchmarkHotReads(b *testing.B) {
	s := leased(b)
	for name, read := range map[string]func() error{
		"TokenByHash":      func() error { _, err := s.TokenByHash(b.Context(), "hash"); return err },
		"Generation":       func() error { _, err := s.Generation(b.Context(), 1); return err },
		"ExecutionByLease": func() error { _, err := s.ExecutionByLease(b.Context(), "l1"); return err },
		"ProjectByID":      func() error { _, err := s.ProjectByID(b.Context(), "p"); return err },
	} {
		b.Run(name, func(b *testing.B) {
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := read(); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
