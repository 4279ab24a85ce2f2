package cli

import (
	"fmt"
	"io"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"fairlead.dev/fairlead/internal/client"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/wire"
)

func newAuditVerify(s *session) *cobra.Command {
	var head string
	c := &cobra.Command{
		Use: "verify", Short: "Tell whether the audit trail is as it was written (operators only)",
		Long: "Tell whether the audit trail is as it was written: every row, and every row's place. It says the\n" +
			"head, which stands for all rows up to it. Note it where the database's owner cannot write, and\n" +
			"compare with it later: --head HASH@ID. The exit code is 1 where something is wrong.",
	}
	c.Flags().StringVar(&head, "head", "", "a head that was noted before: HASH@ID, or HASH alone")
	asJSON := jsonFlag(c)
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, _ []string) error {
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
		if *asJSON {
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
	})
	return c
}

func showVerified(w io.Writer, done wire.AuditVerification) {
	point := func(p *wire.AuditPoint) string { return fmt.Sprintf("%d (%s)", p.ID, at(p.Time)) }
	if removed := done.Removed; removed != nil {
		say(w, "The rows up to %d were removed for their age.\n", removed.ID)
	}
	if done.First != nil {
		say(w, "%s rows are as they were written: %s to %s.\n", humanize.Comma(done.Count), point(done.First), point(done.Last))
	}
	if !done.Intact {
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
