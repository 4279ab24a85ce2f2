package project

import (
	"context"
	"slices"
	"strings"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/secret"
)

// Bounds of variables.
const (
	variablesMost    = 1000
	variableNameMost = 200
	variableMost     = 64 << 10 // bytes of a value
)

// SetVariable gives every execution of the project that is started from now on a
// variable. The value of a secret one is never shown again.
func (s *Service) SetVariable(ctx context.Context, actor account.Actor, key, name string, value secret.Text, isSecret bool) error {
	project, err := s.accounts.Project(ctx, actor, key)
	if err != nil {
		return err
	}
	if err := fault.Join(validName(name), validValue(value)); err != nil {
		return err
	}
	variables, err := s.store.Variables(ctx, project.ID)
	if err != nil {
		return err
	}
	variable := Variable{ProjectID: project.ID, Name: name, Secret: isSecret, Version: versionAt(s.now())}
	known := slices.ContainsFunc(variables, func(v Variable) bool { return v.Name == name })
	if !known && len(variables) >= variablesMost {
		return fault.New(fault.Exhausted, "variables_many", "the project %s has %d variables, and has no room for more", project.Name, len(variables)).
			WithHint("Delete one that is no longer needed.")
	}
	defer s.sealing.Begin()()
	if isSecret {
		if variable.Sealed, err = s.sealer.SealSecret(value, variable.Place()); err != nil {
			return err
		}
	} else {
		variable.Value = value.Reveal()
	}
	event := s.event(actor, audit.ProjectVariable, project)
	event.Details["variable"] = name
	return s.store.SetVariable(ctx, variable, event)
}

// DeleteVariable takes a variable away from what is started from now on.
func (s *Service) DeleteVariable(ctx context.Context, actor account.Actor, key, name string) error {
	project, err := s.accounts.Project(ctx, actor, key)
	if err != nil {
		return err
	}
	event := s.event(actor, audit.ProjectVariable, project)
	event.Details["variable"], event.Details["deleted"] = name, "true"
	err = s.store.DeleteVariable(ctx, project.ID, name, event)
	if fault.Is(err, fault.NotFound) {
		err = fault.New(fault.NotFound, "variable_unknown", "the project %s has no variable %.80q", project.Name, name).
			WithHint("`fairlead project variables %s` lists them.", project.Name)
	}
	return err
}

// Variables are the project's, by name, without the values of secret ones.
func (s *Service) Variables(ctx context.Context, project account.Project) ([]Variable, error) {
	return s.store.Variables(ctx, project.ID)
}

// PlainVariables are as an execution is made with them: the open ones by name, and
// the names of the secret ones.
func (s *Service) PlainVariables(ctx context.Context, projectID string) (plain map[string]string, secrets []string, err error) {
	variables, err := s.store.Variables(ctx, projectID)
	plain = make(map[string]string)
	for _, variable := range variables {
		if variable.Secret {
			secrets = append(secrets, variable.Name)
		} else {
			plain[variable.Name] = variable.Value
		}
	}
	return plain, secrets, err
}

// SecretVariables are the values of the secret ones among names, for the worker
// that runs an execution of the project. One that was deleted since is left out.
func (s *Service) SecretVariables(ctx context.Context, projectID string, names []string) (map[string]secret.Text, error) {
	if len(names) == 0 {
		return nil, nil
	}
	variables, err := s.store.Variables(ctx, projectID)
	if err != nil {
		return nil, err
	}
	wanted := make(map[string]bool, len(names))
	for _, name := range names {
		wanted[name] = true
	}
	values := make(map[string]secret.Text, len(names))
	for _, variable := range variables {
		if !variable.Secret || !wanted[variable.Name] {
			continue
		}
		if values[variable.Name], err = s.sealer.OpenSecret(variable.Sealed, variable.Place()); err != nil {
			return nil, fault.New(fault.Internal, "seal_broken", "the secret variable %s of the project does not open", variable.Name).
				WithHint("It was sealed with a key that this server does not have, or its row was altered. Put the key file back, or set the variable anew with `fairlead project set-variable`.").
				WithCause(err)
		}
	}
	return values, nil
}

// SetDefaultEnvironment sets where executions of the project run that name no
// environment; "" is the installation's default.
func (s *Service) SetDefaultEnvironment(ctx context.Context, actor account.Actor, key, environment string) error {
	project, err := s.accounts.Project(ctx, actor, key)
	if err != nil {
		return err
	}
	id := ""
	if environment != "" {
		found, err := s.accounts.EnvironmentFor(ctx, project, environment)
		if err != nil {
			return err
		}
		id = found.ID
	}
	event := s.event(actor, audit.ProjectUpdate, project)
	event.Details["default_environment"] = environment
	return s.store.SetDefaultEnvironment(ctx, project.ID, id, event)
}

func validName(name string) error {
	if name == "" || len(name) > variableNameMost || strings.ContainsAny(name, "=\x00 \t\r\n") {
		return fault.InvalidField("name", "variable_name", "%.80q is no name of a variable: one has 1 to %d bytes, and no =, space or line break", name, variableNameMost)
	}
	return nil
}

func validValue(value secret.Text) error {
	text := value.Reveal()
	if len(text) > variableMost || strings.Contains(text, "\x00") {
		return fault.InvalidField("value", "variable_value", "a value has at most %d bytes, and no null byte", variableMost)
	}
	return nil
}
