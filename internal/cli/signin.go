package cli

import (
	"strconv"

	"github.com/spf13/cobra"

	"fairlead.dev/fairlead/internal/client"
	"fairlead.dev/fairlead/internal/wire"
)

func newSessions(s *session) *cobra.Command {
	c := &cobra.Command{Use: "sessions", Short: "Browsers that you are signed in with"}
	c.AddCommand(newSessionsList(s), newSessionsEnd(s))
	return c
}

func newSessionsList(s *session) *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "List your sessions, the last used first"}
	asJSON := jsonFlag(c)
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, _ []string) error {
		all, err := api.Sessions(c.Context())
		if err != nil {
			return err
		}
		return list(c, *asJSON, all, "You are signed in with no browser.", []string{"ID", "BEGAN", "LAST USED", "ENDS", "FROM", "BROWSER"},
			func(s wire.Session) []string {
				return []string{s.ID, at(s.CTime), at(s.LastUsedAt), at(s.EndsAt), s.Remote, s.Agent}
			})
	})
	return c
}

func newSessionsEnd(s *session) *cobra.Command {
	var others bool
	c := &cobra.Command{
		Use: "end [ID]", Short: "Sign a browser out, or all of them",
		Args: func(c *cobra.Command, args []string) error {
			if others {
				return cobra.NoArgs(c, args)
			}
			return cobra.ExactArgs(1)(c, args)
		},
		Example: "  fairlead sessions end --others",
	}
	c.Flags().BoolVar(&others, "others", false, "end all of them; the token that this command uses stays good")
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, args []string) error {
		if others {
			if err := api.EndOtherSessions(c.Context()); err != nil {
				return err
			}
			say(c.OutOrStdout(), "You are signed in with no browser.\n")
			return nil
		}
		if err := api.EndSession(c.Context(), args[0]); err != nil {
			return err
		}
		say(c.OutOrStdout(), "The session has ended.\n")
		return nil
	})
	return c
}

func newTOTP(s *session) *cobra.Command {
	c := &cobra.Command{
		Use: "totp", Short: "A second factor beside your password",
		Long: "A second factor beside your password: codes of an app on your phone (TOTP). It is asked for\n" +
			"where you sign in with the password, and not of tokens that you have.",
	}
	c.AddCommand(newTOTPStatus(s), newTOTPEnable(s), newTOTPDisable(s), newTOTPReset(s))
	return c
}

func newTOTPStatus(s *session) *cobra.Command {
	c := &cobra.Command{Use: "status", Short: "Say whether it is on, and how many recovery codes are left"}
	asJSON := jsonFlag(c)
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, _ []string) error {
		state, err := api.TOTPState(c.Context())
		switch {
		case err != nil:
			return err
		case *asJSON:
			return printJSON(c.OutOrStdout(), state)
		case !state.On:
			say(c.OutOrStdout(), "Your second factor is off.\n")
		default:
			say(c.OutOrStdout(), "Your second factor is on since %s; recovery codes left: %s.\n", at(state.Since), strconv.Itoa(state.RecoveryCodes))
		}
		return nil
	})
	return c
}

func newTOTPEnable(s *session) *cobra.Command {
	c := &cobra.Command{
		Use: "enable", Short: "Turn it on: shows a key for the app, and asks for a code of it",
		Long: "Turn the second factor on. It shows a key for the app, as letters and as an address, and asks\n" +
			"for a code of it, or reads it from standard input. Then it prints recovery codes.",
	}
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, _ []string) error {
		made, err := api.BeginTOTP(c.Context())
		if err != nil {
			return err
		}
		say(c.OutOrStdout(), "Key:     %s\nAddress: %s\n", harmless(made.Key), harmless(made.OTPAuthURL))
		code, err := newPrompt(s.streams).line("Code that the app shows: ")
		if err != nil {
			return err
		}
		done, err := api.ConfirmTOTP(c.Context(), wire.TOTPCode{Code: wire.NewPassword(code)})
		if err != nil {
			return err
		}
		say(c.ErrOrStderr(), "Your second factor is on. Keep these recovery codes safe: each stands in for a code, once, and\n"+
			"they are not shown again.\n")
		for _, code := range done.RecoveryCodes {
			say(c.OutOrStdout(), "%s\n", harmless(code))
		}
		return nil
	})
	return c
}

func newTOTPDisable(s *session) *cobra.Command {
	c := &cobra.Command{
		Use: "disable", Short: "Turn it off",
		Long: "Turn the second factor off. The password and a code or a recovery code are asked for, or read\n" +
			"from standard input, one a line.",
	}
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, _ []string) error {
		p := newPrompt(s.streams)
		password, err := p.secret("Password: ")
		if err != nil {
			return err
		}
		code, err := p.line("Code: ")
		if err != nil {
			return err
		}
		if err := api.DisableTOTP(c.Context(), wire.TOTPDisable{
			Password: wire.NewPassword(password.Reveal()), Code: wire.NewPassword(code),
		}); err != nil {
			return err
		}
		say(c.OutOrStdout(), "Your second factor is off.\n")
		return nil
	})
	return c
}

func newTOTPReset(s *session) *cobra.Command {
	c := &cobra.Command{
		Use: "reset NAME", Short: "Turn off that of a user who lost it (operators only)", Args: cobra.ExactArgs(1),
	}
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, args []string) error {
		if err := api.ResetTOTP(c.Context(), args[0]); err != nil {
			return err
		}
		say(c.OutOrStdout(), "The second factor of %s is off.\n", harmless(args[0]))
		return nil
	})
	return c
}
