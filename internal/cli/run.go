package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"fairlead.dev/fairlead/internal/client"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/source"
	"fairlead.dev/fairlead/internal/valohaiyaml"
	"fairlead.dev/fairlead/internal/wire"
)

// configName is the file that holds a project's steps.
const configName = "valohai.yaml"

// runFlags are the flags of run.
type runFlags struct {
	project     *string
	yaml        string
	parameters  []string
	values      string // file of more of them
	inputs      []string
	environment []string
	image       string
	title       string
	tags        []string
	where       string
	priority    int
	network     string
	memory      string
	shm         string
	cpus        float64
	timeLimit   string
	commit      string
	detach      bool
	dry         bool
	json        *bool
}

func newRun(s *session) *cobra.Command {
	var flags runFlags
	c := &cobra.Command{
		Use:   "run STEP",
		Short: "Run a step of ./valohai.yaml now and follow its log; --dry-run shows its command",
		Long: "Upload the code of this directory, without what .gitignore and .vhignore name, run a step\n" +
			"of its valohai.yaml, and follow the log. The exit code is the step's own; 1 if it never came\n" +
			"to an end of its own. Ctrl-C stops the step.",
		Example: "  fairlead run train -p epochs=5 -p learning_rate=0.01\n" +
			"  fairlead run train --dry-run --parameters-file values.json",
		Args: cobra.ExactArgs(1),
	}
	flags.project = projectFlag(c)
	f := c.Flags()
	f.StringArrayVarP(&flags.parameters, "parameter", "p", nil, "a parameter: NAME=VALUE, or NAME for a flag; may be repeated")
	f.StringVar(&flags.values, "parameters-file", "", "JSON file of parameters; -p goes before it")
	f.StringVar(&flags.yaml, "yaml", configName, "the file with the steps, in this directory or below")
	f.StringArrayVarP(&flags.inputs, "input", "i", nil, "a file of an input: NAME=URL, in place of the step's own; may be repeated")
	f.StringArrayVarP(&flags.environment, "env", "e", nil, "an environment variable: NAME=VALUE; may be repeated")
	f.StringVar(&flags.image, "image", "", "run in this image instead of the step's")
	f.StringVar(&flags.title, "title", "", "title of the execution")
	f.StringArrayVar(&flags.tags, "tag", nil, "a tag of the execution; may be repeated")
	f.StringVar(&flags.where, "environment", "", "run there: an environment's slug or id, its name or a part of it (default: the step's, the project's or the default one)")
	f.IntVar(&flags.priority, "priority", 0, "the highest goes first among the project's queued executions")
	f.StringVar(&flags.network, "network", "host", "host, or none to cut the container off")
	f.StringVar(&flags.memory, "memory", "", "memory that the container may use, such as 512M or 8G (default: all)")
	f.StringVar(&flags.shm, "shm-size", "", "size of /dev/shm in the container, such as 2G (default: 64M)")
	f.Float64Var(&flags.cpus, "cpus", 0, "processors that the container may use, such as 1.5 (default: all)")
	f.StringVar(&flags.timeLimit, "time-limit", "", "end the command after this time, such as 90m (default: the step's own)")
	f.BoolVarP(&flags.detach, "detach", "d", false, "print the execution's id and do not follow it")
	f.Bool("adhoc", false, "upload the code of this directory, which is the default without --commit")
	f.StringVar(&flags.commit, "commit", "", "run at this commit of the project, and upload nothing")
	f.BoolVar(&flags.dry, "dry-run", false, "print the command lines that would run, and ask no server")
	flags.json = jsonFlag(c)
	c.MarkFlagsMutuallyExclusive("commit", "adhoc")
	c.MarkFlagsMutuallyExclusive("commit", "dry-run")
	c.MarkFlagsMutuallyExclusive("commit", "yaml")
	c.RunE = func(c *cobra.Command, args []string) error {
		switch {
		case *flags.json && !flags.dry && !flags.detach:
			return fault.InvalidField("json", "json_follow", "a log that is followed is no JSON").WithHint("Add --detach or --dry-run.")
		case flags.commit != "":
			return runCommit(c, s, args[0], flags)
		default:
			return run(c, s, args[0], flags)
		}
	}
	return c
}

