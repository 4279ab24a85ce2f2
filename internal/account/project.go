package account

import "time"

// Project is what executions belong to. It is owned by an organisation or by
// one user (a personal project), never by both.
type Project struct {
	ID          string // UUID
	Name        string
	Description string
	Owner       Owner
	CreatedAt   time.Time

	// EnvironmentID is where its executions run that name no environment; "" is
	// the installation's default.
	EnvironmentID string

	// LastExecutionAt is when the latest one was made; zero: there is none.
	LastExecutionAt time.Time
}

// Owner is an organisation or a user. Exactly one of the two ids is set.
type Owner struct {
	OrganizationID int64
	UserID         string

	// Name is the organisation's or the user's name.
	Name string
}

// IsPersonal reports whether p is owned by one user. Personal projects can
// never use an organisation's credentials.
func (p Project) IsPersonal() bool { return p.Owner.OrganizationID == 0 }
