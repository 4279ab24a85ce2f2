package api

import (
	"context"
	"slices"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/wire"
)

// auditDefault and auditMost bound a page of the trail.
const (
	auditDefault = 100
	auditMost    = 10_000
)

type auditQuery struct {
	Execution string `query:"execution" doc:"Only what was done for that execution: its id"`
	Verb      string `query:"verb" doc:"Only that, such as grant.issue"`
	Page
}

func (d *door) listAudit(ctx context.Context, v *visit, in *auditQuery) (list wire.List[wire.AuditEvent], err error) {
	organizations, err := audited(v.actor)
	if err != nil {
		return list, err
	}
	if in.Limit <= 0 {
		in.Limit = auditDefault
	}
	in.Limit = min(in.Limit, auditMost)
	events, count, err := d.config.Audit.Events(ctx, audit.Filter{
		OrganizationIDs: organizations, Verb: audit.Verb(in.Verb), ExecutionID: in.Execution, Limit: in.Limit, Offset: in.Offset,
	})
	if err != nil {
		return list, err
	}
	return listOf(v, in.Page, each(events, auditEventOf), count), nil
}

// audited are the organisations whose trail actor may read: those that they
// administer, and for an operator what belongs to none.
func audited(actor account.Actor) ([]int64, error) {
	var ids []int64
	for id, role := range actor.Roles {
		if role == account.Admin {
			ids = append(ids, id)
		}
	}
	if actor.Operator {
		ids = append(ids, 0)
	}
	if len(ids) == 0 {
		return nil, fault.New(fault.Denied, "not_admin", "only an admin of an organisation or an operator may read the audit trail").
			WithHint("Ask one of your organisation's admins: `fairlead org members ORGANIZATION` lists them.")
	}
	slices.Sort(ids)
	return ids, nil
}

func auditEventOf(event audit.Event) wire.AuditEvent {
	return wire.AuditEvent{
		ID: event.ID, Time: wire.NewTime(event.Time), Actor: event.Actor, ActorID: event.ActorID, Remote: event.Remote,
		Verb: string(event.Verb), Result: event.Result, Organization: event.OrganizationID,
		ObjectID: event.ObjectID, ObjectName: event.ObjectName, Execution: event.ExecutionID, Details: orEmptyMap(event.Details),
		Hash: event.Hash.String(), Previous: event.Previous.String(),
	}
}

func (d *door) rotateKeys(ctx context.Context, v *visit, _ *nothing) (wire.KeyRotation, error) {
	if err := v.actor.MayOperate(); err != nil {
		return wire.KeyRotation{}, err
	}
	return d.config.Keys.Rotate(ctx, v.actor)
}
