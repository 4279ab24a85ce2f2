package cli

import (
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fairlead.dev/fairlead/internal/client"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/wire"
)

func newInvitation(s *session) *cobra.Command {
	c := &cobra.Command{Use: "invitation", Aliases: []string{"invite"}, Short: "Invitations to an organisation"}
	c.AddCommand(newInvitationCreate(s), newInvitationList(s), newInvitationRevoke(s), newInvitationAccept(s))
	return c
}

func newInvitationCreate(s *session) *cobra.Command {
	var draft wire.NewInvitation
	var life time.Duration
	c := &cobra.Command{
		Use: "create ORGANIZATION", Short: "Invite somebody to an organisation (admins only)", Args: cobra.ExactArgs(1),
		Long: "Invite somebody to an organisation, who may be new to the server. The link is good once, for whoever\n" +
			"has it. It is shown this once; with --email it is also mailed, where the server has a mail server.",
		Example: "  fairlead invitation create acme --email ada@acme.example --role admin",
	}
	c.Flags().StringVar(&draft.Email, "email", "", "whom it is for")
	c.Flags().StringVar(&draft.Role, "role", "member", "member or admin")
	c.Flags().DurationVar(&life, "expires-in", 0, "how long it is good, such as 24h, at most 720h (default seven days)")
	asJSON := jsonFlag(c)
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, args []string) error {
		if life != 0 {
			draft.ExpiresAt = wire.NewTime(time.Now().Add(life))
		}
		created, err := api.CreateInvitation(c.Context(), args[0], draft)
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(c.OutOrStdout(), created)
		}
		switch {
		case created.Mailed:
			say(c.ErrOrStderr(), "Mailed to %s. ", harmless(created.Email))
		case created.MailProblem != "":
			say(c.ErrOrStderr(), "It was not mailed: %s\n", harmless(created.MailProblem))
		}
		say(c.ErrOrStderr(), "Good once, until %s, for whoever has it. It is not shown again.\n", at(created.ExpiresAt))
		say(c.OutOrStdout(), "%s\n", harmless(created.Link))
		return nil
	})
	return c
}

func newInvitationList(s *session) *cobra.Command {
	c := &cobra.Command{Use: "list ORGANIZATION", Short: "List an organisation's open invitations (admins only)", Args: cobra.ExactArgs(1)}
	asJSON := jsonFlag(c)
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, args []string) error {
		all, err := api.Invitations(c.Context(), args[0])
		if err != nil {
			return err
		}
		return list(c, *asJSON, all, "No invitation is open.", []string{"ID", "FOR", "ROLE", "BY", "EXPIRES"},
			func(i wire.Invitation) []string { return []string{i.ID, i.Email, i.Role, i.InvitedBy, at(i.ExpiresAt)} })
	})
	return c
}

func newInvitationRevoke(s *session) *cobra.Command {
	c := &cobra.Command{Use: "revoke ORGANIZATION ID", Short: "End an open invitation at once (admins only)", Args: cobra.ExactArgs(2)}
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, args []string) error {
		if err := api.RevokeInvitation(c.Context(), args[0], args[1]); err != nil {
			return err
		}
		say(c.OutOrStdout(), "The invitation is no longer good.\n")
		return nil
	})
	return c
}

func newInvitationAccept(s *session) *cobra.Command {
	var draft wire.AcceptInvitation
	c := &cobra.Command{
		Use: "accept", Short: "Accept an invitation, as yourself or as a new user",
		Long: "Accept an invitation as who you are signed in as, or with --username as a new user, whose password is\n" +
			"asked for. The invitation, as link or text, is asked for or read from standard input, since a command\n" +
			"line is seen by everybody on the machine.",
		Example: "  fairlead invitation accept --username ada",
	}
	c.Flags().StringVar(&draft.Username, "username", "", "make this new user (default: who is signed in)")
	c.Flags().StringVar(&draft.Email, "email", "", "the new user's e-mail address (default the invitation's)")
	c.RunE = func(c *cobra.Command, _ []string) error {
		p := newPrompt(s.streams)
		pasted, err := p.secret("Invitation, link or text: ")
		if err != nil {
			return err
		}
		server, text, err := parseInvitation(pasted)
		if err != nil {
			return err
		}
		draft.Text = wire.NewPassword(text.Reveal())
		if draft.Username == "" {
			return s.join(c, draft.Text)
		}
		return s.acceptAsNew(c, p, server, draft)
	}
	return c
}

