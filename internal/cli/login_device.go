package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fairlead.dev/fairlead/internal/client"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/wire"
)

// deviceSignIn has somebody approve this machine elsewhere, where they are signed in
// already, as RFC 8628 says.
func deviceSignIn(c *cobra.Command, server string) (secret.Text, error) {
	anonymous, err := client.New(client.Config{Server: server})
	if err != nil {
		return secret.Text{}, err
	}
	defer anonymous.Close()
	begun, err := anonymous.BeginDeviceLogin(c.Context(), wire.NewDeviceLogin{Name: tokenName()})
	if err != nil {
		return secret.Text{}, err
	}
	code := harmless(begun.UserCode)
	say(c.ErrOrStderr(), "Open %s where you are signed in, and type the code\n\n    %s\n\n"+
		"or run `fairlead login approve %s` there.\n", harmless(begun.VerificationURI), code, code)
	wait := &waiting{w: c.ErrOrStderr(), terminal: isTerminal(c.ErrOrStderr())}
	defer wait.end()
	return awaitDevice(c.Context(), begun, wait.show, func(ctx context.Context) (wire.GotToken, error) {
		return anonymous.PollDeviceLogin(ctx, wire.DevicePoll{DeviceCode: wire.NewPassword(begun.DeviceCode)})
	})
}

// Bounds of how often is asked, whatever the server says, and what RFC 8628 adds
// where that was too often.
const (
	pollLeast = time.Second
	pollMost  = time.Minute
	pollSlow  = 5 * time.Second
)

// awaitDevice asks for the token, as often as the server says, until it has it, it is
// refused, or the time is over. A server that is away is asked more and more seldom.
func awaitDevice(ctx context.Context, begun wire.DeviceLogin, show func(left time.Duration), ask func(context.Context) (wire.GotToken, error)) (secret.Text, error) {
	interval := max(time.Duration(begun.Interval)*time.Second, pollLeast)
	ends := time.Now().Add(time.Duration(begun.ExpiresIn) * time.Second)
	next := time.Now().Add(interval)
	clock := time.NewTicker(time.Second)
	defer clock.Stop()
	for {
		left := time.Until(ends)
		if left <= 0 {
			return secret.Text{}, fault.New(fault.Denied, "expired_token", "nobody approved the sign-in in time").
				WithHint("Run `fairlead login` again.")
		}
		show(left)
		select {
		case <-ctx.Done():
			return secret.Text{}, ctx.Err()
		case <-clock.C:
		}
		if time.Now().Before(next) {
			continue
		}
		got, err := ask(ctx)
		switch f := fault.From(err); {
		case err == nil:
			return secret.New(got.Token), nil
		case f.Code == "authorization_pending":
		case f.Code == "slow_down":
			interval = max(interval+pollSlow, f.RetryAfter)
		case client.IsUnreachable(err):
			interval = min(2*interval, pollMost)
		default:
			return secret.Text{}, err
		}
		next = time.Now().Add(interval)
	}
}

// waiting shows that something is waited for: on a terminal a line that counts down,
// elsewhere a line.
type waiting struct {
	w        io.Writer
	terminal bool
	begun    bool
}

func (p *waiting) show(left time.Duration) {
	left = left.Round(time.Second)
	text := fmt.Sprintf("Waiting, %d:%02d left; Ctrl-C gives up.", int(left.Minutes()), int(left.Seconds())%60)
	switch {
	case p.terminal:
		say(p.w, "\r%s ", text)
	case !p.begun:
		say(p.w, "%s\n", text)
	}
	p.begun = true
}

// end leaves the cursor at the beginning of a line of its own.
func (p *waiting) end() {
	if p.terminal && p.begun {
		say(p.w, "\n")
	}
}

func newLoginApprove(s *session) *cobra.Command {
	var sure bool
	c := &cobra.Command{
		Use: "approve CODE", Short: "Sign in another machine, which shows a code, as yourself", Args: cobra.ExactArgs(1),
		Long: "Sign in another machine, which runs `fairlead login` and shows a code, as yourself. On a terminal it is\n" +
			"asked whether the machine is the right one. Approve none that you did not start yourself.",
	}
	c.Flags().BoolVar(&sure, "yes", false, "do not ask whether the machine is the right one")
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, args []string) error {
		code := wire.DeviceCode{UserCode: args[0]}
		asked, err := api.ShowDeviceLogin(c.Context(), code)
		if err != nil {
			return err
		}
		say(c.ErrOrStderr(), "%s, from %s, asked at %s to be signed in as you.\n", harmless(asked.Name), harmless(asked.Remote), at(asked.CTime))
		p := newPrompt(s.streams)
		if _, asks := p.terminal(); asks && !sure {
			answer, err := p.line("Is this yours? [y/N] ")
			if err != nil {
				return err
			}
			if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
				say(c.ErrOrStderr(), "It is not signed in. `fairlead login deny %s` tells it so.\n", harmless(args[0]))
				return exitCode(exitFailed)
			}
		}
		if err := api.ApproveDeviceLogin(c.Context(), code); err != nil {
			return err
		}
		say(c.OutOrStdout(), "%s is signed in as you. `fairlead token list` shows it, and `fairlead token delete` ends that.\n", harmless(asked.Name))
		return nil
	})
	return c
}

func newLoginDeny(s *session) *cobra.Command {
	c := &cobra.Command{Use: "deny CODE", Short: "Refuse a machine that shows a code", Args: cobra.ExactArgs(1)}
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, args []string) error {
		if err := api.DenyDeviceLogin(c.Context(), wire.DeviceCode{UserCode: args[0]}); err != nil {
			return err
		}
		say(c.OutOrStdout(), "The machine is refused.\n")
		return nil
	})
	return c
}
