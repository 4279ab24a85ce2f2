package cli

import (
	"github.com/spf13/cobra"

	"fairlead.dev/fairlead/internal/client"
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
