package app

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/store"
)

func TestRowsThatDidNotGoOutAreKeptSevenDaysLonger(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	kept, err := store.Open(ctx, filepath.Join(dir, "fairlead.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = kept.Close() }()
	const day = 24 * time.Hour
	noon := time.Date(2026, 3, 9, 12, 0, 0, 0, time.UTC)
	s := &Server{store: kept, logger: slog.New(slog.DiscardHandler), config: Config{
		AuditKeep: Days(30 * day), AuditLogs: []string{filepath.Join(dir, "near.jsonl"), filepath.Join(dir, "away", "far.jsonl"), filepath.Join(dir, "near.jsonl")},
	}}
	if err := s.openRelays(); err != nil {
		t.Fatal(err)
	}
	if len(s.AuditRelays()) != 2 {
		t.Fatalf("%d relays", len(s.AuditRelays()))
	}
	for range 3 {
		if err := kept.Record(ctx, audit.Event{Time: noon, Verb: audit.KeysRotate, Result: audit.ResultOK}); err != nil {
			t.Fatal(err)
		}
	}
	if sent, err := s.relays[0].Send(ctx); err != nil || sent != 3 {
		t.Fatalf("%d, %v", sent, err)
	}
	if _, err := s.relays[1].Send(ctx); err == nil {
		t.Fatal("rows went to a directory that is not there")
	}
	for _, test := range []struct {
		after time.Duration
		want  int
	}{{29 * day, 0}, {36 * day, 0}, {38 * day, 3}} {
		if removed, err := s.expireTrail(ctx, noon.Add(test.after)); err != nil || removed != test.want {
			t.Errorf("after %v %d rows were removed, want %d: %v", test.after, removed, test.want, err)
		}
	}
}

func TestRowsThatWentOutAreRemovedAtTheirAge(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	kept, err := store.Open(ctx, filepath.Join(dir, "fairlead.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = kept.Close() }()
	noon := time.Date(2026, 3, 9, 12, 0, 0, 0, time.UTC)
	s := &Server{store: kept, logger: slog.New(slog.DiscardHandler), config: Config{
		AuditKeep: Days(24 * time.Hour), AuditLogs: []string{filepath.Join(dir, "near.jsonl")},
	}}
	if err := s.openRelays(); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		if err := kept.Record(ctx, audit.Event{Time: noon, Verb: audit.KeysRotate, Result: audit.ResultOK}); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if _, err := s.relays[0].Send(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	if removed, err := s.expireTrail(ctx, noon.Add(25*time.Hour)); err != nil || removed != 1 {
		t.Errorf("%d rows were removed, want the one that went out: %v", removed, err)
	}
}
