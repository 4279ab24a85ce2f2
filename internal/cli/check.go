package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fairlead.dev/fairlead/internal/client"
	"fairlead.dev/fairlead/internal/wire"
)

// newCheck tries an image live, as `explain` explains it without a network call.
func newCheck(s *session) *cobra.Command {
	c := &cobra.Command{
		Use: "check IMAGE", Short: "Try whether an image can be pulled in a project, and with which credential",
		Long: "Ask the registry now, with the credential that the project's organisation has for the image, up to\n" +
			"the image's manifest: nothing is downloaded. Exits with 1 where it cannot be pulled.",
		Args: cobra.ExactArgs(1),
	}
	project := projectFlag(c)
	asJSON := jsonFlag(c)
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, args []string) error {
		found, err := findProject(c, api, *project)
		if err != nil {
			return err
		}
		checked, err := api.CheckImage(c.Context(), found.ID, args[0])
		if err != nil {
			return err
		}
		if *asJSON {
			err = printJSON(c.OutOrStdout(), checked)
		} else {
			printImageCheck(c, checked)
		}
		if err == nil && checked.Failure != nil {
			err = exitCode(exitFailed)
		}
		return err
	})
	return c
}

func printImageCheck(c *cobra.Command, checked wire.ImageCheck) {
	if checked.Failure != nil {
		say(c.ErrOrStderr(), "%s\n", harmless(checked.Failure.Message))
		return
	}
	say(c.OutOrStdout(), "%s\n", harmless(checked.Sentence))
	if checked.Digest != "" {
		scope := "a grant that may be good for more than this repository"
		if checked.Narrow {
			scope = "a grant for this repository alone"
		}
		say(c.OutOrStdout(), "It took %s to get %s, and %s to ask for the manifest.\n",
			milliseconds(checked.GrantMilliseconds), scope, milliseconds(checked.ManifestMilliseconds))
	}
}

// milliseconds is a time for people.
func milliseconds(n int64) string {
	if n == 0 {
		return "less than a millisecond"
	}
	return (time.Duration(n) * time.Millisecond).String()
}

func newRegistryCheck(s *session) *cobra.Command {
	var image string
	c := &cobra.Command{
		Use: "check NAME|ID", Short: "Ask the registry what a credential is good for", Args: cobra.ExactArgs(1),
		Long: "Ask the registry whether it accepts the secret, which repositories it can read, whether it may do\n" +
			"more than read, and when it ends. Nothing is changed there. Exits with 1 where pulls will fail.",
		Example: "  fairlead registry check acme-hub --image docker.io/acme/train:v1",
	}
	c.Flags().StringVar(&image, "image", "", "an image that is tried to be pulled too")
	asJSON := jsonFlag(c)
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, args []string) error {
		found, err := findCredential(c, api, args[0])
		if err != nil {
			return err
		}
		return checkNow(c, api, found, image, *asJSON)
	})
	return c
}

// checkNow checks a credential and shows each step as it is done. A failed one
// ends the command with exit code 1.
func checkNow(c *cobra.Command, api *client.Client, credential wire.Credential, image string, asJSON bool) error {
	tell := func(step wire.CheckStep) { printStep(c, step) }
	if asJSON {
		tell = func(wire.CheckStep) {}
	}
	checked, err := api.CheckCredential(c.Context(), credential.ID, image, tell)
	if err != nil {
		return err
	}
	if asJSON {
		if err := printJSON(c.OutOrStdout(), checked); err != nil {
			return err
		}
	} else {
		printFindings(c, checked)
	}
	if checked.State == "fails" {
		return exitCode(exitFailed)
	}
	return nil
}

// marks are how a step's result is shown.
var marks = map[string]string{"passed": "✓", "warning": "!", "failed": "✗", "unknown": "?"}