func run(c *cobra.Command, s *session, stepName string, flags runFlags) error {
	step, err := readStep(flags.yaml, stepName)
	if err != nil {
		return err
	}
	values, err := flags.given(step)
	if err != nil {
		return err
	}
	if flags.dry {
		return dryRun(c, step, values, *flags.json)
	}
	draft, err := flags.draft(step, values)
	if err != nil {
		return err
	}
	api, err := s.client()
	if err != nil {
		return err
	}
	defer api.Close()
	project, err := findProject(c, api, *flags.project)
	if err != nil {
		return err
	}
	commit, err := uploadCode(c, api, project, flags.yaml)
	if err != nil {
		return err
	}
	draft.Project, draft.Commit = project.ID, commit
	return start(c, s, api, draft, flags)
}

// runCommit runs a step of code that the server has.
func runCommit(c *cobra.Command, s *session, stepName string, flags runFlags) error {
	api, err := s.client()
	if err != nil {
		return err
	}
	defer api.Close()
	project, err := findProject(c, api, *flags.project)
	if err != nil {
		return err
	}
	commit, err := api.CommitConfig(c.Context(), project.ID, flags.commit)
	if err != nil {
		return err
	}
	file, findings := valohaiyaml.Parse(commit.Identifier, commit.Config)
	if err := findings.Err(); err != nil {
		return err
	}
	step, err := file.FindStep(stepName)
	if err != nil {
		return err
	}
	values, err := flags.given(step)
	if err != nil {
		return err
	}
	draft, err := flags.draft(step, values)
	if err != nil {
		return err
	}
	draft.Project, draft.Commit = project.ID, commit.Identifier
	return start(c, s, api, draft, flags)
}

// start queues an execution, and follows it unless it is to run by itself.
func start(c *cobra.Command, s *session, api *client.Client, draft wire.NewExecution, flags runFlags) error {
	created, err := api.CreateExecution(c.Context(), draft)
	if err != nil {
		return err
	}
	if flags.detach && *flags.json {
		return printJSON(c.OutOrStdout(), created)
	}
	if flags.detach {
		say(c.OutOrStdout(), "%s\n", created.ID)
		return nil
	}
	say(c.ErrOrStderr(), "Execution #%d of %s (%s)\n", created.Counter, harmless(created.Project.Name), created.ID)
	return follow(c, s, api, created.ID)
}

// draft is what the flags say of the execution. What can be known to be wrong
// from the file alone is told before anything is uploaded.
func (f runFlags) draft(step *valohaiyaml.Step, values map[string]valohaiyaml.Value) (wire.NewExecution, error) {
	_, valueErr := step.CheckValues(values)
	environment, environmentErr := readPairs("env", f.environment)
	inputs, inputErr := readLists("input", f.inputs)
	memory, memoryErr := parseMemory("memory", f.memory)
	shm, shmErr := parseMemory("shm-size", f.shm)
	draft := wire.NewExecution{
		Step: step.Name, Image: f.image, Title: f.title, Tags: f.tags, Where: f.where, Priority: f.priority,
		Environment: wire.Texts(environment), Inputs: inputs, Network: f.network, MemoryBytes: memory, ShmBytes: shm, CPUs: f.cpus,
		Parameters: make(map[string]json.RawMessage),
	}
	var limitErr error
	if f.timeLimit != "" {
		draft.TimeLimit, limitErr = parseTimeLimit(f.timeLimit)
	}
	if err := fault.Join(valueErr, environmentErr, inputErr, memoryErr, shmErr, limitErr); err != nil {
		return wire.NewExecution{}, err
	}
	for name, value := range values {
		var err error
		if draft.Parameters[name], err = json.Marshal(value); err != nil {
			return wire.NewExecution{}, fmt.Errorf("sending the parameter %s: %w", name, err)
		}
	}
	return draft, nil
}

// given are the values of the parameters file with those of -p over them.
func (f runFlags) given(step *valohaiyaml.Step) (map[string]valohaiyaml.Value, error) {
	values, fileErr := readValues(f.values)
	typed, err := step.ParseValues(f.parameters)
	if err := fault.Join(fileErr, err); err != nil {
		return nil, err
	}
	maps.Copy(values, typed)
	return values, nil
}

