package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"fairlead.dev/fairlead/internal/client"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/wire"
)

func newExplain(s *session) *cobra.Command {
	c := &cobra.Command{
		Use: "explain IMAGE", Short: "Say which registry credential an image would be pulled with, and why",
		Long: "Say which registry credential an image would be pulled with in a project, why it goes before\n" +
			"the others that cover it, and what almost covers it. No registry is asked.",
		Args: cobra.ExactArgs(1),
	}
	project := projectFlag(c)
	asJSON := jsonFlag(c)
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, args []string) error {
		found, err := findProject(c, api, *project)
		if err != nil {
			return err
		}
		explained, err := api.Explain(c.Context(), found.ID, args[0])
		if err != nil || *asJSON {
			if err == nil {
				err = printJSON(c.OutOrStdout(), explained)
			}
			return err
		}
		printExplanation(c, explained)
		return nil
	})
	return c
}

func printExplanation(c *cobra.Command, e wire.Explanation) {
	out := c.OutOrStdout()
	say(out, "%s\n", harmless(e.Sentence))
	for i, candidate := range e.Candidates {
		mark := "  "
		if i == 0 {
			mark = "→ "
		}
		say(out, "%s%s (%s)  %s\n", mark, harmless(candidate.Name), candidate.Type, candidate.Pattern)
		if candidate.Reason != "" {
			say(out, "    %s\n", harmless(candidate.Reason))
		}
	}
	if len(e.NearMisses) > 0 {
		say(out, "Almost:\n")
	}
	for _, near := range e.NearMisses {
		say(out, "  %s (%s)  %s\n    %s\n", harmless(near.Name), near.Type, near.Pattern, harmless(near.Reason))
	}
}

// served is in a few words how an image would be pulled.
func served(e wire.Explanation) string {
	switch {
	case e.Personal:
		return "no credential: the project is personal"
	case len(e.Candidates) > 0:
		return fmt.Sprintf("%s (%s, pattern %s)", e.Candidates[0].Name, e.Candidates[0].Type, e.Candidates[0].Pattern)
	case len(e.NearMisses) > 0:
		return fmt.Sprintf("no credential; almost %s (pattern %s)", e.NearMisses[0].Name, e.NearMisses[0].Pattern)
	default:
		return "no credential: as anybody may"
	}
}

// explainAll fills in which credential serves each image.
func explainAll(c *cobra.Command, api *client.Client, project string, images []lintedImage) error {
	found, err := findProject(c, api, project)
	if err != nil {
		return err
	}
	known := make(map[string]string) // by the images' names: steps share theirs
	for i := range images {
		name := images[i].Image
		if credential, is := known[name]; is {
			images[i].Credential = credential
			continue
		}
		explained, err := api.Explain(c.Context(), found.ID, name)
		switch {
		case err == nil:
			images[i].Credential = served(explained)
		case fault.Is(err, fault.Invalid): // no image name at all, which is a finding
			images[i].Credential = "no image name"
		default:
			return err
		}
		known[name] = images[i].Credential
	}
	return nil
}
