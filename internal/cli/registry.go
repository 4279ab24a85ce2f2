package cli

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fairlead.dev/fairlead/internal/client"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/wire"
)

func newRegistry(s *session) *cobra.Command {
	c := &cobra.Command{Use: "registry", Short: "Registry credentials of an organisation (admins only)"}
	c.AddCommand(newRegistryKinds(s), newRegistryAdd(s), newRegistryList(s), newRegistryShow(s), newRegistryUpdate(s),
		newRegistryCheck(s), newRegistryRotate(s), newRegistryRemove(s))
	return c
}

func newRegistryKinds(s *session) *cobra.Command {
	c := &cobra.Command{Use: "kinds", Short: "List the kinds of credential and their fields"}
	asJSON := jsonFlag(c)
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, _ []string) error {
		kinds, err := api.CredentialKinds(c.Context())
		if err != nil || *asJSON {
			if err == nil {
				err = printJSON(c.OutOrStdout(), kinds)
			}
			return err
		}
		var rows [][]string
		for _, kind := range kinds {
			for _, field := range kind.Fields {
				rows = append(rows, []string{kind.Type, field.Name, fieldNote(field), field.Help})
			}
		}
		return table(c.OutOrStdout(), []string{"KIND", "FIELD", "", "WHAT IT IS"}, rows)
	})
	return c
}

func fieldNote(field wire.CredentialField) string {
	var notes []string
	if field.Required {
		notes = append(notes, "required")
	}
	if field.Secret {
		notes = append(notes, "secret")
	}
	return strings.Join(notes, ", ")
}

// credentialFlags are the flags of a credential's fields.
type credentialFlags struct {
	name     string
	patterns []string
	fields   []string
	files    []string
	expires  string
	noCheck  bool
}

func (f *credentialFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.name, "name", "", "name for people (default: the first pattern)")
	c.Flags().StringArrayVar(&f.patterns, "pattern", nil, "images that it serves, such as 'ghcr.io/acme/*'; may be repeated")
	f.addSecrets(c)
	c.Flags().BoolVar(&f.noCheck, "no-check", false, "save it without asking the registry")
}

// addSecrets adds the flags of what is secret and what belongs to it.
func (f *credentialFlags) addSecrets(c *cobra.Command) {
	c.Flags().StringArrayVar(&f.fields, "field", nil, "a field that is no secret: NAME=VALUE; may be repeated")
	c.Flags().StringArrayVar(&f.files, "field-file", nil, "a field, secret or not, read from a file: NAME=FILE; may be repeated")
	c.Flags().StringVar(&f.expires, "expires", "", "day on which the secret expires, such as 2027-01-31")
}

// change is what the flags say. Fields of the kind that are secret and not given
// are asked for, or read from standard input, one a line.
func (f *credentialFlags) change(s *session, kind wire.CredentialKind, ask bool) (wire.CredentialChange, error) {
	unchecked := false // the command itself has the check made, and shows its steps
	change := wire.CredentialChange{ImagePatterns: f.patterns, Configuration: make(map[string]string), Check: &unchecked}
	if f.name != "" {
		change.Name = &f.name
	}
	var errs []error
	for _, setting := range f.fields {
		name, value, err := fieldPair("field", setting)
		if isSecret(kind, name) && err == nil {
			err = fault.InvalidField(name, "secret_on_command_line", "is a secret, and a command line can be read by others").
				WithHint("Leave it out to be asked for it, or give it as --field-file %s=FILE.", name)
		}
		errs = append(errs, err)
		change.Configuration[name] = value
	}
	for _, setting := range f.files {
		name, file, err := fieldPair("field-file", setting)
		if err == nil {
			var text []byte
			if text, err = os.ReadFile(filepath.Clean(file)); err != nil {
				err = fault.InvalidField(name, "file", "%v", err)
			}
			change.Configuration[name] = strings.TrimRight(string(text), "\r\n")
		}
		errs = append(errs, err)
	}
	if f.expires != "" {
		day, err := time.Parse(time.DateOnly, f.expires)
		if err != nil {
			err = fault.InvalidField("expires", "day", "%q is no day", f.expires).WithHint("Write it as 2027-01-31.")
		}
		errs = append(errs, err)
		change.ExpiresAt = wire.NewTime(day)
	}
	if err := fault.Join(errs...); err != nil {
		return wire.CredentialChange{}, err
	}
	if !ask {
		return change, nil
	}
	return change, f.ask(s, kind, change.Configuration)
}

