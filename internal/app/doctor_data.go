package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/registry"
	"fairlead.dev/fairlead/internal/store"
	"fairlead.dev/fairlead/internal/wire"
)

// Sizes that are worth a word.
const (
	walMuch   = 256 << 20 // the log is cut back to 64 MiB after a burst
	freeLeast = 256 << 20
	freeLow   = 2 << 30
)

// newestRows is how many rows of the audit trail are verified.
const newestRows = 10_000

// place looks at the directory, the database's file and the key file, and reports
// whether there is anything to open.
func (e *examination) place(ctx context.Context) bool {
	config := e.server.config
	if !e.directory("data", config.DataDir) {
		return false
	}
	e.free("disk", config.DataDir)
	keys := e.keyFile()
	i, err := store.Inspect(ctx, config.Database)
	switch {
	case fault.Is(err, fault.NotFound) && fault.From(err).Code == "database_missing" && !keys:
		e.warn("database", "database_missing", fault.From(err).Message, "Start the server: it makes the database, the keys and the first user.")
		return false
	case err != nil:
		e.fail("database", err)
		return false
	case i.Corrupt != "":
		e.fail("database", fault.New(fault.Internal, "database_corrupt", "the database %s is damaged: %s", i.Path, i.Corrupt).
			WithHint("Stop the server, keep a copy of the file, and put back the newest backup."))
		return false
	case i.Done > i.All:
		e.fail("database", fault.New(fault.Invalid, "database_newer", "the database was changed by a later Fairlead than this one").
			WithHint("Start the later one, or put back the copy of the database from before the upgrade."))
		return false
	case i.Done < i.All:
		e.warn("database", "database_older", fmt.Sprintf("the database has %d of %d changes of its tables; what is in it was not looked at", i.Done, i.All),
			"Keep a copy of it, and start the server: it makes the others.")
		return false
	}
	e.ok("database", fmt.Sprintf("%s is whole, has all %d changes of its tables and takes %s", i.Path, i.All, humanize.IBytes(uint64(max(i.Bytes, 0)))))
	if i.WALBytes > walMuch {
		e.warn("database", "wal_large", "its log of changes takes "+humanize.IBytes(uint64(i.WALBytes)),
			"A program that reads the database for long keeps the log from being cut back: look for one, such as a backup.")
	}
	return keys
}

// keyFile looks at the key file, which is never made here.
func (e *examination) keyFile() bool {
	file := e.server.config.KeyFile
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(e.server.config.Database); err == nil {
			e.fail("keys", fault.New(fault.NotFound, "vault_key_missing", "there is no key file %s", file).
				WithHint("Put it back from a backup: what it sealed opens with it alone."))
		}
		return false
	}
	return true
}

// directory reports whether a directory can be written to.
func (e *examination) directory(part, dir string) bool {
	file, err := os.CreateTemp(dir, ".doctor-*")
	if err == nil {
		_, err = file.Write(make([]byte, 4096))
		err = errors.Join(err, file.Sync(), file.Close(), os.Remove(file.Name()))
	}
	if err != nil {
		e.fail(part, fault.New(fault.Invalid, "directory_unwritable", "nothing can be written to %s: %s", dir, reasonOf(err)).
			WithHint("Run as the user that the server runs as; make the directory, give it to that user, or free its disk."))
		return false
	}
	e.ok(part, dir+" can be written to")
	return true
}

// reasonOf is the system's own word for an error.
func reasonOf(err error) string {
	var number unix.Errno
	if errors.As(err, &number) {
		return number.Error()
	}
	return err.Error()
}

// free tells how much a directory's disk has left.
func (e *examination) free(part, dir string) {
	var disk unix.Statfs_t
	if err := unix.Statfs(dir, &disk); err != nil {
		return // where it is not there yet, nothing is said of it
	}
	left, all := disk.Bavail*uint64(disk.Bsize), disk.Blocks*uint64(disk.Bsize)
	text := fmt.Sprintf("%s of %s are free on the disk of %s", humanize.IBytes(left), humanize.IBytes(all), dir)
	switch {
	case left < freeLeast:
		e.fail(part, fault.New(fault.Exhausted, "disk_full", "%s", text).WithHint("Free some, or move the directory to a larger disk."))
	case left < freeLow || disk.Ffree == 0 && disk.Files > 0:
		e.warn(part, "disk_low", text, "Free some before it is full: `--images-limit` and `--cache-limit` bound what may be kept.")
	default:
		e.ok(part, text)
	}
}

