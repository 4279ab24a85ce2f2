package account

import (
	"slices"

	"fairlead.dev/fairlead/internal/audit"
)

// Standing is what a user has in an organisation, and where it is from.
type Standing struct {
	OrganizationID int64 // 0: the installation, where the role is operator
	Name           string

	Role Role // "": none

	// ByGroups is what groups gave at the last sign-in; "": nothing, and then
	// Role was given by hand. Hand is what was given by hand beside it.
	ByGroups Role
	Hand     Role

	// Last tells that nobody else is an admin there, or an operator.
	Last bool
}

// RoleChange is what becomes of a Standing.
type RoleChange struct {
	OrganizationID int64

	Role     Role // "": none
	ByGroups Role
	Hand     Role

	Events []audit.Event
}

// groupChanges is what is to change so that a user has what the groups give now,
// want, and what was given by hand: the higher of the two. What came from a group
// alone goes with it, but for the last admin's role and the last operator's,
// which stay and are tried again at the next sign-in.
func groupChanges(have []Standing, want map[int64]Role, event func(verb audit.Verb, s Standing) audit.Event) []RoleChange {
	var changes []RoleChange
	for _, s := range have {
		given := want[s.OrganizationID]
		if s.ByGroups == "" && given == "" {
			continue
		}
		change := RoleChange{OrganizationID: s.OrganizationID, ByGroups: given, Hand: s.Hand}
		if s.ByGroups == "" {
			change.Hand = s.Role
		}
		change.Role = higher(given, change.Hand)
		if s.Last && change.Role.rank() < s.Role.rank() {
			kept := event(verbOf(s, s.Role), s)
			kept.Result = "last_admin"
			change.Role, change.ByGroups, change.Events = s.Role, s.ByGroups, []audit.Event{kept}
		} else if change.Role != s.Role {
			done := event(verbOf(s, change.Role), s)
			if change.Role != "" {
				done.Details["role"] = string(change.Role)
			}
			change.Events = []audit.Event{done}
		}
		changes = append(changes, change)
	}
	slices.SortFunc(changes, func(a, b RoleChange) int { return int(a.OrganizationID - b.OrganizationID) })
	return changes
}

func verbOf(s Standing, role Role) audit.Verb {
	switch {
	case s.OrganizationID == 0:
		return audit.UserOperator
	case role == "":
		return audit.MemberRemove
	default:
		return audit.MemberSet
	}
}
