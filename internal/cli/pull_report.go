package cli

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"fairlead.dev/fairlead/internal/client"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/wire"
)

func newExecutionPullReport(s *session) *cobra.Command {
	c := &cobra.Command{
		Use: "pull-report EXECUTION", Short: "Draw what the pull of an execution's image took its time for", Args: cobra.ExactArgs(1),
		Long: "Draw what the pull of an execution's image took its time for: a row for each layer over one\n" +
			"axis of time, with how fast it came and from where. Layers are unpacked while they come, so\n" +
			"that only what is left of it then has a place of its own. Of a pull that failed it shows what\n" +
			"was done until then.",
	}
	asJSON := jsonFlag(c)
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, args []string) error {
		e, err := api.Execution(c.Context(), args[0])
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(c.OutOrStdout(), e.PullReport) // null for none
		}
		if e.PullReport == nil {
			say(c.ErrOrStderr(), "%s\n", harmless(noReport(e)))
			return nil
		}
		report, err := wire.ParsePullReport(e.PullReport)
		if err != nil {
			return fault.New(fault.Internal, "pull_report_unreadable", "the worker's report of the pull makes no sense").
				WithHint("`--json` prints it as it came.").WithCause(err)
		}
		printPullReport(c.OutOrStdout(), e, report)
		return nil
	})
	return c
}

// noReport says why an execution has none.
func noReport(e wire.Execution) string {
	switch {
	case e.Status == "queued" || e.Status == "created":
		return fmt.Sprintf("Nothing was pulled yet: execution #%d is %s.", e.Counter, e.Status)
	case e.EndTime == nil:
		return fmt.Sprintf("Execution #%d is %s; the report comes when its pull has ended.", e.Counter, e.Status)
	default:
		return fmt.Sprintf("There is no report: execution #%d ended before anything was pulled for it.", e.Counter)
	}
}

// printPullReport draws the report, unless all of the image was here: then its
// sentence says everything.
func printPullReport(out io.Writer, e wire.Execution, report wire.PullReport) {
	width := widthOf(out)
	say(out, "%s\n\n", wrap(harmless(fmt.Sprintf("Execution #%d of %s: %s", e.Counter, e.Project.Name, e.Image)), width))
	if !report.Warm {
		newWaterfall(report, width, wantsColours(out)).draw(out)
		say(out, "\n")
	}
	say(out, "%s\n", wrap(harmless(report.Sentence), width))
}

// widthOf is how many characters a line of w has.
func widthOf(w io.Writer) int {
	file, ok := w.(*os.File)
	if !ok {
		return defaultWidth
	}
	width, _, err := term.GetSize(int(file.Fd()))
	if err != nil || width <= 0 {
		return defaultWidth
	}
	return width
}

// wantsColours reports whether w is a terminal whose owner did not ask for no
// colours (https://no-color.org).
func wantsColours(w io.Writer) bool {
	return isTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}
