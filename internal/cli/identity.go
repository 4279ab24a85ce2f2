package cli

import (
	"time"

	"github.com/spf13/cobra"

	"fairlead.dev/fairlead/internal/client"
	"fairlead.dev/fairlead/internal/wire"
)

func newUserIdentities(s *session) *cobra.Command {
	c := &cobra.Command{
		Use: "identities [NAME]", Short: "List what you sign in with at a provider, or as an operator what anybody does", Args: cobra.MaximumNArgs(1),
	}
	asJSON := jsonFlag(c)
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, args []string) error {
		name, err := userNamed(c, api, args)
		if err != nil {
			return err
		}
		all, err := api.Identities(c.Context(), name)
		if err != nil {
			return err
		}
		return list(c, *asJSON, all, "None.", []string{"ISSUER", "SUBJECT", "NAME THERE", "LAST USED"}, func(i wire.Identity) []string {
			used := "never"
			if i.LastUsedAt != nil {
				used = i.LastUsedAt.Local().Format(time.DateTime)
			}
			return []string{i.Issuer, i.Subject, i.Username, used}
		})
	})
	return c
}

// userNamed is the user that the arguments name; nobody named is oneself.
func userNamed(c *cobra.Command, api *client.Client, args []string) (string, error) {
	if len(args) == 1 {
		return args[0], nil
	}
	me, err := api.Me(c.Context())
	return me.Username, err
}

func newUserLink(s *session) *cobra.Command {
	c := &cobra.Command{
		Use: "link NAME ISSUER SUBJECT", Short: "Have who the provider knows by that subject be a user (operators only)", Args: cobra.ExactArgs(3),
		Long: "Have who the provider knows by that subject be a user, who may be there with a password. Nobody\n" +
			"asks the provider: see that the subject is the right one. Only operators may. Users link their\n" +
			"own identity in the browser.",
	}
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, args []string) error {
		if err := api.LinkIdentity(c.Context(), args[0], wire.NewIdentity{Issuer: args[1], Subject: args[2]}); err != nil {
			return err
		}
		say(c.OutOrStdout(), "%s of %s is now %s.\n", harmless(args[2]), harmless(args[1]), harmless(args[0]))
		return nil
	})
	return c
}

func newUserUnlink(s *session) *cobra.Command {
	c := &cobra.Command{
		Use: "unlink NAME ISSUER SUBJECT", Short: "Take an identity from a user, and end its sessions", Args: cobra.ExactArgs(3),
		Long: "Take an identity from a user, and end its sessions. The user stays. Who comes with the identity\n" +
			"again is a new user. Operators may for anybody.",
	}
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, args []string) error {
		if err := api.UnlinkIdentity(c.Context(), args[0], wire.NewIdentity{Issuer: args[1], Subject: args[2]}); err != nil {
			return err
		}
		say(c.OutOrStdout(), "%s of %s is no longer %s.\n", harmless(args[2]), harmless(args[1]), harmless(args[0]))
		return nil
	})
	return c
}
