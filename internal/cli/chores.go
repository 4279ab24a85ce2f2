package cli

import (
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"fairlead.dev/fairlead/internal/client"
	"fairlead.dev/fairlead/internal/wire"
)

func newKeys(s *session) *cobra.Command {
	c := &cobra.Command{Use: "keys", Short: "The keys that seal secrets (operators only)"}
	rotate := &cobra.Command{Use: "rotate", Short: "Make a new key and seal every secret anew, with the server up"}
	asJSON := jsonFlag(rotate)
	rotate.RunE = s.calling(func(c *cobra.Command, api *client.Client, _ []string) error {
		done, err := api.RotateKeys(c.Context())
		if err != nil || *asJSON {
			if err == nil {
				err = printJSON(c.OutOrStdout(), done)
			}
			return err
		}
		say(c.OutOrStdout(), "Secrets are sealed with key %d now: %d sealed anew, %d old keys retired. Back up the key file.\n",
			done.KeyID, done.Resealed, done.Retired)
		return nil
	})
	c.AddCommand(rotate)
	return c
}

func newAudit(s *session) *cobra.Command {
	var execution string
	var limit int
	c := &cobra.Command{Use: "audit", Short: "Show who did what, the newest first (admins only)"}
	c.Flags().StringVar(&execution, "execution", "", "only what was done for this execution")
	c.Flags().IntVar(&limit, "limit", 50, "at most this many")
	asJSON := jsonFlag(c)
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, _ []string) error {
		all, err := api.Audit(c.Context(), execution, limit)
		if err != nil {
			return err
		}
		return list(c, *asJSON, all, "Nothing yet.", []string{"TIME", "WHO", "FROM", "WHAT", "RESULT", "ON", "DETAILS"},
			func(e wire.AuditEvent) []string {
				var details []string
				for _, name := range slices.Sorted(maps.Keys(e.Details)) {
					details = append(details, name+"="+e.Details[name])
				}
				return []string{at(e.Time), e.Actor, e.Remote, e.Verb, e.Result, e.ObjectName, strings.Join(details, " ")}
			})
	})
	return c
}