// readStep finds a step in a file of steps.
func readStep(path, name string) (*valohaiyaml.Step, error) {
	text, err := os.ReadFile(filepath.Clean(path))
	if errors.Is(err, os.ErrNotExist) && path == configName {
		dir, _ := os.Getwd()
		return nil, fault.InvalidField("valohai.yaml", "config_missing", "there is none in %s", dir).
			WithHint("Call `fairlead run` in the directory of a project, or name the file with --yaml.")
	}
	if err != nil {
		return nil, fault.InvalidField("yaml", "config_unreadable", "%v", err)
	}
	file, findings := valohaiyaml.Parse(path, text)
	if err := findings.Err(); err != nil {
		return nil, err
	}
	return file.FindStep(name)
}

func readPairs(flag string, settings []string) (map[string]string, error) {
	pairs := make(map[string]string)
	var errs []error
	for _, setting := range settings {
		name, value, found := strings.Cut(setting, "=")
		if !found || name == "" {
			errs = append(errs, fault.InvalidField(flag, "pair", "%q is not NAME=VALUE", setting))
		}
		pairs[name] = value
	}
	return pairs, fault.Join(errs...)
}

// readLists reads settings of which several may have the same name.
func readLists(flag string, settings []string) (map[string][]string, error) {
	lists := make(map[string][]string)
	var errs []error
	for _, setting := range settings {
		name, value, found := strings.Cut(setting, "=")
		if !found || name == "" || value == "" {
			errs = append(errs, fault.InvalidField(flag, "pair", "%q is not NAME=URL", setting))
		}
		lists[name] = append(lists[name], value)
	}
	return lists, fault.Join(errs...)
}

// parseMemory reads a size as Docker's --memory does: powers of two.
func parseMemory(flag, text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	units := map[string]int64{"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
	number := strings.TrimRight(strings.ToLower(text), "bkmgti")
	unit := strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(text)[len(number):], "b"), "i")
	factor, known := units[unit]
	value, err := strconv.ParseFloat(number, 64)
	if err != nil || !known || !(value > 0 && value < 1<<40) {
		return 0, fault.InvalidField(flag, "size", "%q is no size", text).WithHint("Write it as 512M or 8G.")
	}
	return int64(value * float64(factor)), nil
}

func parseTimeLimit(text string) (*int64, error) {
	limit, err := valohaiyaml.ParseDuration(valohaiyaml.TextValue(text))
	if err != nil || limit == nil {
		return nil, fault.InvalidField("time-limit", "duration", "%q is no time", text).WithHint("Write it as 90m or 1h 30m.")
	}
	seconds := int64(limit.Seconds())
	return &seconds, nil
}

// uploadCode gives the server the code of this directory, unless it has it
// already, and returns the commit's identifier.
func uploadCode(c *cobra.Command, api *client.Client, project wire.Project, config string) (string, error) {
	if !filepath.IsLocal(config) {
		return "", fault.InvalidField("yaml", "outside", "%q is not in this directory", config).
			WithHint("Only what is in the directory is uploaded: call `fairlead run` where both are.")
	}
	config = filepath.ToSlash(filepath.Clean(config))
	spool, err := os.CreateTemp("", "fairlead-*.tgz")
	if err != nil {
		return "", fmt.Errorf("packing the code: %w", err)
	}
	defer func() { _ = errors.Join(spool.Close(), os.Remove(spool.Name())) }() // it has served
	manifest, err := source.Pack(c.Context(), ".", spool, source.Options{})
	if err != nil {
		return "", err
	}
	for _, skipped := range manifest.Skipped {
		say(c.ErrOrStderr(), "Left out %s: %s\n", harmless(skipped.Name), harmless(skipped.Reason))
	}
	known, err := api.Commit(c.Context(), project.ID, manifest.Identifier)
	switch {
	case err == nil && known.ConfigPath != config:
		return "", fault.InvalidField("yaml", "yaml_other", "this very code was uploaded before with %s as its file of steps", known.ConfigPath).
			WithHint("Change any file, or run it with --yaml %s.", known.ConfigPath)
	case !fault.Is(err, fault.NotFound):
		return manifest.Identifier, err
	}
	if _, err := spool.Seek(0, io.SeekStart); err != nil {
		return "", fmt.Errorf("sending the code: %w", err)
	}
	const worthAWord = 1 << 20
	if manifest.PackedBytes > worthAWord {
		say(c.ErrOrStderr(), "Uploading %d files, %s\n", manifest.Files, wire.Size(manifest.PackedBytes))
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("sending the code: %w", err)
	}
	commit, err := api.ImportPackage(c.Context(), project.ID, filepath.Base(dir), config, spool)
	return commit.Identifier, err
}