func printStep(c *cobra.Command, step wire.CheckStep) {
	out := c.OutOrStdout()
	say(out, "  %s %s\n", marks[step.Result], harmless(step.Sentence))
	if step.Hint != "" {
		say(out, "    %s\n", harmless(step.Hint))
	}
	if step.Policy != "" {
		say(out, "    To paste at the registry:\n")
		for line := range strings.Lines(step.Policy) {
			say(out, "      %s\n", harmless(strings.TrimRight(line, "\n")))
		}
	}
}

// repositoriesShown is how many repositories a person is told.
const repositoriesShown = 10

// printFindings shows what a check found besides its steps.
func printFindings(c *cobra.Command, credential wire.Credential) {
	check, out := credential.Check, c.OutOrStdout()
	if check == nil {
		return
	}
	if check.Identity != "" {
		say(out, "    Known there as: %s\n", harmless(check.Identity))
	}
	if n := len(check.Repositories); n > 0 {
		shown := check.Repositories[:min(n, repositoriesShown)]
		more := ""
		if n > len(shown) {
			more = fmt.Sprintf(" and %d more", n-len(shown))
		}
		say(out, "    It can read: %s%s\n", harmless(strings.Join(shown, ", ")), more)
	}
	say(out, "Checked in %s: it %s.\n", milliseconds(check.Milliseconds), stateWords(credential.State))
}

func stateWords(state string) string {
	switch state {
	case "works":
		return "works"
	case "warning":
		return "works, with a warning"
	case "expiring":
		return "works, but its secret ends soon"
	case "fails":
		return "fails"
	default:
		return "could not be checked"
	}
}

// checkLine is a credential's standing for a table.
func checkLine(credential wire.Credential) string {
	if credential.Check == nil {
		return credential.State
	}
	line := credential.State + ", checked " + at(credential.Check.At)
	for _, step := range credential.Check.Steps {
		if step.Result == "failed" || step.Result == "warning" {
			line += ": " + step.Sentence
			break
		}
	}
	return line
}

func newRegistryRotate(s *session) *cobra.Command {
	var flags credentialFlags
	var renew, back, noCheck bool
	c := &cobra.Command{
		Use: "rotate NAME|ID", Short: "Put a new secret in the place of the old one, without a failed pull", Args: cobra.ExactArgs(1),
		Long: "The new secret is asked for, or read from standard input, and checked; it is used only if the registry\n" +
			"accepts it. The old one is held until the last grant that it gave has ended, and then forgotten.",
		Example: "  fairlead registry rotate acme-hub\n" +
			"  fairlead registry rotate acme-gcp --field-file service_account_json=new-key.json\n" +
			"  fairlead registry rotate acme-ecr --renew        AWS makes the new access key, and the old one is deleted there",
	}
	flags.addSecrets(c)
	c.Flags().BoolVar(&renew, "renew", false, "have the registry make the new secret (aws-ecr)")
	c.Flags().BoolVar(&back, "back", false, "go back to the secret that was replaced last, while it is held")
	c.Flags().BoolVar(&noCheck, "no-check", false, "use the new secret without asking the registry")
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, args []string) error {
		found, err := findCredential(c, api, args[0])
		if err != nil {
			return err
		}
		rotation := wire.CredentialRotation{Renew: renew, Back: back}
		if noCheck {
			rotation.Check = new(bool)
		}
		if !renew && !back {
			kind, err := findKind(c, api, found.Kind)
			if err != nil {
				return err
			}
			change, err := flags.change(s, kind, !flags.givesSecret(kind))
			if err != nil {
				return err
			}
			rotation.Configuration, rotation.ExpiresAt = change.Configuration, change.ExpiresAt
		}
		rotated, err := api.RotateCredential(c.Context(), found.ID, rotation)
		if err != nil {
			return err
		}
		say(c.OutOrStdout(), "Rotated %s: the new secret is used from now on.\n", harmless(rotated.Name))
		if rotated.HeldUntil != nil {
			say(c.OutOrStdout(), "The old one is held until %s, for what is under way.\n", at(rotated.HeldUntil))
		}
		warn(c, rotated.Warnings)
		return nil
	})
	return c
}
