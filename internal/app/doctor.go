package app

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/app/adapter"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/registry"
	"fairlead.dev/fairlead/internal/store"
	"fairlead.dev/fairlead/internal/telemetry"
	"fairlead.dev/fairlead/internal/vault"
	"fairlead.dev/fairlead/internal/wire"
)

// examination is one look at a server: what is wrong, and what to do. It shows no
// secret, and of credentials no more than whoever asks may see.
type examination struct {
	server *Server
	actor  account.Actor

	credentials bool // their registries are asked
	owner       bool // the machine's owner asks, who can read the database anyway

	findings []wire.Finding
}

// Examine looks at the running server; only an operator may. The names of credentials
// are their organisations' to know.
func (s *Server) Examine(ctx context.Context, actor account.Actor, credentials bool) (wire.Doctor, error) {
	if err := actor.MayOperate(); err != nil {
		return wire.Doctor{}, err
	}
	e := &examination{server: s, actor: actor, credentials: credentials}
	e.place(ctx)
	e.kept(ctx)
	e.machine(ctx)
	return e.done(ctx)
}

// Examine looks at a server's settings, data and machine, whether it runs or not. What
// is wrong is in the answer; the error is for settings that cannot be used.
func Examine(ctx context.Context, config Config, credentials bool) (_ wire.Doctor, err error) {
	if config, err = config.settled(); err != nil {
		return wire.Doctor{}, err
	}
	s := &Server{config: config, logger: slog.New(slog.DiscardHandler), observe: telemetry.New(nil, nil)}
	reach, err := config.Registries.OCI()
	if err != nil {
		return wire.Doctor{}, err
	}
	s.transport = &reach
	if s.reach, err = oci.NewTransport(reach); err != nil {
		return wire.Doctor{}, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	e := &examination{server: s, actor: account.Actor{Username: "fairlead", Operator: true}, credentials: credentials, owner: true}
	if e.place(ctx) && e.open(ctx) {
		e.kept(ctx)
	}
	e.machine(ctx)
	return e.done(ctx)
}

func (e *examination) done(ctx context.Context) (wire.Doctor, error) {
	return wire.Doctor{At: wire.Time{Time: time.Now().UTC()}, Findings: e.findings}, ctx.Err()
}

// open opens what a server opens, where that changes nothing but what a running one
// would: no database and no keys are made, and no tables are changed.
func (e *examination) open(ctx context.Context) bool {
	s, now := e.server, func() time.Time { return time.Now().UTC() }
	sealing, err := vault.Open(s.config.KeyFile)
	if err != nil {
		e.fail("keys", err)
		return false
	}
	if s.store, err = store.Open(ctx, s.config.Database); err != nil {
		e.fail("database", err)
		return false
	}
	catalogue, err := s.kinds(now)
	if err != nil {
		e.fail("settings", err)
		return false
	}
	s.sealing = sealing
	s.accounts = account.NewService(s.store, now)
	s.registries = registry.NewService(s.store, s.accounts, adapter.Kinds{Catalogue: catalogue}, adapter.Sealer{Vault: sealing}, now)
	return true
}

func (e *examination) ok(part, sentence string) {
	e.findings = append(e.findings, wire.Finding{Part: part, Result: wire.FindingOK, Sentence: sentence})
}

func (e *examination) warn(part, code, sentence, next string) {
	e.findings = append(e.findings, wire.Finding{Part: part, Result: wire.FindingWarn, Code: code, Sentence: sentence, Next: next})
}

// fail tells of an error. The cause of one that is no fault is shown to the machine's
// owner alone.
func (e *examination) fail(part string, err error) {
	f := fault.From(err)
	sentence := f.Message
	if e.owner && f.Cause != nil && (f.Kind == fault.Internal || f.Hint == "") {
		sentence = f.Error()
	}
	e.findings = append(e.findings, wire.Finding{Part: part, Result: wire.FindingFail, Code: f.Code, Sentence: sentence, Next: f.Hint})
}

// CompareClocks adds to what a server found how its clock, read between began and
// ended, differs from this machine's.
func CompareClocks(found *wire.Doctor, server string, began, ended time.Time) {
	var ahead time.Duration
	switch at := found.At.Time; {
	case at.IsZero():
		return
	case ended.Before(at):
		ahead = ended.Sub(at)
	case began.After(at):
		ahead = began.Sub(at)
	}
	if finding, wrong := clockFinding("your machine", server, ahead); wrong {
		found.Findings = append(found.Findings, finding)
	}
}
