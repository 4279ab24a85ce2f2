package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"fairlead.dev/fairlead/internal/client"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/wire"
)

func newLogin(s *session) *cobra.Command {
	var username string
	var withToken, device bool
	c := &cobra.Command{
		Use:   "login [SERVER]",
		Short: "Sign in to a server, and keep a token for the other commands",
		Long: "Sign in to a server; what is kept is a token. On a terminal a code is shown, to be typed where you\n" +
			"are signed in already. With --username the password is asked for, and from who has a second factor\n" +
			"its code; where there is no terminal, user name and password are read from standard input. With\n" +
			"--with-token the token itself is read.",
		Example: "  fairlead login http://fairlead.example:8080\n" +
			"  fairlead login http://fairlead.example:8080 --username ada",
		Args: cobra.MaximumNArgs(1),
	}
	c.AddCommand(newLoginApprove(s), newLoginDeny(s))
	c.Flags().StringVar(&username, "username", "", "who signs in with a password")
	c.Flags().BoolVar(&withToken, "with-token", false, "read a token instead of a password")
	c.Flags().BoolVar(&device, "device", false, "show a code to be typed elsewhere (default on a terminal)")
	c.RunE = func(c *cobra.Command, args []string) error {
		if device && (withToken || username != "") {
			return fault.InvalidField("device", "choice", "cannot be with --username or --with-token").
				WithHint("Use one of the three.")
		}
		server, err := s.loginServer(args)
		if err != nil {
			return err
		}
		p := newPrompt(s.streams)
		_, asks := p.terminal()
		var token secret.Text
		switch {
		case withToken:
			token, err = p.secret("Token: ")
		case device || asks && username == "":
			token, err = deviceSignIn(c, server)
		default:
			token, err = signIn(c, p, server, username)
		}
		if err != nil {
			return err
		}
		signed, err := client.New(client.Config{Server: server, Token: token})
		if err != nil {
			return err
		}
		me, err := signed.Me(c.Context())
		if err != nil {
			return err
		}
		if err := writeSignedIn(signedIn{Server: server, Token: token.Reveal()}); err != nil {
			return err
		}
		say(c.OutOrStdout(), "Signed in to %s as %s.\n", server, harmless(me.Username))
		return nil
	}
	return c
}

func (s *session) loginServer(args []string) (string, error) {
	if len(args) == 1 {
		return args[0], nil
	}
	if s.server != "" {
		return s.server, nil
	}
	in, err := readSignedIn()
	if err == nil && in.Server == "" {
		err = fault.InvalidField("server", "blank", "say which server to sign in to").
			WithHint("Run `fairlead login http://HOST:8080`.")
	}
	return in.Server, err
}

// signIn trades a password for a token.
func signIn(c *cobra.Command, p *prompt, server, username string) (secret.Text, error) {
	anonymous, err := client.New(client.Config{Server: server})
	if err != nil {
		return secret.Text{}, err
	}
	defer anonymous.Close()
	if _, err := anonymous.About(c.Context()); err != nil {
		return secret.Text{}, err
	}
	if username == "" {
		if username, err = p.line("User name: "); err != nil {
			return secret.Text{}, err
		}
	}
	password, err := p.secret("Password: ")
	if err != nil {
		return secret.Text{}, err
	}
	ask := wire.GetToken{Username: username, Password: wire.NewPassword(password.Reveal()), Name: tokenName()}
	got, err := anonymous.SignIn(c.Context(), ask)
	if err != nil && fault.From(err).Code == "code_required" {
		var code string
		if code, err = p.line("Code of your second factor: "); err != nil {
			return secret.Text{}, err
		}
		ask.Code = wire.NewPassword(code)
		got, err = anonymous.SignIn(c.Context(), ask)
	}
	return secret.New(got.Token), err
}

// tokenName says where a token was made, in the letters that a name may have.
func tokenName() string {
	const most = 50
	host, err := os.Hostname()
	if err != nil {
		return "login"
	}
	host = strings.Map(func(r rune) rune {
		if r == '.' || r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '-'
	}, host)
	return "login-" + host[:min(len(host), most)]
}

func newLogout(s *session) *cobra.Command {
	c := &cobra.Command{Use: "logout", Short: "Forget the token that login kept"}
	c.RunE = func(c *cobra.Command, _ []string) error {
		file, err := signedInFile()
		if err != nil {
			return err
		}
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("forgetting the sign-in: %w", err)
		}
		say(c.OutOrStdout(), "Signed out on this machine. `fairlead token list` shows tokens that are still good.\n")
		return nil
	}
	return c
}
