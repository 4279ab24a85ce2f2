// Package relay sends the audit trail out of the house while it is written: to a
// file, to standard output, or to a syslog server, a row a line of JSON with its
// hashes.
//
// Every row goes out at least once, in its order: how far a target was sent the
// trail is kept in the store, moved on when rows have arrived, and gone on from
// after a restart. A target that is away is tried again and keeps nobody waiting.
package relay

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/audit"
)

// batch is how many rows are sent before it is noted that they were. After a kill
// so many come twice at most; audit.VerifyFile passes over them.
const batch = audit.RepeatMost / 2

// Times of sending.
const (
	lookEvery  = time.Second // for new rows
	firstRetry = time.Second // after a failure, doubled with each further one
	lastRetry  = time.Minute
	lastLook   = 2 * time.Second // for what is left when the server ends
)

// Store keeps the trail, and how far each target was sent it. Its methods may be
// called concurrently.
type Store interface {
	audit.ChainReader
	audit.Streams
}

// Sink is where rows go. It is used by one goroutine at a time.
type Sink interface {
	// Send has returned without an error when all rows have arrived, as far as the
	// way there can tell. After an error it begins anew at the next call.
	Send(ctx context.Context, links []audit.Link) error

	// Reopen has the next Send begin anew.
	Reopen()

	// Close ends it. It may be called again.
	Close() error
}

// Config is what a Relay is made of; all of it is required.
type Config struct {
	Store  Store
	Name   string // of the target, as the store knows it
	Sink   Sink
	Logger *slog.Logger
}

// Relay sends the trail to one target. Make it with New and call Run; the other
// methods may be called concurrently with it.
type Relay struct {
	config Config
	reopen chan struct{}
	failed int // attempts in a row, for Run alone

	mu       sync.Mutex
	position int64
	read     bool // position was read from the store
}

// New returns a Relay that does nothing yet.
func New(config Config) *Relay { return &Relay{config: config, reopen: make(chan struct{}, 1)} }

// Name is the target's.
func (r *Relay) Name() string { return r.config.Name }

// Reopen has the target opened anew before the next row, as for a file that was
// moved away, and tried at once.
func (r *Relay) Reopen() {
	select {
	case r.reopen <- struct{}{}:
	default:
	}
}

// Lag is how far a target is behind.
type Lag struct {
	// Rows are those that were not sent yet, and Oldest the time of the first of
	// them; zero: there is none.
	Rows   int64
	Oldest time.Time
}

// Lag reads how far the target is behind now.
func (r *Relay) Lag(ctx context.Context) (Lag, error) {
	position, err := r.Position(ctx)
	if err != nil {
		return Lag{}, err
	}
	chain, links, err := r.config.Store.ReadChain(ctx, position, 1)
	if err != nil || len(links) == 0 {
		return Lag{}, err
	}
	return Lag{Rows: chain.Head.ID - max(position, chain.Floor.ID), Oldest: links[0].Time}, nil
}

// Position is the id of the last row that was sent.
func (r *Relay) Position(ctx context.Context) (int64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.read {
		position, err := r.config.Store.StreamPosition(ctx, r.config.Name)
		if err != nil {
			return 0, err
		}
		r.position, r.read = position, true
	}
	return r.position, nil
}

// Run sends rows until ctx ends, and then what is left, if that is quick.
func (r *Relay) Run(ctx context.Context) {
	defer func() { _ = r.config.Sink.Close() }() // what arrived has arrived
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastLook)
			defer cancel()
			if r.failed == 0 {
				_, _ = r.Send(last) // what is left goes out after the next start
			}
			return
		case <-r.reopen:
			r.config.Sink.Reopen()
		case <-timer.C:
		}
		sent, err := r.Send(ctx)
		if ctx.Err() != nil {
			continue
		}
		timer.Reset(r.conclude(ctx, sent, err))
	}
}

// conclude logs what became of an attempt, and says when the next is due.
func (r *Relay) conclude(ctx context.Context, sent int, err error) time.Duration {
	target := slog.String("target", r.config.Name)
	if err == nil {
		if r.failed > 0 {
			r.config.Logger.LogAttrs(ctx, slog.LevelInfo, "the audit log goes out again", target, slog.Int("rows", sent))
		}
		r.failed = 0
		return lookEvery
	}
	r.failed++
	wait := min(firstRetry<<min(r.failed-1, 10), lastRetry)
	r.config.Logger.LogAttrs(ctx, slog.LevelWarn, "the audit log does not go out", target, slog.String("error", err.Error()), slog.Duration("again_in", wait))
	return wait
}

// Send sends all rows that were not sent yet, up to the newest of now, and returns
// how many went out, also with an error. It is for Run and for tests, one call at a time.
func (r *Relay) Send(ctx context.Context) (sent int, err error) {
	position, err := r.Position(ctx)
	if err != nil {
		return 0, err
	}
	for {
		chain, links, err := r.config.Store.ReadChain(ctx, position, batch)
		if err != nil {
			return sent, err
		}
		if lost := chain.Floor.ID - position; lost > 0 && position > 0 {
			r.config.Logger.LogAttrs(ctx, slog.LevelError, "rows of the audit log were removed for their age before they went out",
				slog.String("target", r.config.Name), slog.Int64("rows", lost))
		}
		if len(links) == 0 {
			return sent, nil
		}
		if err := r.config.Sink.Send(ctx, links); err != nil {
			return sent, err
		}
		position = links[len(links)-1].ID
		if err := r.config.Store.MoveStream(ctx, r.config.Name, position); err != nil {
			return sent, err
		}
		r.mu.Lock()
		r.position = position
		r.mu.Unlock()
		sent += len(links)
		if ctx.Err() != nil {
			return sent, context.Cause(ctx)
		}
	}
}

// errEnded is of a connection that the other end has ended.
var errEnded = errors.New("the other end ended the connection")