// ask fills in the secrets that were not given: every one that the kind
// requires, or where it requires none of several, the first, which may be left
// empty.
func (f *credentialFlags) ask(s *session, kind wire.CredentialKind, configuration map[string]string) error {
	var asked []wire.CredentialField
	for _, field := range kind.Fields {
		if field.Secret && (field.Required || len(asked) == 0) {
			asked = append(asked, field)
		}
	}
	requires := slices.ContainsFunc(asked, func(field wire.CredentialField) bool { return field.Required })
	if !requires && f.givesSecret(kind) {
		return nil
	}
	p := newPrompt(s.streams)
	for _, field := range asked {
		if _, given := configuration[field.Name]; given || requires && !field.Required {
			continue
		}
		text, err := p.field(field)
		if err != nil {
			return err
		}
		if field.Required || !text.IsEmpty() {
			configuration[field.Name] = text.Reveal()
		}
	}
	return nil
}

// givesSecret reports whether the flags give a secret of the kind, so that none
// need be asked for.
func (f *credentialFlags) givesSecret(kind wire.CredentialKind) bool {
	return slices.ContainsFunc(f.files, func(setting string) bool {
		name, _, _ := strings.Cut(setting, "=")
		return isSecret(kind, name)
	})
}

func fieldPair(flag, setting string) (name, value string, err error) {
	name, value, found := strings.Cut(setting, "=")
	if !found || name == "" {
		return "", "", fault.InvalidField(flag, "pair", "%q is not NAME=VALUE", setting).
			WithHint("`fairlead registry kinds` lists the names.")
	}
	return name, value, nil
}

func isSecret(kind wire.CredentialKind, name string) bool {
	return slices.ContainsFunc(kind.Fields, func(f wire.CredentialField) bool { return f.Name == name && f.Secret })
}

// findKind is a kind by its name.
func findKind(c *cobra.Command, api *client.Client, name string) (wire.CredentialKind, error) {
	kinds, err := api.CredentialKinds(c.Context())
	if err != nil {
		return wire.CredentialKind{}, err
	}
	var names []string
	for _, kind := range kinds {
		if kind.Type == name {
			return kind, nil
		}
		names = append(names, kind.Type)
	}
	return wire.CredentialKind{}, fault.InvalidField("kind", "kind_unknown", "%q is no kind of registry credential", name).
		WithHint("Use one of %s.", strings.Join(names, ", "))
}

func newRegistryAdd(s *session) *cobra.Command {
	var flags credentialFlags
	var owner string
	c := &cobra.Command{
		Use:   "add KIND",
		Short: "Register a credential",
		Long: "Register a credential for an organisation. Secrets are asked for, or read from standard\n" +
			"input, one a line; `fairlead registry kinds` lists the kinds and their fields.",
		Example: "  fairlead registry add docker-hub --pattern 'docker.io/acme/*' --field username=acme\n" +
			"  fairlead registry add generic --pattern 'ghcr.io/acme/*' --field username=bot --field-file password=token.txt",
		Args: cobra.ExactArgs(1),
	}
	flags.add(c)
	c.Flags().StringVar(&owner, "owner", "", "the organisation (default: the only one that you administer)")
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, args []string) error {
		kind, err := findKind(c, api, args[0])
		if err != nil {
			return err
		}
		change, err := flags.change(s, kind, true)
		if err != nil {
			return err
		}
		change.Type = kind.Type
		if owner != "" {
			change.Owner = owner
		}
		created, err := api.CreateCredential(c.Context(), change)
		if err != nil {
			return err
		}
		say(c.OutOrStdout(), "Registered %s: it serves %s.\n", harmless(created.Name), harmless(strings.Join(created.ImagePatterns, ", ")))
		warn(c, created.Warnings)
		return flags.check(c, api, created)
	})
	return c
}

// check checks what was just saved, unless --no-check.
func (f *credentialFlags) check(c *cobra.Command, api *client.Client, saved wire.Credential) error {
	if f.noCheck {
		return nil
	}
	return checkNow(c, api, saved, "", false)
}

func warn(c *cobra.Command, warnings []string) {
	for _, warning := range warnings {
		say(c.ErrOrStderr(), "Warning: %s\n", harmless(warning))
	}
}

func newRegistryList(s *session) *cobra.Command {
	var owner string
	c := &cobra.Command{Use: "list", Short: "List the credentials of the organisations that you administer"}
	c.Flags().StringVar(&owner, "owner", "", "only this organisation's")
	asJSON := jsonFlag(c)
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, _ []string) error {
		all, err := api.Credentials(c.Context(), owner)
		if err != nil {
			return err
		}
		return list(c, *asJSON, all, "There is no registry credential. `fairlead registry add KIND --pattern HOST/PATH/*` registers one.",
			[]string{"NAME", "KIND", "STATE", "PATTERNS", "LAST USED", "EXPIRES", "ID"},
			func(r wire.Credential) []string {
				return []string{r.Name, r.Kind, r.State, strings.Join(r.ImagePatterns, " "), at(r.LastUsedAt), at(ends(r)), r.ID}
			})
	})
	return c
}

