package cli

import (
	"cmp"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"fairlead.dev/fairlead/internal/client"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/wire"
)

func newProjectShow(s *session) *cobra.Command {
	c := &cobra.Command{Use: "show PROJECT", Short: "Show a project and what it is set to", Args: cobra.ExactArgs(1)}
	asJSON := jsonFlag(c)
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, args []string) error {
		p, err := api.Project(c.Context(), args[0])
		if err != nil || *asJSON {
			if err == nil {
				err = printJSON(c.OutOrStdout(), p)
			}
			return err
		}
		rows := [][]string{
			{"project", p.Name},
			{"owner", p.Owner.Username},
			{"id", p.ID},
			{"description", p.Description},
			{"made", at(p.CTime)},
			{"last execution", at(p.LastExecutionCTime)},
			{"default environment", p.DefaultEnvironment},
			{"steps", p.YAMLPath},
		}
		if r := p.Repository; r != nil {
			rows = append(rows, []string{"repository", r.URL}, []string{"login", cmp.Or(strings.ReplaceAll(r.Login, "_", " "), "none")})
		}
		return table(c.OutOrStdout(), []string{"FIELD", "VALUE"}, rows)
	})
	return c
}

// linkFlags are how a repository is reached.
type linkFlags struct {
	link             wire.RepositoryLink
	public           bool
	keyFile, knownBy string
}

func newProjectLinkGit(s *session) *cobra.Command {
	var flags linkFlags
	c := &cobra.Command{
		Use: "link-git PROJECT URL", Short: "Link a project to a git repository, and fetch it", Args: cobra.ExactArgs(2),
		Long: "Link a project to a git repository and fetch its branches and tags, so that steps run at a\n" +
			"commit: fairlead run STEP --commit BRANCH. The token of an https address is asked for, or\n" +
			"read from standard input; an ssh address wants --ssh-key-file and --known-hosts-file. Either\n" +
			"is sealed and never shown again.",
		Example: "  fairlead project link-git acme/vision https://github.com/acme/vision <token\n" +
			"  fairlead project link-git acme/vision git@github.com:acme/vision --ssh-key-file key --known-hosts-file hosts",
	}
	f := c.Flags()
	f.StringVar(&flags.link.Username, "username", "", "goes with the token (default: what the host takes for access tokens)")
	f.BoolVar(&flags.public, "public", false, "the repository needs no login")
	f.StringVar(&flags.keyFile, "ssh-key-file", "", "private key for an ssh address, without a passphrase")
	f.StringVar(&flags.knownBy, "known-hosts-file", "", "keys of the ssh host, as `ssh-keyscan HOST` prints them: compare them with what the host publishes")
	f.StringVar(&flags.link.ConfigPath, "yaml", "", "where in the repository the steps are (default: valohai.yaml)")
	c.MarkFlagsMutuallyExclusive("public", "ssh-key-file")
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, args []string) error {
		flags.link.URL = args[1]
		if err := flags.login(s); err != nil {
			return err
		}
		linked, err := api.LinkRepository(c.Context(), args[0], flags.link)
		if err != nil {
			return err
		}
		say(c.ErrOrStderr(), "Linked to %s.\n", harmless(linked.URL))
		return fetch(c, api, args[0])
	})
	return c
}

// login reads what logs in.
func (f *linkFlags) login(s *session) error {
	for _, file := range []struct {
		flag, path string
		into       func(text string)
	}{
		{"ssh-key-file", f.keyFile, func(text string) { f.link.SSHKey = wire.NewPassword(text) }},
		{"known-hosts-file", f.knownBy, func(text string) { f.link.KnownHosts = text }},
	} {
		if file.path == "" {
			continue
		}
		text, err := os.ReadFile(filepath.Clean(file.path))
		if err != nil {
			return fault.InvalidField(file.flag, "file", "%v", err)
		}
		file.into(string(text))
	}
	if f.public || f.keyFile != "" || !strings.HasPrefix(strings.ToLower(f.link.URL), "http") {
		return nil
	}
	token, err := newPrompt(s.streams).secret("Token: ")
	f.link.Token = wire.NewPassword(token.Reveal())
	return err
}

func fetch(c *cobra.Command, api *client.Client, project string) error {
	fetched, err := api.FetchRepository(c.Context(), project)
	if err != nil {
		return err
	}
	if len(fetched.Commits) == 0 {
		say(c.OutOrStdout(), "Nothing is new.\n")
		return nil
	}
	rows := make([][]string, len(fetched.Commits))
	for i, commit := range fetched.Commits {
		rows[i] = []string{commit.Ref, commit.Identifier}
	}
	return table(c.OutOrStdout(), []string{"NEW AT", "COMMIT"}, rows)
}

func newProjectFetch(s *session) *cobra.Command {
	c := &cobra.Command{Use: "fetch PROJECT", Short: "Fetch the new commits of the linked git repository", Args: cobra.ExactArgs(1)}
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, args []string) error { return fetch(c, api, args[0]) })
	return c
}

