// Package account knows who there is: users, organisations, their members,
// projects and tokens, and who may do what. It decides; stores only keep.
//
// Every rule takes the Actor as an argument. What an actor may not know of
// looks to them as if it were not there: NotFound, not Denied.
package account

import (
	"regexp"
	"time"

	"fairlead.dev/fairlead/internal/fault"
)

// User is a person with an account.
type User struct {
	ID       string // UUID
	Username string
	Email    string

	// Operator runs the installation: may create users and organisations,
	// rotate keys and issue worker tokens. It gives no right in any
	// organisation.
	Operator bool

	CreatedAt time.Time
}

// nameRule is what a user, an organisation or a project may be called: what
// fits in a URL, a file name and a log line without quoting.
var nameRule = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// validName refuses a name that the rule does not allow, as a fault of field.
func validName(field, name string) error {
	switch {
	case name == "":
		return fault.InvalidField(field, "blank", "must not be empty")
	case !nameRule.MatchString(name):
		return fault.InvalidField(field, "name",
			"%.80q is not a name: use 1 to 64 letters, digits, dots, dashes and underscores, a letter or digit first", name)
	}
	return nil
}
