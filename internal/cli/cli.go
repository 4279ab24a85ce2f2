// Package cli is Fairlead in a shell: one file for each noun's commands. It
// speaks only the API, but for the commands that start a server.
//
// Main runs one command line and gives the exit code: 0 fine, 1 failed, 2 wrong
// use or bad input; `fairlead run` gives the step's own.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"fairlead.dev/fairlead/internal/app"
	"fairlead.dev/fairlead/internal/fault"
)

// Exit codes.
const (
	exitFine   = 0
	exitFailed = 1
	exitUsage  = 2
)

// IO is where a command reads and writes.
type IO struct {
	In  io.Reader
	Out io.Writer
	Err io.Writer
}

// Main runs the command line args, without the program's name, and returns the
// exit code. The first SIGINT or SIGTERM ends the command cleanly, a second one
// at once.
func Main(args []string, version string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // the second signal has its usual effect
	return Run(ctx, args, version, IO{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})
}

// Run is Main with its surroundings given.
func Run(ctx context.Context, args []string, version string, streams IO) int {
	s := &session{version: version, streams: streams}
	root := newRoot(s)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	s.tracer.Close()
	var code exitCode
	switch {
	case err == nil:
		return exitFine
	case errors.As(err, &code):
		return int(code)
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return exitFailed
	default:
		return printError(streams.Err, err)
	}
}

// exitCode ends a command with a code of its own and without a word.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// usageError is a command line that cobra could not read.
type usageError struct{ error }

// printError shows what a person is to know and returns the exit code.
func printError(w io.Writer, err error) int {
	if usage, ok := errors.AsType[usageError](err); ok {
		say(w, "fairlead: %v\n", usage.error)
		return exitUsage
	}
	f := fault.From(err)
	if f.Kind == fault.Internal && f.Code == "internal" && f.Cause != nil {
		// On the user's own machine there is no log to look into.
		say(w, "fairlead: %s\n", harmless(err.Error()))
		return exitFailed
	}
	say(w, "fairlead: %s\n", harmless(f.Sentence()))
	if f.Kind == fault.Invalid {
		return exitUsage
	}
	return exitFailed
}

// say writes for a person; a stream that is closed has nobody to tell.
func say(w io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }

func newRoot(s *session) *cobra.Command {
	root := &cobra.Command{
		Use:   "fairlead",
		Short: "Run valohai.yaml steps on private container images",
		Long: "Fairlead runs the steps of a valohai.yaml on private container images, with registry\n" +
			"credentials that an organisation's admin sets up once.\n\n" +
			"Every flag can also be given as a variable FAIRLEAD_NAME (--data-dir: FAIRLEAD_DATA_DIR),\n" +
			"and in a YAML file: --config, or " + app.DefaultFile + ". The command line goes first,\n" +
			"then the variables, then the file.",
		Version:       s.version,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetIn(s.streams.In)
	root.SetOut(s.streams.Out)
	root.SetErr(s.streams.Err)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w\nSee `%s --help`", err, c.CommandPath())}
	})
	flags := root.PersistentFlags()
	flags.StringVar(&s.file, "config", app.DefaultFile, "YAML file of settings")
	flags.StringVar(&s.server, "server", "", "address of the server (default: where you signed in)")
	root.PersistentPreRunE = func(c *cobra.Command, _ []string) error { return s.settle(c) }
	root.AddCommand(
		newServe(s), newDemo(s), newWorker(s),
		newLogin(s), newLogout(s), newSessions(s), newTOTP(s),
		newRun(s), newExecution(s), newLint(s), newExplain(s), newCheck(s),
		newRegistry(s), newOrganization(s), newInvitation(s), newUser(s), newProject(s), newEnvironment(s), newNotice(s), newToken(s), newWorkerToken(s),
		newCache(s), newKeys(s), newAudit(s), newDoctor(s),
		newCompletion(s), newMan(s),
	)
	for _, c := range everyCommand(root) {
		explainArgs(c)
		complete(s, c)
	}
	return root
}

// everyCommand is root and all below it.
func everyCommand(root *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{root}
	for _, c := range root.Commands() {
		all = append(all, everyCommand(c)...)
	}
	return all
}

// explainArgs makes wrong arguments a usage error, and an unknown command of a
// noun one too, where cobra would print the help and be content.
func explainArgs(c *cobra.Command) {
	check := c.Args
	if check == nil {
		check = cobra.NoArgs
	}
	c.Args = func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			return usageError{fmt.Errorf("%w\nUsage: %s", err, c.UseLine())}
		}
		return nil
	}
	if c.Run == nil && c.RunE == nil {
		c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	}
}