// ends is when a credential's secret ends: what was entered or what the last
// check found, whichever is earlier.
func ends(r wire.Credential) *wire.Time {
	if r.Check == nil || r.Check.SecretExpiresAt == nil {
		return r.ExpiresAt
	}
	if r.ExpiresAt == nil || r.Check.SecretExpiresAt.Before(r.ExpiresAt.Time) {
		return r.Check.SecretExpiresAt
	}
	return r.ExpiresAt
}

// findCredential finds a credential by id or by its name.
func findCredential(c *cobra.Command, api *client.Client, key string) (wire.Credential, error) {
	all, err := api.Credentials(c.Context(), "")
	if err != nil {
		return wire.Credential{}, err
	}
	var found []wire.Credential
	for _, credential := range all {
		if credential.ID == key || credential.Name == key {
			found = append(found, credential)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return wire.Credential{}, fault.InvalidField("credential", "credential_unknown", "there is no registry credential %q, or none that you may see", key).
			WithHint("`fairlead registry list` shows yours.")
	default:
		return wire.Credential{}, fault.InvalidField("credential", "credential_ambiguous", "%d credentials are called %q", len(found), key).
			WithHint("Give its id.")
	}
}

func newRegistryShow(s *session) *cobra.Command {
	c := &cobra.Command{Use: "show NAME|ID", Short: "Show a credential, without its secret", Args: cobra.ExactArgs(1)}
	asJSON := jsonFlag(c)
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, args []string) error {
		r, err := findCredential(c, api, args[0])
		if err == nil {
			r, err = api.Credential(c.Context(), r.ID) // a list does not tell all
		}
		if err != nil || *asJSON {
			if err == nil {
				err = printJSON(c.OutOrStdout(), r)
			}
			return err
		}
		rows := [][]string{
			{"name", r.Name},
			{"id", r.ID},
			{"kind", r.Kind},
			{"organisation", fmt.Sprint(r.Owner)},
			{"patterns", strings.Join(r.ImagePatterns, " ")},
		}
		for _, name := range slices.Sorted(maps.Keys(r.Configuration)) {
			rows = append(rows, []string{name, r.Configuration[name]})
		}
		rows = append(rows, []string{"made", at(r.CTime)}, []string{"changed", at(r.MTime)}, []string{"last used", at(r.LastUsedAt)},
			[]string{"expires", at(ends(r))}, []string{"state", checkLine(r)})
		if r.Check != nil && r.Check.Identity != "" {
			rows = append(rows, []string{"known there as", r.Check.Identity})
		}
		if r.Check != nil && r.Check.RateLimit != nil {
			rows = append(rows, []string{"pulls left", fmt.Sprintf("%d of %d", r.Check.RateLimit.Remaining, r.Check.RateLimit.Limit)})
		}
		if r.HeldUntil != nil {
			rows = append(rows, []string{"old secret held until", at(r.HeldUntil)})
		}
		return table(c.OutOrStdout(), []string{"FIELD", "VALUE"}, rows)
	})
	return c
}

func newRegistryUpdate(s *session) *cobra.Command {
	var flags credentialFlags
	var askSecret bool
	c := &cobra.Command{
		Use: "update NAME|ID", Short: "Change a credential; what is not given stays", Args: cobra.ExactArgs(1),
		Example: "  fairlead registry update acme-hub --secret",
	}
	flags.add(c)
	c.Flags().BoolVar(&askSecret, "secret", false, "ask for the secret, or read it from standard input")
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, args []string) error {
		found, err := findCredential(c, api, args[0])
		if err != nil {
			return err
		}
		kind, err := findKind(c, api, found.Kind)
		if err != nil {
			return err
		}
		change, err := flags.change(s, kind, askSecret)
		if err != nil {
			return err
		}
		changed, err := api.ChangeCredential(c.Context(), found.ID, change)
		if err != nil {
			return err
		}
		say(c.OutOrStdout(), "Changed %s.\n", harmless(changed.Name))
		warn(c, changed.Warnings)
		return flags.check(c, api, changed)
	})
	return c
}

func newRegistryRemove(s *session) *cobra.Command {
	c := &cobra.Command{Use: "remove NAME|ID", Aliases: []string{"delete"}, Short: "Forget a credential", Args: cobra.ExactArgs(1)}
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, args []string) error {
		found, err := findCredential(c, api, args[0])
		if err != nil {
			return err
		}
		if err := api.DeleteCredential(c.Context(), found.ID); err != nil {
			return err
		}
		say(c.OutOrStdout(), "Forgot %s. Grants that it gave end by themselves, within minutes.\n", harmless(found.Name))
		return nil
	})
	return c
}
