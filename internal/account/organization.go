package account

import (
	"time"

	"fairlead.dev/fairlead/internal/fault"
)

// Organization has members, projects and registry credentials.
type Organization struct {
	ID        int64 // an integer, as clients of the API send it
	Name      string
	CreatedAt time.Time
}

// Role is what a member may do in an organisation.
type Role string

// The roles. An admin may do all that a member may, and manages members and
// registry credentials.
const (
	Admin  Role = "admin"
	Member Role = "member"
)

// ParseRole reads a role's name.
func ParseRole(text string) (Role, error) {
	switch role := Role(text); role {
	case Admin, Member:
		return role, nil
	default:
		return "", fault.InvalidField("role", "role_unknown", "%.40q is no role: use admin or member", text)
	}
}

// Membership is one user's role in one organisation.
type Membership struct {
	Organization Organization
	UserID       string
	Username     string
	Role         Role
}
