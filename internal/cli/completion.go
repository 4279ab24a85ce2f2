package cli

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"fairlead.dev/fairlead/internal/client"
	"fairlead.dev/fairlead/internal/valohaiyaml"
	"fairlead.dev/fairlead/internal/wire"
)

// completionMost is how long a shell waits for names from the server.
const completionMost = 2 * time.Second

// executionsOffered is how many executions a shell offers, the newest first.
const executionsOffered = 50

// newCompletion is the command that writes a shell's script.
func newCompletion(s *session) *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish",
		Short: "Write the script with which a shell completes commands, flags and names",
		Long: "Write the script with which a shell completes commands and flags, and from the server the\n" +
			"names of projects, organisations, environments, credentials, channels and executions.\n" +
			"Names are asked for at most two seconds, and left out where nobody is signed in.",
		Example: "  source <(fairlead completion bash)\n" +
			"  fairlead completion zsh >\"${fpath[1]}/_fairlead\"\n" +
			"  fairlead completion fish >~/.config/fish/completions/fairlead.fish",
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"bash", "zsh", "fish"},
		RunE: func(c *cobra.Command, args []string) error {
			switch args[0] {
			case "bash":
				return c.Root().GenBashCompletionV2(s.streams.Out, true)
			case "zsh":
				return c.Root().GenZshCompletion(s.streams.Out)
			default:
				return c.Root().GenFishCompletion(s.streams.Out, true)
			}
		},
	}
}

// offer asks the server what may stand in a place of the command line.
type offer func(ctx context.Context, api *client.Client) ([]cobra.Completion, error)

// offers are by what the usage of a command calls the place.
var offers = map[string]offer{
	"PROJECT": projectNames, "EXECUTION": executionNames, "ENVIRONMENT": environmentNames, "ORGANIZATION": organizationNames,
	"CHANNEL": channelNames, "NAME|ID": credentialNames, "KIND": kindNames,
}

// flagOffers are by the name of the flag.
var flagOffers = map[string]offer{
	"project": projectNames, "environment": environmentNames, "owner": organizationNames, "organization": organizationNames, "execution": executionNames,
}

// flagWords are flags whose values are always the same.
var flagWords = map[string][]cobra.Completion{
	"role": {"member", "admin"}, "network": {"host", "none"},
	"status": {"incomplete", "created", "queued", "started", "stopping", "complete", "error", "stopped", "crashed"},
}