func newProjectUnlinkGit(s *session) *cobra.Command {
	c := &cobra.Command{Use: "unlink-git PROJECT", Short: "Forget the linked git repository and its login; fetched commits stay", Args: cobra.ExactArgs(1)}
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, args []string) error {
		if err := api.UnlinkRepository(c.Context(), args[0]); err != nil {
			return err
		}
		say(c.OutOrStdout(), "Unlinked.\n")
		return nil
	})
	return c
}

func newProjectCommits(s *session) *cobra.Command {
	var limit int
	c := &cobra.Command{Use: "commits PROJECT", Short: "List a project's commits, the newest first", Args: cobra.ExactArgs(1)}
	c.Flags().IntVar(&limit, "limit", 30, "at most this many")
	asJSON := jsonFlag(c)
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, args []string) error {
		all, err := api.Commits(c.Context(), args[0], limit)
		if err != nil {
			return err
		}
		return list(c, *asJSON, all, "There is no commit. `fairlead run` uploads one, `fairlead project link-git` gets those of a repository.",
			[]string{"COMMIT", "REF", "DESCRIPTION", "AT"},
			func(commit wire.Commit) []string {
				return []string{commit.Identifier, cmp.Or(commit.Ref, "upload"), commit.Description, at(commit.CommitTime)}
			})
	})
	return c
}

func newProjectVariables(s *session) *cobra.Command {
	c := &cobra.Command{Use: "variables PROJECT", Short: "List the variables of every execution of a project", Args: cobra.ExactArgs(1)}
	asJSON := jsonFlag(c)
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, args []string) error {
		p, err := api.Project(c.Context(), args[0])
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(c.OutOrStdout(), p.EnvironmentVariables)
		}
		return list(c, false, slices.Sorted(maps.Keys(p.EnvironmentVariables)), "There is no variable. `fairlead project set-variable` sets one.",
			[]string{"NAME", "VALUE"},
			func(name string) []string {
				variable := p.EnvironmentVariables[name]
				if variable.Secret {
					return []string{name, "(secret)"}
				}
				return []string{name, variable.Value}
			})
	})
	return c
}

func newProjectSetVariable(s *session) *cobra.Command {
	var isSecret bool
	c := &cobra.Command{
		Use: "set-variable PROJECT NAME=VALUE", Short: "Give every later execution of a project an environment variable", Args: cobra.ExactArgs(2),
		Long: "Give every later execution of a project an environment variable. With --secret the argument\n" +
			"is the name alone: the value is asked for, or read from standard input, sealed, never shown\n" +
			"again, and hidden where a step prints it.",
	}
	c.Flags().BoolVar(&isSecret, "secret", false, "seal the value, which is asked for")
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, args []string) error {
		name, value, hasValue := strings.Cut(args[1], "=")
		variable := wire.NewVariable{Name: name, Value: wire.NewPassword(value), Secret: isSecret}
		switch {
		case isSecret && hasValue:
			return fault.InvalidField("secret", "secret_argument", "a secret on the command line is seen by everybody on this machine").
				WithHint("Write the name alone; the value is asked for, or read from standard input.")
		case !isSecret && !hasValue:
			return fault.InvalidField("value", "variable_value", "%q has no value", name).WithHint("Write NAME=VALUE.")
		case isSecret:
			text, err := newPrompt(s.streams).secret("Value: ")
			if err != nil {
				return err
			}
			variable.Value = wire.NewPassword(text.Reveal())
		}
		if err := api.SetVariable(c.Context(), args[0], variable); err != nil {
			return err
		}
		say(c.OutOrStdout(), "Set %s for every execution that is started from now on.\n", harmless(name))
		return nil
	})
	return c
}

func newProjectUnsetVariable(s *session) *cobra.Command {
	c := &cobra.Command{Use: "unset-variable PROJECT NAME", Short: "Take a variable away from later executions of a project", Args: cobra.ExactArgs(2)}
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, args []string) error {
		if err := api.DeleteVariable(c.Context(), args[0], args[1]); err != nil {
			return err
		}
		say(c.OutOrStdout(), "Removed.\n")
		return nil
	})
	return c
}

func newProjectSetEnvironment(s *session) *cobra.Command {
	c := &cobra.Command{
		Use: "set-environment PROJECT [ENVIRONMENT]", Short: "Say where executions of a project run that name no environment; without one the installation's default", Args: cobra.RangeArgs(1, 2),
	}
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, args []string) error {
		environment := ""
		if len(args) == 2 {
			environment = args[1]
		}
		if _, err := api.ChangeProject(c.Context(), args[0], wire.ProjectChange{DefaultEnvironment: &environment}); err != nil {
			return err
		}
		say(c.OutOrStdout(), "Executions that name no environment run in %s.\n", cmp.Or(harmless(environment), "the default one"))
		return nil
	})
	return c
}
