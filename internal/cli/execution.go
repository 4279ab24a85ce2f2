package cli

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"fairlead.dev/fairlead/internal/client"
	"fairlead.dev/fairlead/internal/wire"
)

func newExecution(s *session) *cobra.Command {
	c := &cobra.Command{
		Use: "execution", Aliases: []string{"exec"}, Short: "Executions: runs of steps",
		Long: "Executions: runs of steps. One is named by its id, or by PROJECT:NUMBER or PROJECT:latest.",
	}
	c.AddCommand(newExecutionList(s), newExecutionShow(s), newExecutionLogs(s), newExecutionStop(s), newExecutionRerun(s), newExecutionTag(s), newExecutionDelete(s), newExecutionOutputs(s), newExecutionMetadata(s), newExecutionPullReport(s))
	return c
}

func newExecutionList(s *session) *cobra.Command {
	var status string
	var limit int
	c := &cobra.Command{Use: "list", Short: "List executions, the newest first"}
	project := c.Flags().String("project", "", "only this project's, as NAME, OWNER/NAME or id")
	c.Flags().StringVar(&status, "status", "", "only those with this status, or incomplete for all that have not ended")
	c.Flags().IntVar(&limit, "limit", 30, "at most this many")
	asJSON := jsonFlag(c)
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, _ []string) error {
		all, err := api.Executions(c.Context(), *project, status, limit)
		if err != nil {
			return err
		}
		return list(c, *asJSON, all, "There is no execution. `fairlead run STEP` starts one.",
			[]string{"PROJECT", "#", "STEP", "STATUS", "IMAGE", "STARTED BY", "AT", "DURATION", "ID"},
			func(e wire.Execution) []string {
				return []string{
					e.Project.Name, strconv.Itoa(e.Counter), e.Step, outcome(e), e.Image, e.Creator, at(e.CTime), lasting(e.Duration), e.ID,
				}
			})
	})
	return c
}

func newExecutionShow(s *session) *cobra.Command {
	c := &cobra.Command{Use: "show EXECUTION", Short: "Show an execution", Args: cobra.ExactArgs(1)}
	asJSON := jsonFlag(c)
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, args []string) error {
		e, err := api.Execution(c.Context(), args[0])
		if err != nil || *asJSON {
			if err == nil {
				err = printJSON(c.OutOrStdout(), e)
			}
			return err
		}
		rows := [][]string{
			{"execution", "#" + strconv.Itoa(e.Counter) + " of " + e.Project.Name},
			{"id", e.ID},
			{"step", e.Step},
			{"status", outcome(e)},
			{"environment", environmentOf(e)},
			{"image", e.Image},
			{"image digest", e.ImageDigest},
			{"commit", e.Commit.Identifier},
			{"command", strings.ReplaceAll(e.Command, "\n", "; ")},
			{"started by", e.Creator},
			{"created", at(e.CTime)},
			{"started", at(e.StartTime)},
			{"ended", at(e.EndTime)},
			{"duration", lasting(e.Duration)},
			{"worker", e.Worker},
			{"tags", strings.Join(e.Tags, " ")},
		}
		if e.Failure != nil {
			rows = append(rows, []string{"failed", e.Failure.Message + " (" + e.Failure.Code + ")"})
		}
		return table(c.OutOrStdout(), []string{"FIELD", "VALUE"}, rows)
	})
	return c
}

func environmentOf(e wire.Execution) string {
	if e.Where == nil {
		return "" // deleted since
	}
	return e.Where.Name
}

func newExecutionLogs(s *session) *cobra.Command {
	var limit int
	var followIt bool
	c := &cobra.Command{
		Use: "logs EXECUTION", Short: "Print an execution's log", Args: cobra.ExactArgs(1),
		Long: "Print an execution's log: the command's output on standard output, what it wrote to\n" +
			"standard error and Fairlead's own lines on standard error.",
	}
	c.Flags().IntVar(&limit, "limit", 0, "only the last lines (default: all)")
	c.Flags().BoolVarP(&followIt, "follow", "f", false, "go on until the execution has ended, and give its exit code")
	asJSON := jsonFlag(c)
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, args []string) error {
		shown := newLogPrinter(s.streams)
		if followIt {
			ended, err := api.Follow(c.Context(), args[0], 0, shown)
			shown.close()
			if err != nil {
				return err
			}
			return exitOf(c, ended)
		}
		events, err := api.Events(c.Context(), args[0], limit)
		if err != nil || *asJSON {
			if err == nil {
				err = printJSON(c.OutOrStdout(), events)
			}
			return err
		}
		shown.bars.terminal = false // what is over needs no bars
		return shown.Lines(events.Events)
	})
	return c
}

func newExecutionStop(s *session) *cobra.Command {
	c := &cobra.Command{Use: "stop EXECUTION", Short: "Stop an execution: SIGTERM, and after a while SIGKILL", Args: cobra.ExactArgs(1)}
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, args []string) error {
		e, err := api.Stop(c.Context(), args[0])
		if err != nil {
			return err
		}
		say(c.OutOrStdout(), "Execution #%d is %s.\n", e.Counter, e.Status)
		return nil
	})
	return c
}

func newExecutionDelete(s *session) *cobra.Command {
	c := &cobra.Command{Use: "delete EXECUTION", Short: "Remove an execution that has ended, with its log", Args: cobra.ExactArgs(1)}
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, args []string) error {
		if err := api.DeleteExecution(c.Context(), args[0]); err != nil {
			return err
		}
		say(c.OutOrStdout(), "Removed.\n")
		return nil
	})
	return c
}
