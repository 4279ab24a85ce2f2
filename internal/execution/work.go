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
	values, valueErr := step.CheckValues(draft.Parameters)
	environment, secrets, variableErr := ofProject.of(step, draft.Environment)
	if err := fault.Join(imageErr, valueErr, variableErr, validEnvironment(environment), validLimits(draft), noGroups(step, draft)); err != nil {
		return Work{}, err
	}
	command, err := step.Command(values)
	if err != nil {
		return Work{}, err
	}
	if len(command.Script) > scriptMost {
		return Work{}, fault.InvalidField("parameters", "long", "the command has %d bytes with its parameters; at most %d are run", len(command.Script), scriptMost)
	}
	work := Work{
		Step: step.Name, Image: name,
		Commands: command.Lines, Script: command.Script, Parameters: values, Environment: environment, SecretEnvironment: secrets,
		MemoryBytes: draft.MemoryBytes, CPUs: draft.CPUs, ShmBytes: draft.ShmBytes, NoNetwork: draft.NoNetwork,
		Devices: step.Resources.Devices,
	}
	for _, mount := range step.Mounts {
		if mount.Type != "" {
			return Work{}, fault.InvalidField("mounts", "mount_type", "the mount %s is of type %.40q, and a worker mounts only its own directories", mount.Destination, mount.Type).
				WithHint("Mount the file system on the worker, and name its directory as the source.")
		}
		work.Mounts = append(work.Mounts, Mount{Source: mount.Source, Destination: mount.Destination, ReadOnly: mount.ReadOnly})
	}
	if step.NoOutputTimeout != nil {
		work.NoOutputTimeout = *step.NoOutputTimeout
	}
	if step.TimeLimit != nil {
		work.TimeLimit = *step.TimeLimit
	}
	if draft.TimeLimit != nil {
		work.TimeLimit = *draft.TimeLimit
	}
	if work.MemoryBytes == 0 && step.Resources.Memory.Max != nil {
		work.MemoryBytes = int64(*step.Resources.Memory.Max * 1e6)
	}
	if work.CPUs == 0 && step.Resources.CPU.Max != nil {
		work.CPUs = *step.Resources.CPU.Max
	}
	return work, nil
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

func validLimits(draft Draft) error {
	const memoryLeast = 4 << 20 // what a container needs to start at all
	var errs []error
	if draft.MemoryBytes != 0 && draft.MemoryBytes < memoryLeast {
		errs = append(errs, fault.InvalidField("memory", "small", "%d bytes are less than a container needs; at least %d", draft.MemoryBytes, memoryLeast))
	}
	if draft.CPUs < 0 || draft.CPUs > 0 && draft.CPUs < 0.01 {
		errs = append(errs, fault.InvalidField("cpus", "small", "%s is not at least 0.01", fmt.Sprint(draft.CPUs)))
	}
	if draft.ShmBytes < 0 {
		errs = append(errs, fault.InvalidField("shm_bytes", "negative", "%d is negative", draft.ShmBytes))
	}
	if draft.TimeLimit != nil && *draft.TimeLimit < 0 {
		errs = append(errs, fault.InvalidField("time_limit", "negative", "%s is negative", *draft.TimeLimit))
	}
	return fault.Join(errs...)
}
