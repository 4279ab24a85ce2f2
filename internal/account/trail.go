package account

import (
	"slices"

	"fairlead.dev/fairlead/internal/fault"
)

// Audited are the ids of the organisations whose audit trail a may read, in rising
// order: those that it administers, and for an operator 0, what belongs to none.
// Who may read none is Denied.
func (a Actor) Audited() ([]int64, error) {
	var ids []int64
	for id, role := range a.Roles {
		if role == Admin {
			ids = append(ids, id)
		}
	}
	if a.Operator {
		ids = append(ids, 0)
	}
	if len(ids) == 0 {
		return nil, notAudited()
	}
	slices.Sort(ids)
	return ids, nil
}

// MayAudit says whether a may read the audit trail of the organisation, or of what
// belongs to none where the id is 0. It is Denied otherwise.
func (a Actor) MayAudit(organizationID int64) error {
	ids, err := a.Audited()
	if err != nil {
		return err
	}
	if !slices.Contains(ids, organizationID) {
		return notAudited()
	}
	return nil
}

func notAudited() error {
	return fault.New(fault.Denied, "not_admin", "only an admin of an organisation or an operator may read the audit trail").
		WithHint("Ask one of your organisation's admins: `fairlead org members ORGANIZATION` lists them.")
}
