package account

import (
	"strings"

	"fairlead.dev/fairlead/internal/fault"
)

// RoleMap says what the groups that a provider knows give to who is in them. The
// zero RoleMap gives nothing to anybody.
type RoleMap struct{ rules []roleRule }

// roleRule is one line of the map.
type roleRule struct {
	group        string
	organization string // in lower case; "": the installation
	role         Role
}

// operatorRole is what a group gives in the installation.
const operatorRole Role = "operator"

// Bounds of a map.
const (
	rulesMost = 1000
	groupMost = 1024
)

// ParseRoleMap reads rules: GROUP=ORG:ROLE, or GROUP=operator. A group is what
// stands before the last =, since names of directories have some in them. The
// error is an Invalid fault of the field that tells of every rule that is wrong.
func ParseRoleMap(field string, texts []string) (RoleMap, error) {
	if len(texts) > rulesMost {
		return RoleMap{}, fault.InvalidField(field, "many", "%d rules; at most %d", len(texts), rulesMost)
	}
	var m RoleMap
	var errs []error
	for _, text := range texts {
		rule, err := parseRoleRule(field, text)
		m.rules, errs = append(m.rules, rule), append(errs, err)
	}
	if err := fault.Join(errs...); err != nil {
		return RoleMap{}, err
	}
	return m, nil
}

func parseRoleRule(field, text string) (roleRule, error) {
	const hint = "Write GROUP=ORGANISATION:member, GROUP=ORGANISATION:admin or GROUP=operator."
	cut := strings.LastIndexByte(text, '=')
	if cut < 0 {
		return roleRule{}, fault.InvalidField(field, "role_rule", "%.80q says not what the group gives", text).WithHint(hint)
	}
	group, target := strings.TrimSpace(text[:cut]), strings.TrimSpace(text[cut+1:])
	if group == "" || len(group) > groupMost {
		return roleRule{}, fault.InvalidField(field, "role_rule", "%.80q names no group", text).WithHint(hint)
	}
	organization, role, of := strings.Cut(target, ":")
	if !of {
		if Role(target) != operatorRole {
			return roleRule{}, fault.InvalidField(field, "role_rule", "%.80q gives %.40q, which is neither ORGANISATION:ROLE nor operator", text, target).WithHint(hint)
		}
		return roleRule{group: group, role: operatorRole}, nil
	}
	parsed, err := ParseRole(role)
	if err != nil {
		return roleRule{}, fault.InvalidField(field, "role_rule", "%.80q gives the role %.40q, and there is none but admin and member", text, role).WithHint(hint)
	}
	if validName("organization", organization) != nil {
		return roleRule{}, fault.InvalidField(field, "role_rule", "%.80q gives a role in %.40q, which is no name of an organisation", text, organization).WithHint(hint)
	}
	return roleRule{group: group, organization: strings.ToLower(organization), role: parsed}, nil
}

// IsEmpty reports whether there is no rule.
func (m RoleMap) IsEmpty() bool { return len(m.rules) == 0 }

// Organizations are the names that the rules name, in lower case, each once.
func (m RoleMap) Organizations() []string {
	var names []string
	seen := map[string]bool{"": true}
	for _, rule := range m.rules {
		if !seen[rule.organization] {
			seen[rule.organization] = true
			names = append(names, rule.organization)
		}
	}
	return names
}

// Of is what who is in those groups is given: the highest role in each
// organisation, by its name in lower case, and under "" whether they operate the
// installation. Names of groups are compared with their case.
func (m RoleMap) Of(groups []string) map[string]Role {
	in := make(map[string]bool, len(groups))
	for _, group := range groups {
		in[group] = true
	}
	given := make(map[string]Role)
	for _, rule := range m.rules {
		if in[rule.group] {
			given[rule.organization] = higher(given[rule.organization], rule.role)
		}
	}
	return given
}

// rank orders roles by what they let do; "" is no role.
func (r Role) rank() int {
	switch r {
	case Member:
		return 1
	case Admin, operatorRole:
		return 2
	default:
		return 0
	}
}

func higher(a, b Role) Role {
	if a.rank() >= b.rank() {
		return a
	}
	return b
}
