package cli

import (
	"strconv"

	"github.com/spf13/cobra"

	"fairlead.dev/fairlead/internal/client"
	"fairlead.dev/fairlead/internal/wire"
)

func newEnvironment(s *session) *cobra.Command {
	c := &cobra.Command{
		Use: "environment", Aliases: []string{"env"}, Short: "Environments: named groups of workers",
		Long: "Environments: named groups of workers. A step runs in the one that it, the run or its\n" +
			"project names, else in the default one. Operators make them, and give each worker's token\n" +
			"the environment that the worker works for.",
	}
	c.AddCommand(newEnvironmentList(s), newEnvironmentCreate(s), newEnvironmentUpdate(s), newEnvironmentDelete(s))
	return c
}

func newEnvironmentList(s *session) *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "List the environments that your projects may use"}
	asJSON := jsonFlag(c)
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, _ []string) error {
		all, err := api.Environments(c.Context())
		if err != nil {
			return err
		}
		return list(c, *asJSON, all, "No project of yours may use an environment.",
			[]string{"SLUG", "NAME", "UNFINISHED", "AT ONCE", "PER USER", "PROJECTS", "STATE", "ID"},
			func(e wire.Environment) []string {
				unfinished, projects, state := "", "all", "enabled"
				if e.UnfinishedJobCount != nil {
					unfinished = strconv.Itoa(*e.UnfinishedJobCount)
				}
				if e.Projects != nil {
					projects = strconv.Itoa(len(*e.Projects))
				}
				if !e.Enabled {
					state = "disabled"
				}
				if e.Default {
					state += ", default"
				}
				return []string{e.Slug, e.Name, unfinished, orAny(e.Limit), orAny(e.PerUserQueueQuota), projects, state, e.ID}
			})
	})
	return c
}

// orAny shows a bound, of which 0 is none.
func orAny(bound int) string {
	if bound == 0 {
		return "any"
	}
	return strconv.Itoa(bound)
}

// environmentFlags are what an environment is made from or changed by.
type environmentFlags struct {
	name, description string
	limit, quota      int
	enabled, all      bool
	projects          []string
}

func (f *environmentFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.description, "description", "", "what it is for")
	c.Flags().IntVar(&f.limit, "limit", 0, "how many executions run in it at once (0: as many as its workers take)")
	c.Flags().IntVar(&f.quota, "per-user", 0, "how many unfinished executions one user may have in it (0: any number)")
	c.Flags().BoolVar(&f.enabled, "enabled", true, "take new executions")
	c.Flags().StringSliceVar(&f.projects, "projects", nil, "only these projects may use it, as OWNER/NAME or ids; --projects= is none")
	c.Flags().BoolVar(&f.all, "all-projects", false, "every project may use it")
}

// change is what was given on the command line.
func (f *environmentFlags) change(c *cobra.Command) wire.EnvironmentChange {
	change := wire.EnvironmentChange{AllProjects: f.all}
	flags := c.Flags()
	if f.name != "" {
		change.Name = &f.name
	}
	if flags.Changed("description") {
		change.Description = &f.description
	}
	if flags.Changed("limit") {
		change.Limit = &f.limit
	}
	if flags.Changed("per-user") {
		change.PerUserQueueQuota = &f.quota
	}
	if flags.Changed("enabled") {
		change.Enabled = &f.enabled
	}
	if flags.Changed("projects") {
		change.Projects = &f.projects
	}
	return change
}

func newEnvironmentCreate(s *session) *cobra.Command {
	var flags environmentFlags
	c := &cobra.Command{Use: "create NAME", Short: "Make an environment (operators)", Args: cobra.ExactArgs(1)}
	flags.add(c)
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, args []string) error {
		flags.name = args[0]
		created, err := api.CreateEnvironment(c.Context(), flags.change(c))
		if err != nil {
			return err
		}
		say(c.OutOrStdout(), "Made the environment %s. Workers work for it with a token of it:\n", harmless(created.Name))
		say(c.OutOrStdout(), "    fairlead worker-token create WORKER --environment %s\n", created.Slug)
		return nil
	})
	return c
}

func newEnvironmentUpdate(s *session) *cobra.Command {
	var flags environmentFlags
	c := &cobra.Command{Use: "update ENVIRONMENT", Short: "Change an environment (operators)", Args: cobra.ExactArgs(1)}
	c.Flags().StringVar(&flags.name, "name", "", "call it so")
	flags.add(c)
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, args []string) error {
		changed, err := api.UpdateEnvironment(c.Context(), args[0], flags.change(c))
		if err != nil {
			return err
		}
		projects := "all projects"
		if changed.Projects != nil {
			projects = "projects: " + strconv.Itoa(len(*changed.Projects))
		}
		say(c.OutOrStdout(), "The environment %s is for %s, %s at once.\n", harmless(changed.Name), projects, orAny(changed.Limit))
		return nil
	})
	return c
}

func newEnvironmentDelete(s *session) *cobra.Command {
	c := &cobra.Command{Use: "delete ENVIRONMENT", Short: "Remove an environment that no worker and no unfinished execution needs (operators)", Args: cobra.ExactArgs(1)}
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, args []string) error {
		if err := api.DeleteEnvironment(c.Context(), args[0]); err != nil {
			return err
		}
		say(c.OutOrStdout(), "Removed.\n")
		return nil
	})
	return c
}
