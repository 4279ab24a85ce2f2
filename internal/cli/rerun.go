package cli

import (
	"cmp"
	"strings"

	"github.com/spf13/cobra"

	"fairlead.dev/fairlead/internal/client"
)

func newExecutionRerun(s *session) *cobra.Command {
	var detach bool
	c := &cobra.Command{
		Use: "rerun EXECUTION", Aliases: []string{"copy"}, Short: "Run an execution again, as it was, and follow its log", Args: cobra.ExactArgs(1),
		Long: "Run an execution again, as it was: the same code, command, image and inputs, whatever has\n" +
			"changed since. The exit code is the step's own.",
	}
	c.Flags().BoolVarP(&detach, "detach", "d", false, "print the execution's id and do not follow it")
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, args []string) error {
		created, err := api.CopyExecution(c.Context(), args[0])
		if err != nil {
			return err
		}
		if detach {
			say(c.OutOrStdout(), "%s\n", created.ID)
			return nil
		}
		say(c.ErrOrStderr(), "Execution #%d of %s\n", created.Counter, harmless(created.Project.Name))
		return follow(c, s, api, created.ID)
	})
	return c
}

func newExecutionTag(s *session) *cobra.Command {
	c := &cobra.Command{Use: "tag EXECUTION [TAG...]", Short: "Replace an execution's tags", Args: cobra.MinimumNArgs(1)}
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, args []string) error {
		tagged, err := api.SetTags(c.Context(), args[0], args[1:])
		if err != nil {
			return err
		}
		say(c.OutOrStdout(), "Execution #%d has the tags: %s\n", tagged.Counter, cmp.Or(harmless(strings.Join(tagged.Tags, " ")), "none"))
		return nil
	})
	return c
}
