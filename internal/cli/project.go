package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"fairlead.dev/fairlead/internal/client"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/wire"
)

func newProject(s *session) *cobra.Command {
	c := &cobra.Command{Use: "project", Short: "Projects"}
	c.AddCommand(newProjectList(s), newProjectCreate(s), newProjectShow(s), newProjectSetEnvironment(s),
		newProjectLinkGit(s), newProjectUnlinkGit(s), newProjectFetch(s), newProjectCommits(s),
		newProjectVariables(s), newProjectSetVariable(s), newProjectUnsetVariable(s))
	return c
}

func newProjectList(s *session) *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "List the projects that you may see"}
	asJSON := jsonFlag(c)
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, _ []string) error {
		all, err := api.Projects(c.Context())
		if err != nil {
			return err
		}
		return list(c, *asJSON, all, "There is no project. `fairlead project create NAME --owner ORGANIZATION` makes one.",
			[]string{"NAME", "OWNER", "ID", "MADE"},
			func(p wire.Project) []string {
				owner := p.Owner.Username
				if p.Owner.Personal {
					owner += " (personal)"
				}
				return []string{p.Name, owner, p.ID, at(p.CTime)}
			})
	})
	return c
}

func newProjectCreate(s *session) *cobra.Command {
	var draft wire.NewProject
	c := &cobra.Command{Use: "create NAME", Short: "Make a project", Args: cobra.ExactArgs(1)}
	c.Flags().StringVar(&draft.Owner, "owner", "", "the organisation that owns it (default: you yourself, and then it can use no registry credential)")
	c.Flags().StringVar(&draft.Description, "description", "", "what it is for")
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, args []string) error {
		draft.Name = args[0]
		created, err := api.CreateProject(c.Context(), draft)
		if err != nil {
			return err
		}
		say(c.OutOrStdout(), "Made the project %s of %s.\n", harmless(created.Name), harmless(created.Owner.Username))
		if created.Owner.Personal {
			say(c.ErrOrStderr(), "It is personal, so no organisation's registry credential is used in it.\n")
		}
		return nil
	})
	return c
}

// projectFlag gives a command --project.
func projectFlag(c *cobra.Command) *string {
	return c.Flags().String("project", "", "project, as NAME, OWNER/NAME or id (default: the only one that you may see)")
}

// findProject is the project that a command is for.
func findProject(c *cobra.Command, api *client.Client, key string) (wire.Project, error) {
	all, err := api.Projects(c.Context())
	if err != nil {
		return wire.Project{}, err
	}
	var found []wire.Project
	for _, p := range all {
		if key == "" || p.ID == key || p.Name == key || p.Owner.Username+"/"+p.Name == key {
			found = append(found, p)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(all) == 0 && key == "":
		return wire.Project{}, fault.InvalidField("project", "project_none", "there is no project yet").
			WithHint("`fairlead project create NAME --owner ORGANIZATION` makes one.")
	case len(found) == 0:
		return wire.Project{}, fault.InvalidField("project", "project_unknown", "there is no project %q, or none that you may see", key).
			WithHint("`fairlead project list` shows yours.")
	default:
		return wire.Project{}, fault.InvalidField("project", "project_ambiguous", "say which project: there are %d", len(found)).
			WithHint("Give it as --project or FAIRLEAD_PROJECT, such as %s.", fmt.Sprintf("%s/%s", found[0].Owner.Username, found[0].Name))
	}
}
