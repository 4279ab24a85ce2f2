package cli

import (
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"fairlead.dev/fairlead/internal/app"
	"fairlead.dev/fairlead/internal/client"
	"fairlead.dev/fairlead/internal/wire"
)

func newDoctor(s *session) *cobra.Command {
	var config app.Config
	var without bool
	c := &cobra.Command{
		Use: "doctor", Short: "Look for what is wrong with a server, and say what to do",
		Long: "Look for what is wrong with a server, and say what to do: its database, keys, disk, clock,\n" +
			"proxies, container runtime, registries, credentials, public address and audit trail.\n\n" +
			"With --data-dir, on the command line, in FAIRLEAD_DATA_DIR or in the file of settings, it looks at\n" +
			"this machine, whether the server runs or not; give it the settings of `fairlead serve`. Otherwise\n" +
			"the server that you signed in to looks at itself, for operators. No secret is shown. The exit\n" +
			"code is 1 where something fails.",
		Example: "  sudo fairlead doctor --data-dir /var/lib/fairlead\n  fairlead doctor --no-credentials",
	}
	config.Flags(c.Flags())
	c.Flags().BoolVar(&without, "no-credentials", false, "do not ask registries what the credentials are good for")
	asJSON := jsonFlag(c)
	remote := s.calling(func(c *cobra.Command, api *client.Client, _ []string) error {
		began := time.Now()
		found, err := api.Doctor(c.Context(), !without)
		if err != nil {
			return err
		}
		app.CompareClocks(&found, api.Server(), began, time.Now())
		return showFindings(c.OutOrStdout(), found, *asJSON)
	})
	c.RunE = func(c *cobra.Command, args []string) error {
		if !c.Flags().Changed("data-dir") {
			return remote(c, args)
		}
		found, err := app.Examine(c.Context(), config, !without)
		if err != nil {
			return err
		}
		return showFindings(c.OutOrStdout(), found, *asJSON)
	}
	return c
}

// showFindings prints what was found, and ends with 1 where something fails.
func showFindings(w io.Writer, found wire.Doctor, asJSON bool) error {
	var err error
	if asJSON {
		err = printJSON(w, found)
	} else {
		err = printExamination(w, found.Findings)
	}
	for _, f := range found.Findings {
		if f.Result == wire.FindingFail && err == nil {
			err = exitCode(exitFailed)
		}
	}
	return err
}

func printExamination(w io.Writer, findings []wire.Finding) error {
	tabs := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range findings {
		say(tabs, "%s\t%s\t%s\n", f.Result, f.Part, harmless(f.Sentence))
		if f.Next != "" && f.Result != wire.FindingOK {
			say(tabs, "\t\t→ %s\n", harmless(f.Next))
		}
	}
	return tabs.Flush()
}
