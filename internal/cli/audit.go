package cli

import (
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"fairlead.dev/fairlead/internal/client"
	"fairlead.dev/fairlead/internal/wire"
)

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
	c.AddCommand(newAuditVerify(s))
	return c
}
