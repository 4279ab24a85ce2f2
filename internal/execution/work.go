package execution

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/valohaiyaml"
)

// variables are those of a project: the open ones, and the names of secret ones.
type variables struct {
	plain  map[string]string
	secret []string
}

// of are the variables of an execution, and the names of the project's secret
// ones that it gets besides. What the run gives goes before what the step does,
// and that before the project's.
func (v variables) of(step *valohaiyaml.Step, given map[string]string) (environment map[string]string, secrets []string, err error) {
	set := make(map[string]string, len(given)+len(v.plain))
	maps.Copy(set, given)
	add := func(name, value string) bool {
		_, isGiven := given[name]
		hasDefault := slices.ContainsFunc(step.EnvironmentVariables, func(d valohaiyaml.EnvironmentVariable) bool {
			return d.Name == name && d.Default != nil
		})
		if isGiven || hasDefault {
			return false
		}
		set[name] = value
		return true
	}
	for name, value := range v.plain {
		add(name, value)
	}
	for _, name := range v.secret {
		if add(name, "") { // as good as given to a step that requires it
			secrets = append(secrets, name)
		}
	}
	environment, err = step.Variables(set)
	for _, name := range secrets {
		delete(environment, name)
	}
	return environment, secrets, err
}

// noGroups refuses groups of variables: this server knows none.
func noGroups(step *valohaiyaml.Step, draft Draft) error {
	groups := draft.VariableGroups
	if groups == nil {
		groups = step.EnvironmentVariableGroups
	}
	if len(groups) == 0 {
		return nil
	}
	return fault.InvalidField("environment_variable_groups", "variable_group_unknown", "there is no group of environment variables %.80q", groups[0]).
		WithHint("Give the project the variables themselves: `fairlead project set-variable`.")
}

// newWork fills the step with the draft's values and the project's variables.
func newWork(step *valohaiyaml.Step, draft Draft, ofProject variables) (Work, error) {
	name := step.Image
	if draft.Image != "" {
		name = draft.Image
	}
	_, imageErr := image.ParseReference(name)
	_, conditionErr := valohaiyaml.ParseCondition(step.StopCondition)
	values, valueErr := step.CheckValues(draft.Parameters)
	environment, secrets, variableErr := ofProject.of(step, draft.Environment)
	work := Work{
		Step: step.Name, Image: name, Environment: environment, SecretEnvironment: secrets,
		NoNetwork: draft.NoNetwork, Devices: step.Resources.Devices, StopCondition: step.StopCondition,
	}
	work.limit(step, draft)
	mountErr := work.mount(step)
	err := fault.Join(imageErr, conditionErr, valueErr, variableErr, mountErr, validEnvironment(environment), work.validLimits(), noGroups(step, draft))
	if err != nil {
		return Work{}, err
	}
	command, err := step.Command(values)
	if err != nil {
		return Work{}, err
	}
	if len(command.Script) > scriptMost {
		return Work{}, fault.InvalidField("parameters", "long", "the command has %d bytes with its parameters; at most %d are run", len(command.Script), scriptMost)
	}
	work.Commands, work.Script, work.Parameters = command.Lines, command.Script, values
	return work, nil
}

// mount takes over the step's mounts.
func (w *Work) mount(step *valohaiyaml.Step) error {
	for _, mount := range step.Mounts {
		if mount.Type != "" {
			return fault.InvalidField("mounts", "mount_type", "the mount %s is of type %.40q, and a worker mounts only its own directories", mount.Destination, mount.Type).
				WithHint("Mount the file system on the worker, and name its directory as the source.")
		}
		w.Mounts = append(w.Mounts, Mount{Source: mount.Source, Destination: mount.Destination, ReadOnly: mount.ReadOnly})
	}
	return nil
}

// limit sets the limits that the run gives, or else the step.
func (w *Work) limit(step *valohaiyaml.Step, draft Draft) {
	w.MemoryBytes, w.CPUs, w.ShmBytes = draft.MemoryBytes, draft.CPUs, draft.ShmBytes
	if w.MemoryBytes == 0 && step.Resources.Memory.Max != nil {
		w.MemoryBytes = int64(*step.Resources.Memory.Max * 1e6)
	}
	if w.CPUs == 0 && step.Resources.CPU.Max != nil {
		w.CPUs = *step.Resources.CPU.Max
	}
	if step.NoOutputTimeout != nil {
		w.NoOutputTimeout = *step.NoOutputTimeout
	}
	switch {
	case draft.TimeLimit != nil:
		w.TimeLimit = *draft.TimeLimit
	case step.TimeLimit != nil:
		w.TimeLimit = max(0, *step.TimeLimit) // a negative one is none, as for the original
	}
}

func validEnvironment(variables map[string]string) error {
	if len(variables) > environmentMost {
		return fault.InvalidField("environment_variables", "many", "%d variables; at most %d", len(variables), environmentMost)
	}
	for name, value := range variables {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.Contains(value, "\x00") {
			return fault.InvalidField("environment_variables", "name", "%.80q is no name of a variable, or its value holds a null byte", name)
		}
	}
	return nil
}

// memoryLeast is what a container needs to start at all, in bytes.
const memoryLeast = 6 << 20

// validLimits refuses what no container can be limited to, whether the run or the
// step says so.
func (w Work) validLimits() error {
	var errs []error
	if w.MemoryBytes != 0 && w.MemoryBytes < memoryLeast {
		errs = append(errs, fault.InvalidField("memory", "small", "%d bytes are less than a container needs; at least %d", w.MemoryBytes, memoryLeast))
	}
	if w.CPUs < 0 || w.CPUs > 0 && w.CPUs < 0.01 {
		errs = append(errs, fault.InvalidField("cpus", "small", "%s is not at least 0.01", fmt.Sprint(w.CPUs)))
	}
	if w.ShmBytes < 0 {
		errs = append(errs, fault.InvalidField("shm_bytes", "negative", "%d is negative", w.ShmBytes))
	}
	if w.TimeLimit < 0 {
		errs = append(errs, fault.InvalidField("time_limit", "negative", "%s is negative", w.TimeLimit))
	}
	return fault.Join(errs...)
}
