package app

import (
	"context"
	"math"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/relay"
)

// unsentKeep is how much longer than --audit-keep says rows are kept that did not go
// out to every --audit-log yet.
const unsentKeep = 7 * 24 * time.Hour

// auditTargets are where the audit trail is sent, each once.
func auditTargets(texts []string) (targets []relay.Target, err error) {
	var errs []error
	for _, text := range texts {
		target, err := relay.ParseTarget(text)
		if errs = append(errs, err); err == nil && !slices.Contains(targets, target) {
			targets = append(targets, target)
		}
	}
	return targets, fault.Join(errs...)
}

// openRelays makes what sends the audit trail out.
func (s *Server) openRelays() error {
	targets, err := auditTargets(s.config.AuditLogs)
	if err != nil {
		return err
	}
	roots, err := s.roots()
	if err != nil {
		return err
	}
	for _, target := range targets {
		s.relays = append(s.relays, relay.New(relay.Config{
			Store: s.store, Name: target.String(), Sink: target.Open(roots), Logger: s.logger,
		}))
	}
	return nil
}

// AuditRelays send the audit trail out; how far each is behind is its Lag.
func (s *Server) AuditRelays() []*relay.Relay { return s.relays }

// relayTrail sends the audit trail out until ctx ends. SIGHUP has files and
// connections opened anew.
func (s *Server) relayTrail(ctx context.Context) {
	if len(s.relays) == 0 {
		return
	}
	hangUps := make(chan os.Signal, 1)
	signal.Notify(hangUps, syscall.SIGHUP)
	defer signal.Stop(hangUps)
	var running sync.WaitGroup
	defer running.Wait()
	for _, r := range s.relays {
		running.Go(func() { r.Run(ctx) })
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangUps:
			for _, r := range s.relays {
				r.Reopen()
			}
		}
	}
}

// expireTrail removes the rows of the audit trail that are older than they are kept:
// those that went out to every target, and those that did not only unsentKeep later.
func (s *Server) expireTrail(ctx context.Context, now time.Time) (removed int, err error) {
	keep, sent := time.Duration(s.config.AuditKeep), int64(math.MaxInt64)
	for _, r := range s.relays {
		position, err := r.Position(ctx)
		if err != nil {
			return 0, err
		}
		sent = min(sent, position)
	}
	removed, err = audit.Expire(ctx, s.store, now, keep, sent)
	if err != nil || len(s.relays) == 0 {
		return removed, err
	}
	more, err := audit.Expire(ctx, s.store, now, keep+unsentKeep, math.MaxInt64)
	return removed + more, err
}
