package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/cpuguy83/go-md2man/v2/md2man"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"fairlead.dev/fairlead/internal/app"
	"fairlead.dev/fairlead/internal/fault"
)

// epochVariable dates pages, so that the same source makes the same pages.
// https://reproducible-builds.org/specs/source-date-epoch/
const epochVariable = "SOURCE_DATE_EPOCH"

// newMan is the command that writes the manual.
func newMan(s *session) *cobra.Command {
	return &cobra.Command{
		Use:   "man DIRECTORY",
		Short: "Write the manual: a page for each command, for man",
		Long: "Write a page for each command to a directory: fairlead.1, fairlead-run.1 and so on. They are\n" +
			"made of the same texts as --help.",
		Example: "  fairlead man /usr/local/share/man/man1",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			day, err := manDay()
			if err != nil {
				return err
			}
			if err := os.MkdirAll(args[0], 0o755); err != nil { //nolint:gosec // everybody reads a manual
				return fault.InvalidField("directory", "directory", "%v", err)
			}
			for _, command := range everyCommand(c.Root()) {
				if command.Hidden || command.Name() == "help" {
					continue
				}
				file := filepath.Join(args[0], dashed(command)+".1")
				text := md2man.Render([]byte(manPage(command, day, s.version)))
				if err := os.WriteFile(file, text, 0o644); err != nil { //nolint:gosec // everybody reads a manual
					return fmt.Errorf("writing the manual: %w", err)
				}
			}
			return nil
		},
	}
}

func manDay() (time.Time, error) {
	text, found := os.LookupEnv(epochVariable)
	if !found {
		return time.Now().UTC(), nil
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fault.InvalidField(epochVariable, "number", "%.40q is no number of seconds", text)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// dashed is a command's name as a page: fairlead-registry-add.
func dashed(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }

// manPage is a command's page in the Markdown that md2man makes a page of.
func manPage(c *cobra.Command, day time.Time, version string) string {
	var b strings.Builder
	say(&b, "%% %q \"1\" %q %q \"Fairlead\"\n", strings.ToUpper(dashed(c)), day.Format("2006-01-02"), "fairlead "+version)
	say(&b, "# NAME\n%s \\- %s\n\n", dashed(c), marked(c.Short))
	say(&b, "# SYNOPSIS\n**%s**\n\n", marked(c.UseLine()))
	say(&b, "# DESCRIPTION\n%s\n\n", manText(c))
	if flags := c.NonInheritedFlags(); flags.HasAvailableFlags() {
		say(&b, "# OPTIONS\n%s", manFlags(flags))
	}
	if flags := c.InheritedFlags(); flags.HasAvailableFlags() {
		say(&b, "# OPTIONS OF EVERY COMMAND\n%s", manFlags(flags))
	}
	say(&b, "# ENVIRONMENT\n%s", manEnvironment)
	say(&b, "# FILES\n%s", manFiles)
	say(&b, "# EXIT STATUS\n%s\n\n", manExit(c))
	if c.Example != "" {
		say(&b, "# EXAMPLES\n```\n%s\n```\n\n", c.Example)
	}
	say(&b, "# SEE ALSO\n%s\n", strings.Join(manSee(c), ", "))
	return b.String()
}

// manText is what a command says of itself, line by line as it is wrapped there.
func manText(c *cobra.Command) string {
	text := c.Long
	if text == "" {
		text = sentenceOf(c.Short)
	}
	return marked(text)
}

func sentenceOf(text string) string {
	if strings.HasSuffix(text, ".") {
		return text
	}
	return text + "."
}

// marked keeps Markdown from reading a text as anything but text.
func marked(text string) string {
	var b strings.Builder
	for _, r := range text {
		if strings.ContainsRune("\\`*_{}[]()#+-.!|&~<>", r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

func manFlags(flags *pflag.FlagSet) string {
	var b strings.Builder
	flags.VisitAll(func(flag *pflag.Flag) {
		if flag.Hidden || flag.Deprecated != "" {
			return
		}
		value, usage := pflag.UnquoteUsage(flag)
		name := "**" + marked("--"+flag.Name) + "**"
		if flag.Shorthand != "" {
			name = "**" + marked("-"+flag.Shorthand) + "**, " + name
		}
		if value != "" {
			name += " *" + marked(value) + "*"
		}
		switch flag.DefValue {
		case "", "0", "0 B", "0s", "false", "[]":
		default:
			usage += " (default " + flag.DefValue + ")"
		}
		say(&b, "%s\n:   %s\n\n", name, marked(usage))
	})
	return b.String()
}

// manEnvironment, manFiles and manExit are what commands have in common.
var manEnvironment = "**" + marked("FAIRLEAD_NAME") + "**\n" +
	":   " + marked("What the option --name is, for each option: FAIRLEAD_DATA_DIR is --data-dir. The command line goes first.") + "\n\n" +
	"**" + marked("FAIRLEAD_SERVER") + "**\n:   The server to speak to, in place of the one of the last login\n\n" +
	"**" + marked(tokenVariable) + "**\n:   The token to show to it, in place of the one of the last login\n\n" +
	"**" + marked(configVariable) + "**\n:   The file of settings\n\n"

var manFiles = "*" + marked(app.DefaultFile) + "*\n:   Settings, in YAML: a name for each option\n\n" +
	"*" + marked("$XDG_CONFIG_HOME/fairlead/login.json") + "*, *" + marked("~/.config/fairlead/login.json") + "*\n" +
	":   The server and the token of the last login\n\n"

func manExit(c *cobra.Command) string {
	text := "0 if all went well, 1 if something failed, 2 for a wrong command line or bad input."
	switch c.CommandPath() {
	case "fairlead run", "fairlead execution rerun", "fairlead execution logs":
		text += " With a log that is followed: the exit code of the step, and 1 if it came to no end of its own."
	}
	return marked(text)
}

// manSee are the pages above and below.
func manSee(c *cobra.Command) (pages []string) {
	page := func(c *cobra.Command) string { return "**" + marked(dashed(c)) + "**(1)" }
	if c.HasParent() {
		pages = append(pages, page(c.Parent()))
	}
	for _, child := range c.Commands() {
		if child.IsAvailableCommand() && child.Name() != "help" {
			pages = append(pages, page(child))
		}
	}
	return pages
}