// join accepts an invitation as who is signed in, where they are: a link that
// somebody sent does not say where a token goes.
func (s *session) join(c *cobra.Command, text wire.NewPassword) error {
	api, err := s.client()
	if err == nil {
		defer api.Close()
		var joined wire.JoinedOrganization
		joined, err = api.JoinByInvitation(c.Context(), wire.InvitationText{Text: text})
		if err == nil {
			say(c.OutOrStdout(), "%s is now %s of %s.\n", harmless(joined.Username), joined.Role, harmless(joined.Organization))
			return nil
		}
	}
	if f := fault.From(err); f.Code == "not_signed_in" || f.Kind == fault.Unauthenticated {
		return fault.New(fault.Unauthenticated, "not_signed_in", "nobody is signed in who could accept it").
			WithHint("Add --username NAME to accept it as a new user, or run `fairlead login` first.")
	}
	return err
}

// acceptAsNew accepts an invitation as a new user, on the server that was named or
// else the link's.
func (s *session) acceptAsNew(c *cobra.Command, p *prompt, server string, draft wire.AcceptInvitation) error {
	if s.server != "" || server == "" {
		named, err := s.loginServer(nil)
		if err != nil {
			return err
		}
		server = named
	}
	api, err := client.New(client.Config{Server: server, UserAgent: "fairlead/" + s.version})
	if err != nil {
		return err
	}
	defer api.Close()
	shown, err := api.ShowInvitation(c.Context(), wire.InvitationText{Text: draft.Text})
	if err != nil {
		return err
	}
	say(c.ErrOrStderr(), "%s invites you to %s, as %s, on %s.\n",
		harmless(shown.InvitedBy), harmless(shown.Organization), harmless(shown.Role), harmless(server))
	password, err := p.secret("New password: ")
	if err != nil {
		return err
	}
	draft.Password = wire.NewPassword(password.Reveal())
	user, err := api.AcceptInvitation(c.Context(), draft)
	if err != nil {
		return err
	}
	say(c.OutOrStdout(), "Made the user %s, %s of %s. Sign in with `fairlead login %s --username %s`.\n",
		harmless(user.Username), harmless(shown.Role), harmless(shown.Organization), harmless(server), harmless(user.Username))
	return nil
}

// parseInvitation reads an invitation as it is pasted: its link, which also says the
// server, or its text.
func parseInvitation(pasted secret.Text) (server string, text secret.Text, err error) {
	const prefix = "fli_"
	invitation := strings.TrimSpace(pasted.Reveal())
	if strings.Contains(invitation, "://") {
		link, err := url.Parse(invitation)
		if err == nil && link.User == nil && link.Host != "" && (link.Scheme == "http" || link.Scheme == "https") {
			server = link.Scheme + "://" + link.Host
			path := strings.TrimSuffix(link.Path, "/")
			invitation = path[strings.LastIndexByte(path, '/')+1:]
		}
	}
	if !strings.HasPrefix(invitation, prefix) || strings.ContainsFunc(invitation, func(r rune) bool { return r <= ' ' || r > '~' || r == '/' }) {
		// What was pasted is not repeated: it may be another secret.
		return "", secret.Text{}, fault.InvalidField("invitation", "invitation", "is neither the link nor the text of an invitation").
			WithHint("Paste the link, or what begins with %s.", prefix)
	}
	return server, secret.New(invitation), nil
}
