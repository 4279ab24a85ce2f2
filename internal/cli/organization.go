package cli

import (
	"strconv"

	"github.com/spf13/cobra"

	"fairlead.dev/fairlead/internal/client"
	"fairlead.dev/fairlead/internal/wire"
)

func newOrganization(s *session) *cobra.Command {
	c := &cobra.Command{Use: "org", Aliases: []string{"organization"}, Short: "Organisations and who belongs to them"}
	c.AddCommand(newOrganizationList(s), newOrganizationCreate(s), newMembers(s), newMemberSet(s), newMemberRemove(s))
	return c
}

func newOrganizationList(s *session) *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "List the organisations that you belong to"}
	asJSON := jsonFlag(c)
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, _ []string) error {
		all, err := api.Organizations(c.Context())
		if err != nil {
			return err
		}
		return list(c, *asJSON, all, "You belong to no organisation. An operator makes one with `fairlead org create NAME`.",
			[]string{"ID", "NAME", "YOUR ROLE"},
			func(o wire.Organization) []string { return []string{strconv.FormatInt(o.ID, 10), o.Name, o.Role} })
	})
	return c
}

func newOrganizationCreate(s *session) *cobra.Command {
	c := &cobra.Command{Use: "create NAME", Short: "Make an organisation, with you as its admin (operators only)", Args: cobra.ExactArgs(1)}
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, args []string) error {
		created, err := api.CreateOrganization(c.Context(), wire.NewOrganization{Name: args[0]})
		if err != nil {
			return err
		}
		say(c.OutOrStdout(), "Made the organisation %s (%d).\n", harmless(created.Name), created.ID)
		return nil
	})
	return c
}

func newMembers(s *session) *cobra.Command {
	c := &cobra.Command{Use: "members ORGANIZATION", Short: "List an organisation's members", Args: cobra.ExactArgs(1)}
	asJSON := jsonFlag(c)
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, args []string) error {
		all, err := api.Members(c.Context(), args[0])
		if err != nil {
			return err
		}
		return list(c, *asJSON, all, "Nobody.", []string{"USER", "ROLE"},
			func(m wire.Member) []string { return []string{m.Username, m.Role} })
	})
	return c
}

func newMemberSet(s *session) *cobra.Command {
	var role string
	c := &cobra.Command{
		Use: "add ORGANIZATION USER", Short: "Add a member to an organisation, or change their role (admins only)",
		Aliases: []string{"set-role"}, Args: cobra.ExactArgs(2),
	}
	c.Flags().StringVar(&role, "role", "member", "member or admin")
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, args []string) error {
		member, err := api.SetMember(c.Context(), args[0], wire.NewMember{Username: args[1], Role: role})
		if err != nil {
			return err
		}
		say(c.OutOrStdout(), "%s is now %s of %s.\n", harmless(member.Username), member.Role, harmless(args[0]))
		return nil
	})
	return c
}

func newMemberRemove(s *session) *cobra.Command {
	c := &cobra.Command{Use: "remove ORGANIZATION USER", Short: "Take a member out of an organisation (admins only)", Args: cobra.ExactArgs(2)}
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, args []string) error {
		if err := api.RemoveMember(c.Context(), args[0], args[1]); err != nil {
			return err
		}
		say(c.OutOrStdout(), "%s is no longer a member of %s.\n", harmless(args[1]), harmless(args[0]))
		return nil
	})
	return c
}

func newUser(s *session) *cobra.Command {
	c := &cobra.Command{Use: "user", Short: "Users"}
	c.AddCommand(newUserCreate(s), newUserPassword(s), newUserIdentities(s), newUserLink(s), newUserUnlink(s))
	return c
}

func newUserCreate(s *session) *cobra.Command {
	var draft wire.NewUser
	c := &cobra.Command{
		Use: "create NAME", Short: "Make a user (operators only)", Args: cobra.ExactArgs(1),
		Long: "Make a user. The password is asked for, or read from standard input. Only operators may.",
	}
	c.Flags().StringVar(&draft.Email, "email", "", "the user's e-mail address")
	c.Flags().BoolVar(&draft.Operator, "operator", false, "may make users and organisations, rotate keys and issue worker tokens")
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, args []string) error {
		password, err := newPrompt(s.streams).secret("Password: ")
		if err != nil {
			return err
		}
		draft.Username, draft.Password = args[0], wire.NewPassword(password.Reveal())
		created, err := api.CreateUser(c.Context(), draft)
		if err != nil {
			return err
		}
		say(c.OutOrStdout(), "Made the user %s.\n", harmless(created.Username))
		return nil
	})
	return c
}

func newUserPassword(s *session) *cobra.Command {
	var change wire.PasswordChange
	c := &cobra.Command{
		Use: "password [NAME]", Short: "Change your password, or as an operator anybody's", Args: cobra.MaximumNArgs(1),
		Long: "Change your password, or as an operator anybody's. The new one is asked for, or read from\n" +
			"standard input. Tokens stay good. Your own sessions in browsers end with it; somebody else's\n" +
			"with --end-sessions.",
	}
	c.Flags().BoolVar(&change.EndSessions, "end-sessions", false, "end the user's sessions in browsers as well")
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, args []string) error {
		name, err := userNamed(c, api, args)
		if err != nil {
			return err
		}
		password, err := newPrompt(s.streams).secret("New password: ")
		if err != nil {
			return err
		}
		change.Password = wire.NewPassword(password.Reveal())
		if err := api.SetPassword(c.Context(), name, change); err != nil {
			return err
		}
		say(c.OutOrStdout(), "Changed the password of %s.\n", harmless(name))
		return nil
	})
	return c
}
