package app

import (
	"context"
	"log/slog"
	"time"
)

// tendEvery is how often the server looks whether a credential is to be checked
// again, or a replaced secret to be forgotten.
const tendEvery = time.Minute

// expireEvery is how often the server looks for rows of the audit trail that are
// too old: once a day leaves one row a day about it.
const expireEvery = 24 * time.Hour

// tendTrail removes rows of the audit trail that are older than they are kept,
// until ctx ends.
func (s *Server) tendTrail(ctx context.Context) {
	if s.config.AuditKeep == 0 {
		return
	}
	ticker := time.NewTicker(expireEvery)
	defer ticker.Stop()
	for {
		n, err := s.expireTrail(ctx, time.Now().UTC())
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			s.logger.LogAttrs(ctx, slog.LevelWarn, "removed old rows of the audit trail", slog.Int("count", n), slog.String("error", err.Error()))
		} else if n > 0 {
			s.logger.LogAttrs(ctx, slog.LevelInfo, "removed old rows of the audit trail", slog.Int("count", n))
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// tendCredentials checks credentials whose time has come, and forgets replaced
// secrets whose time is over, until ctx ends. What failed is in the log and
// tried again later.
func (s *Server) tendCredentials(ctx context.Context) {
	ticker := time.NewTicker(tendEvery)
	defer ticker.Stop()
	for {
		for what, chore := range map[string]func(context.Context) (int, error){
			"checked registry credentials":     s.registries.CheckDue,
			"forgot replaced registry secrets": s.registries.ForgetHeld,
		} {
			n, err := chore(ctx)
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				s.logger.LogAttrs(ctx, slog.LevelWarn, what, slog.Int("count", n), slog.String("error", err.Error()))
			} else if n > 0 {
				s.logger.LogAttrs(ctx, slog.LevelInfo, what, slog.Int("count", n))
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
