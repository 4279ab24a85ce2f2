package api

import (
	"cmp"
	"context"
	"strconv"

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
	Organization string `query:"organization" doc:"Only of that organisation: its name or id; 0: only what belongs to none (operators)"`
	Actor        string `query:"actor" doc:"Only what was done by that user, worker or cache: the name as it stands in the rows"`
	Object       string `query:"object" doc:"Only what was done to that: an id or a name as it stands in the rows"`
	Execution    string `query:"execution" doc:"Only what was done for that execution: its id"`
	Verb         string `query:"verb" doc:"Only that, such as grant.issue; or credential for all that was done to credentials"`
	Result       string `query:"result" doc:"ok, the code of an error, or failed for whatever is not ok"`
	Since        string `query:"since" doc:"Only from that time on: RFC 3339, or a date in UTC"`
	Until        string `query:"until" doc:"Only before that time: RFC 3339, or a date in UTC"`
	Before       int64  `query:"before" minimum:"0" doc:"Only rows with a smaller id: where the next page begins"`
	Limit        int    `query:"limit" minimum:"0" doc:"How many; 0 or absent: 100; at most 10,000"`
}

func (d *door) listAudit(ctx context.Context, v *visit, in *auditQuery) (list wire.AuditList, err error) {
	filter, err := d.auditFilter(ctx, v, *in)
	if err != nil {
		return list, err
	}
	links, count, err := d.config.Audit.Events(ctx, filter)
	if err != nil {
		return list, err
	}
	list = wire.AuditList{Count: min(count, audit.CountMost), More: count > audit.CountMost, Results: each(links, auditEventOf)}
	if len(links) == filter.Limit {
		address := v.with("before", strconv.FormatInt(links[len(links)-1].ID, 10))
		list.Next = &address
	}
	return list, nil
}

// auditFilter is what of the trail is asked for, of what the actor may read.
func (d *door) auditFilter(ctx context.Context, v *visit, in auditQuery) (filter audit.Filter, err error) {
	filter = audit.Filter{
		Verb: audit.Verb(in.Verb), Actor: in.Actor, Object: in.Object, ExecutionID: in.Execution, Result: in.Result,
		Before: in.Before, Limit: min(cmp.Or(in.Limit, auditDefault), auditMost),
	}
	if filter.OrganizationIDs, err = v.actor.Audited(); err != nil {
		return filter, err
	}
	if in.Organization != "" {
		if filter.OrganizationIDs, err = d.auditedOf(ctx, v, in.Organization); err != nil {
			return filter, err
		}
	}
	since, sinceErr := audit.ParseMoment("since", in.Since)
	until, untilErr := audit.ParseMoment("until", in.Until)
	filter.Since, filter.Until = since, until
	return filter, fault.Join(sinceErr, untilErr)
}

// auditedOf narrows the organisations whose trail may be read to one.
func (d *door) auditedOf(ctx context.Context, v *visit, key string) ([]int64, error) {
	var id int64
	if key != "0" {
		organization, err := d.config.Accounts.Organization(ctx, v.actor, key)
		if err != nil {
			return nil, err
		}
		id = organization.ID
	}
	return []int64{id}, v.actor.MayAudit(id)
}

func auditEventOf(event audit.Link) wire.AuditEvent {
	if event.Broken != nil {
		return wire.AuditEvent{ID: event.ID, Details: map[string]string{}, Unreadable: true}
	}
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