// kept looks at what is in the database: that every secret opens, the trail, and the
// credentials with their registries.
func (e *examination) kept(ctx context.Context) {
	s := e.server
	if err := requireKeys(ctx, s.store, s.sealing); err != nil {
		e.fail("keys", err)
	} else {
		e.ok("keys", s.config.KeyFile+" is its owner's alone, and has every key that a secret is sealed with")
	}
	switch count, wrong, err := audit.VerifyNewest(ctx, s.store, newestRows); {
	case err != nil:
		e.fail("audit", err)
	case wrong != nil:
		e.fail("audit", fault.New(fault.Conflict, "audit_"+string(wrong.Flaw), "the audit trail is not as it was written: %s", wrong.Sentence).
			WithHint("Run `fairlead audit verify`, and compare with a backup of the database."))
	default:
		e.ok("audit", fmt.Sprintf("the newest %s rows of the trail are as they were written", humanize.Comma(count)))
	}
	credentials, err := s.registries.Everywhere(ctx, e.actor)
	if err != nil {
		e.fail("credentials", err)
		return
	}
	e.hosts(ctx, credentials)
	if !e.credentials {
		return
	}
	for _, credential := range credentials {
		if ctx.Err() != nil {
			return
		}
		e.credential(ctx, credential)
	}
}

// credential asks a credential's registry what it is good for.
func (e *examination) credential(ctx context.Context, credential registry.Credential) {
	organization, err := e.server.store.OrganizationByID(ctx, credential.OrganizationID)
	if err != nil {
		return // it was removed just now
	}
	name := credential.ID
	if e.owner {
		name = credential.Name
	}
	about := fmt.Sprintf("%s of %s (%s)", name, organization.Name, credential.Kind)
	checked, err := e.server.registries.Examine(ctx, e.actor, credential)
	if err != nil && !e.owner {
		e.findings = append(e.findings, e.hidden(about, organization.Name, name, wire.FindingFail, fault.From(err).Code))
		return
	}
	if err != nil {
		e.fail("credential", fault.New(fault.KindOf(err), fault.From(err).Code, "%s: %s", about, fault.From(err).Message).WithHint("%s", fault.From(err).Hint))
		return
	}
	worst := wire.Finding{Part: "credential", Result: wire.FindingOK, Sentence: about + " works"}
	for _, step := range checked.Check.Steps {
		result := map[registry.CheckResult]string{registry.CheckFailed: wire.FindingFail, registry.CheckWarning: wire.FindingWarn}[step.Result]
		if result == "" || worst.Result == wire.FindingFail || worst.Result == result {
			continue
		}
		worst.Result, worst.Code, worst.Sentence, worst.Next = result, step.Code, about+": "+step.Sentence, step.Hint
		if !e.owner {
			worst = e.hidden(about, organization.Name, name, result, step.Code)
		}
	}
	e.findings = append(e.findings, worst)
}

// hidden is a finding about a credential for who may not see it: the sentence might
// name it, or repositories.
func (e *examination) hidden(about, organization, id, result, code string) wire.Finding {
	return wire.Finding{
		Part: "credential", Result: result, Code: code, Sentence: about + ": " + strings.ReplaceAll(code, "_", " "),
		Next: "An admin of " + organization + " sees why with `fairlead registry check " + id + "`.",
	}
}

// storePlaces are the directories that a machine keeps much in, but for the data's own.
func (e *examination) storePlaces() map[string]string {
	places := map[string]string{"images": imagesDir(e.server.config.DataDir)}
	if dir, ok := strings.CutPrefix(e.server.config.Cache.URL, "file://"); ok {
		places["cache"] = filepath.FromSlash(dir)
	}
	if dir, ok := strings.CutPrefix(e.server.config.Outputs, "file://"); ok {
		places["outputs"] = filepath.FromSlash(dir)
	}
	return places
}
