package cli

import (
	"fmt"
	"io"
	"os"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/client"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/wire"
)

func newAuditVerify(s *session) *cobra.Command {
	var head, file string
	var complete bool
	c := &cobra.Command{
		Use: "verify", Short: "Tell whether the audit trail is as it was written (operators only)",
		Long: "Tell whether the audit trail is as it was written: every row, and every row's place. It says the\n" +
			"head, which stands for all rows up to it. Note it where the database's owner cannot write, and\n" +
			"compare with it later: --head HASH@ID. The exit code is 1 where something is wrong.\n\n" +
			"--file verifies what `fairlead audit export --format jsonl` wrote, without a server; - is standard\n" +
			"input. Every row is compared with its hash, and with the row before it where that is in the file.\n" +
			"Rows that are not in it are counted, or with --complete wrong.",
	}
	c.Flags().StringVar(&head, "head", "", "a head that was noted before: HASH@ID, or HASH alone")
	c.Flags().StringVar(&file, "file", "", "verify this exported file instead of the server's trail")
	c.Flags().BoolVar(&complete, "complete", false, "with --file: a row that is not there is wrong")
	asJSON := jsonFlag(c)
	onServer := s.calling(func(c *cobra.Command, api *client.Client, _ []string) error {
		tell := func(wire.AuditProgress) {}
		if isTerminal(c.ErrOrStderr()) {
			tell = func(p wire.AuditProgress) {
				say(c.ErrOrStderr(), "\r%s of %s rows", humanize.Comma(p.Done), humanize.Comma(p.All))
				if p.Done == p.All {
					say(c.ErrOrStderr(), "\n")
				}
			}
		}
		done, err := api.VerifyAudit(c.Context(), head, tell)
		if err != nil {
			return err
		}
		return verified(c, *asJSON, done)
	})
	c.RunE = func(c *cobra.Command, args []string) error {
		if file == "" {
			return onServer(c, args)
		}
		done, err := verifyFile(c, file, head, complete)
		if err != nil {
			return err
		}
		return verified(c, *asJSON, done)
	}
	return c
}

// verified prints what was found, and fails where something is wrong.
func verified(c *cobra.Command, asJSON bool, done wire.AuditVerification) error {
	if asJSON {
		if err := printJSON(c.OutOrStdout(), done); err != nil {
			return err
		}
		if !done.Intact {
			return exitCode(exitFailed)
		}
		return nil
	}
	showVerified(c.OutOrStdout(), done)
	if flaw := done.Flaw; flaw != nil {
		return fault.New(fault.Conflict, "audit_"+flaw.Flaw, "the audit trail is not as it was written: %s", flaw.Sentence).
			WithHint("Compare with a copy of the rows from elsewhere, or with a backup of the database.")
	}
	return nil
}

// verifyFile verifies an exported file; - is standard input.
func verifyFile(c *cobra.Command, name, head string, complete bool) (done wire.AuditVerification, err error) {
	var noted audit.Point
	if head != "" {
		if noted, err = audit.ParsePoint(head); err != nil {
			return done, err
		}
	}
	in := c.InOrStdin()
	if name != "-" {
		file, err := os.Open(name) // the caller's own path
		if err != nil {
			return done, fault.New(fault.Invalid, "audit_file", "the file %q cannot be read", name).WithHint("Name one that is there.").WithCause(err)
		}
		defer func() { _ = file.Close() }() // only read
		in = file
	}
	var tell func(int64)
	if isTerminal(c.ErrOrStderr()) {
		tell = func(rows int64) { say(c.ErrOrStderr(), "\r%s rows ", humanize.Comma(rows)) }
		defer say(c.ErrOrStderr(), "\n")
	}
	report, err := audit.VerifyFile(c.Context(), in, noted, complete, tell)
	if err != nil {
		return done, err
	}
	point := func(event *audit.Event) *wire.AuditPoint {
		if event == nil {
			return nil
		}
		return &wire.AuditPoint{ID: event.ID, Hash: event.Hash.String(), Time: wire.NewTime(event.Time)}
	}
	done = wire.AuditVerification{
		Intact: report.Problem == nil, Count: report.Count, First: point(report.First), Last: point(report.Last), Noted: string(report.Noted), Absent: report.Absent,
	}
	if last := done.Last; last != nil {
		done.Head = wire.AuditPoint{ID: last.ID, Hash: last.Hash}
	}
	if p := report.Problem; p != nil {
		done.Flaw = &wire.AuditFlaw{ID: p.ID, Flaw: string(p.Flaw), Sentence: p.Sentence}
	}
	return done, nil
}

func showVerified(w io.Writer, done wire.AuditVerification) {
	point := func(p *wire.AuditPoint) string { return fmt.Sprintf("%d (%s)", p.ID, at(p.Time)) }
	if removed := done.Removed; removed != nil {
		say(w, "The rows up to %d were removed for their age.\n", removed.ID)
	}
	if done.First != nil {
		say(w, "%s rows are as they were written: %s to %s.\n", humanize.Comma(done.Count), point(done.First), point(done.Last))
	}
	if done.Absent > 0 {
		say(w, "%s rows between them are not in the file.\n", humanize.Comma(done.Absent))
	}
	if !done.Intact {
		return
	}
	if done.First == nil && done.Head.ID == 0 {
		say(w, "There are no rows.\n")
		return
	}
	switch done.Noted {
	case "there":
		say(w, "The head that was noted is one of them.\n")
	case "removed":
		say(w, "The head that was noted was removed for its age, and cannot be compared.\n")
	}
	say(w, "Head: %s@%d\n", done.Head.Hash, done.Head.ID)
}
