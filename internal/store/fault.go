package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"fairlead.dev/fairlead/internal/fault"
)

// noun is a sort of thing that is kept: as codes call it, as people call it,
// and how they find theirs.
type noun struct{ code, prose, hint string }

// thing is what a statement is about, for the sentence about its failure.
type thing struct {
	noun noun
	name string
}

var (
	userNoun         = noun{"user", "user", "An operator makes users with `fairlead user create`."}
	organizationNoun = noun{"organization", "organisation", "`fairlead org list` shows yours."}
	memberNoun       = noun{"member", "member", "`fairlead org members` lists an organisation's."}
	projectNoun      = noun{"project", "project", "`fairlead project list` shows yours."}
	environmentNoun  = noun{"environment", "environment", "`fairlead environment list` shows yours."}
	repositoryNoun   = noun{"repository", "linked repository", "`fairlead project link-git` links one."}
	variableNoun     = noun{"variable", "variable", "`fairlead project variables` lists a project's."}
	tokenNoun        = noun{"token", "token", "`fairlead token list` shows yours."}
	sessionNoun      = noun{"session", "session", "`fairlead sessions list` shows yours."}
	identityNoun     = noun{"identity", "identity of a provider", "`fairlead user identities` lists a user's."}
	totpNoun         = noun{"totp", "second factor of", "`fairlead totp enable` makes one."}
	credentialNoun   = noun{"credential", "registry credential", "`fairlead registry list` shows yours."}
	commitNoun       = noun{"commit", "commit", "`fairlead run` uploads the code of the directory that it is called in."}
	executionNoun    = noun{"execution", "execution", "`fairlead execution list` shows yours."}
	datumNoun        = noun{"datum", "datum", "`fairlead execution outputs EXECUTION` lists those of an execution."}
	leaseNoun        = noun{"lease", "lease", "The execution ended, or is another worker's now."}
	channelNoun      = noun{"channel", "notice channel", "`fairlead notice list` shows yours."}
	messageNoun      = noun{"message", "message of a notice", "`fairlead notice deliveries CHANNEL` lists a channel's."}
	packageNoun      = noun{"package", "package", "`fairlead run` uploads the code of the directory that it is called in."}

	auditTrail = thing{noun{"audit", "audit trail", ""}, ""}
	database   = thing{noun{"database", "database", ""}, ""}
)

func (n noun) named(name string) thing     { return thing{noun: n, name: name} }
func (n noun) numbered(number int64) thing { return thing{noun: n, name: fmt.Sprint(number)} }

func (t thing) unknown() *fault.Error {
	return fault.New(fault.NotFound, t.noun.code+"_unknown", "there is no %s %.80q", t.noun.prose, t.name).WithHint(t.noun.hint)
}

func (t thing) taken() *fault.Error {
	return fault.New(fault.Conflict, t.noun.code+"_taken", "the %s %.80q is there already", t.noun.prose, t.name).
		WithHint("Choose another name.")
}

var errClosed = fault.New(fault.Unavailable, "database_closed", "the database is closed: this Fairlead is shutting down").
	WithHint("Try again when it is up.")

// toFault makes an error of the database the product's own. Faults, and the end
// of a context, pass as they are.
func toFault(err error, about thing) error {
	if err == nil {
		return nil
	}
	if _, is := errors.AsType[*fault.Error](err); is {
		return err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if errors.Is(err, sql.ErrNoRows) {
		return about.unknown()
	}
	if failed, is := errors.AsType[*sqlite.Error](err); is {
		return fromSQLite(failed, about)
	}
	return fmt.Errorf("%s in the database: %w", about.noun.prose, err)
}

func fromSQLite(err *sqlite.Error, about thing) error {
	switch err.Code() {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
		return about.taken().WithCause(err)
	case sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
		return fault.New(fault.NotFound, about.noun.code+"_orphaned", "what the %s %.80q should belong to is not there", about.noun.prose, about.name).
			WithHint("It may have been deleted a moment ago; look and try again.").WithCause(err)
	}
	switch err.Code() & 0xff { // the rest is detail
	case sqlite3.SQLITE_INTERRUPT:
		return context.Canceled
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return fault.New(fault.Unavailable, "database_busy", "another process holds the database").
			WithHint("Try again in a moment. Only one `fairlead serve` should use a SQLite file.").WithCause(err)
	case sqlite3.SQLITE_FULL:
		return fault.New(fault.Exhausted, "disk_full", "the disk of the database is full").
			WithHint("Make room on it; what was not acknowledged is not there.").WithCause(err)
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
		return fault.New(fault.Unavailable, "database_unreadable", "the database cannot be opened or written").
			WithHint("Its file and directory must belong to the user that runs Fairlead.").WithCause(err)
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return fault.New(fault.Internal, "database_broken", "the database is damaged, or is no database of Fairlead").
			WithHint("Check the path, or put back a copy.").WithCause(err)
	case sqlite3.SQLITE_IOERR:
		return fault.New(fault.Unavailable, "database_disk", "the disk of the database failed").
			WithHint("Look at the kernel's log.").WithCause(err)
	}
	return fmt.Errorf("%s in the database: %w", about.noun.prose, err)
}