// follow shows an execution's log until it has ended, and gives its exit code.
// The first Ctrl-C stops the execution and goes on showing its end.
func follow(c *cobra.Command, s *session, api *client.Client, id string) error {
	shown := newLogPrinter(s.streams)
	following, cancel := context.WithCancel(context.WithoutCancel(c.Context()))
	defer cancel()
	stopping := context.AfterFunc(c.Context(), func() {
		say(c.ErrOrStderr(), "Stopping the execution; once more to leave it alone\n")
		if _, err := api.Stop(following, id); err != nil && !fault.Is(err, fault.Conflict) {
			cancel()
		}
	})
	defer stopping()
	ended, err := api.Follow(following, id, 0, shown)
	shown.close()
	if err != nil {
		return err
	}
	return exitOf(c, ended)
}

// exitOf is the exit code of an execution that has ended.
func exitOf(c *cobra.Command, ended wire.Execution) error {
	say(c.ErrOrStderr(), "Execution #%d: %s after %s\n", ended.Counter, outcome(ended), lasting(ended.Duration))
	switch {
	case ended.Status == "complete":
		return nil
	case ended.ExitCode != nil && *ended.ExitCode != 0:
		return exitCode(*ended.ExitCode)
	default:
		return exitCode(exitFailed)
	}
}

func outcome(e wire.Execution) string {
	if e.ExitCode != nil && *e.ExitCode != 0 {
		return fmt.Sprintf("%s with exit code %d", e.Status, *e.ExitCode)
	}
	return e.Status
}

// logPrinter shows a log: the command's output where it belongs, Fairlead's own
// lines on standard error, and on a terminal a bar for each layer.
type logPrinter struct {
	streams  IO
	bars     *layerBars
	out, err *lineOutput
}

func newLogPrinter(streams IO) *logPrinter {
	return &logPrinter{
		streams: streams, bars: newLayerBars(streams.Err),
		out: newLineOutput(streams.Out), err: newLineOutput(streams.Err),
	}
}

// Lines shows lines in their order.
func (p *logPrinter) Lines(events []wire.Event) error {
	for _, event := range events {
		if event.Stream == "status" {
			if progress, ok := wire.ParseLayerProgress(event.Message); ok && p.bars.show(progress) {
				continue
			}
		}
		p.bars.finish()
		switch event.Stream {
		case "stdout":
			p.out.line(event.Message)
		default:
			p.err.line(event.Message)
		}
	}
	return errors.Join(p.out.flush(), p.err.flush())
}

// State has nothing to show: the log tells it.
func (p *logPrinter) State(wire.Execution) error { return nil }

func (p *logPrinter) close() { p.bars.finish() }

// lineOutput gathers lines for one stream. On a terminal they are made
// harmless; a file gets what the command wrote.
type lineOutput struct {
	w        io.Writer
	terminal bool
	buffer   bytes.Buffer
}

func newLineOutput(w io.Writer) *lineOutput { return &lineOutput{w: w, terminal: isTerminal(w)} }

func (o *lineOutput) line(text string) {
	if o.terminal {
		text = harmlessInColour(wire.LastOverwrite(text))
	}
	o.buffer.WriteString(text)
	o.buffer.WriteByte('\n')
}

func (o *lineOutput) flush() error {
	if o.buffer.Len() == 0 {
		return nil
	}
	_, err := o.buffer.WriteTo(o.w)
	if err != nil {
		return fmt.Errorf("showing the log: %w", cmp.Or(err, io.ErrShortWrite))
	}
	return nil
}