// complete gives a command what its usage and its flags can be completed with.
func complete(s *session, c *cobra.Command) {
	places := strings.Fields(c.Use)[1:]
	if c.ValidArgsFunction == nil && len(c.ValidArgs) == 0 && slices.ContainsFunc(places, func(place string) bool { return offers[placeName(place)] != nil || placeName(place) == "STEP" }) {
		c.ValidArgsFunction = func(c *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(args) >= len(places) {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			place := placeName(places[len(args)])
			if place == "STEP" {
				return stepNames(c), cobra.ShellCompDirectiveNoFileComp
			}
			return s.ask(c, offers[place]), cobra.ShellCompDirectiveNoFileComp
		}
	}
	c.LocalFlags().VisitAll(func(flag *pflag.Flag) {
		complete := func(c *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if words := flagWords[flag.Name]; words != nil {
				return words, cobra.ShellCompDirectiveNoFileComp
			}
			return s.ask(c, flagOffers[flag.Name]), cobra.ShellCompDirectiveNoFileComp
		}
		if flagOffers[flag.Name] != nil || flagWords[flag.Name] != nil {
			_ = c.RegisterFlagCompletionFunc(flag.Name, complete) // one that has a function of its own keeps it
		}
	})
}

// placeName is what a usage calls a place, without signs that it may be left out.
func placeName(place string) string { return strings.Trim(place, "[].…") }

// ask asks the server, for a short time and without a word of what fails: whoever
// types a command does not want to read an error amid it.
func (s *session) ask(c *cobra.Command, what offer) []cobra.Completion {
	if what == nil || s.settle(c) != nil {
		return nil
	}
	api, err := s.client()
	if err != nil {
		return nil
	}
	defer api.Close()
	ctx, cancel := context.WithTimeout(cmp.Or(c.Context(), context.Background()), completionMost)
	defer cancel()
	names, err := what(ctx, api)
	if err != nil {
		return nil
	}
	return names
}

// offered is a name with what it is, as shells show it.
func offered(name string, description ...string) cobra.Completion {
	line := func(text string) string { return strings.Join(strings.Fields(harmless(text)), " ") }
	return cobra.CompletionWithDesc(line(name), line(strings.Join(description, " ")))
}

func projectNames(ctx context.Context, api *client.Client) ([]cobra.Completion, error) {
	projects, err := api.Projects(ctx)
	return offeredOf(projects, func(p wire.Project) cobra.Completion { return offered(p.Owner.Username+"/"+p.Name, p.Description) }), err
}

func executionNames(ctx context.Context, api *client.Client) ([]cobra.Completion, error) {
	projects, err := api.Projects(ctx)
	if err != nil {
		return nil, err
	}
	names := make(map[string]string, len(projects))
	for _, p := range projects {
		names[p.ID] = p.Owner.Username + "/" + p.Name
	}
	executions, err := api.Executions(ctx, "", "", executionsOffered)
	return offeredOf(executions, func(e wire.Execution) cobra.Completion {
		return offered(cmp.Or(names[e.Project.ID], e.Project.ID)+":"+strconv.Itoa(e.Counter), e.Step, e.Status, e.Title)
	}), err
}

func environmentNames(ctx context.Context, api *client.Client) ([]cobra.Completion, error) {
	environments, err := api.Environments(ctx)
	return offeredOf(environments, func(e wire.Environment) cobra.Completion { return offered(e.Slug, e.Name) }), err
}

func organizationNames(ctx context.Context, api *client.Client) ([]cobra.Completion, error) {
	organizations, err := api.Organizations(ctx)
	return offeredOf(organizations, func(o wire.Organization) cobra.Completion { return offered(o.Name, o.Role) }), err
}

func channelNames(ctx context.Context, api *client.Client) ([]cobra.Completion, error) {
	channels, err := api.NoticeChannels(ctx, "", false)
	return offeredOf(channels, func(n wire.NoticeChannel) cobra.Completion { return offered(n.Name, n.Kind) }), err
}

func credentialNames(ctx context.Context, api *client.Client) ([]cobra.Completion, error) {
	credentials, err := api.Credentials(ctx, "")
	return offeredOf(credentials, func(c wire.Credential) cobra.Completion { return offered(c.Name, c.Kind, c.ImagePattern) }), err
}

func kindNames(ctx context.Context, api *client.Client) ([]cobra.Completion, error) {
	kinds, err := api.CredentialKinds(ctx)
	return offeredOf(kinds, func(k wire.CredentialKind) cobra.Completion { return offered(k.Type, k.Title) }), err
}

// offeredOf offers each of a list.
func offeredOf[T any](list []T, offer func(T) cobra.Completion) []cobra.Completion {
	names := make([]cobra.Completion, len(list))
	for i, item := range list {
		names[i] = offer(item)
	}
	return names
}

// stepNames are the steps of the file that the command would read.
func stepNames(c *cobra.Command) (names []cobra.Completion) {
	file := configName
	if flag := c.Flags().Lookup("yaml"); flag != nil {
		file = flag.Value.String()
	}
	text, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		return nil
	}
	parsed, _ := valohaiyaml.Parse(file, text) // what is wrong with it is for lint to say
	if parsed == nil {
		return nil
	}
	for _, step := range parsed.Steps {
		names = append(names, offered(step.Name, step.Image))
	}
	return names
}
