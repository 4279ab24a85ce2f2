package api

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/registry"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/wire"
)

func (d *door) listCredentialKinds(_ context.Context, v *visit, in *Page) (wire.List[wire.CredentialKind], error) {
	return pageOf(v, *in, each(d.config.Registries.Kinds(), func(kind registry.Kind) wire.CredentialKind {
		return wire.CredentialKind{Type: kind.Name, Title: kind.Title, Fields: each(kind.Fields, func(field registry.Field) wire.CredentialField {
			return wire.CredentialField{
				Name: field.Name, Title: field.Title, Help: field.Help, Secret: field.Secret, Required: field.Required,
				Lines: field.Lines, Advanced: field.Advanced,
			}
		})}
	})), nil
}

type credentialsQuery struct {
	Organization string `query:"organization" doc:"Name or number; absent: of all that I administer"`
	Page
}

func (d *door) listCredentials(ctx context.Context, v *visit, in *credentialsQuery) (list wire.List[wire.Credential], err error) {
	credentials, err := d.config.Registries.List(ctx, v.actor, in.Organization)
	if err != nil {
		return list, err
	}
	return pageOf(v, in.Page, each(credentials, func(c registry.Credential) wire.Credential { return d.credential(v, c) })), nil
}

type credentialKey struct {
	Credential string `path:"credential"`
}

func (d *door) getCredential(ctx context.Context, v *visit, in *credentialKey) (wire.Credential, error) {
	credential, err := d.config.Registries.Get(ctx, v.actor, in.Credential)
	if err != nil {
		return wire.Credential{}, err
	}
	return d.shownCredential(ctx, v, credential), nil
}

func (d *door) createCredential(ctx context.Context, v *visit, in *struct{ Body wire.CredentialChange }) (wire.Credential, error) {
	owner, err := ownerOf(in.Body.Owner)
	if err != nil {
		return wire.Credential{}, err
	}
	if in.Body.Type == "" {
		return wire.Credential{}, fault.InvalidField("type", "required", "is required")
	}
	material, err := d.material(in.Body.Configuration, in.Body.Type)
	if err != nil {
		return wire.Credential{}, err
	}
	draft := registry.Draft{
		Organization: owner, Kind: in.Body.Type, Patterns: patternsOf(in.Body), Material: material, ExpiresAt: in.Body.ExpiresAt.Or(),
		SkipCheck: in.Body.Check != nil && !*in.Body.Check,
	}
	if in.Body.Name != nil {
		draft.Name = *in.Body.Name
	}
	credential, warnings, err := d.config.Registries.Create(ctx, v.actor, draft)
	if err != nil {
		return wire.Credential{}, renamed(err, "kind", "type")
	}
	shown := d.shownCredential(ctx, v, credential)
	shown.Warnings = warnings
	return shown, nil
}

type credentialChange struct {
	Credential string `path:"credential"`
	Body       wire.CredentialChange
}

func (d *door) changeCredential(ctx context.Context, v *visit, in *credentialChange) (wire.Credential, error) {
	credential, err := d.config.Registries.Get(ctx, v.actor, in.Credential)
	if err != nil {
		return wire.Credential{}, err
	}
	if err := d.sameCredential(ctx, v.actor, credential, in.Body); err != nil {
		return wire.Credential{}, err
	}
	change := registry.Change{Name: in.Body.Name, Patterns: patternsOf(in.Body), SkipCheck: in.Body.Check != nil && !*in.Body.Check}
	if in.Body.ExpiresAt != nil {
		change.ExpiresAt = &in.Body.ExpiresAt.Time
	}
	if in.Body.Configuration != nil {
		material, err := d.material(in.Body.Configuration, credential.Kind, in.Body.Type)
		if err != nil {
			return wire.Credential{}, err
		}
		change.Material = &material
	}
	credential, warnings, err := d.config.Registries.Update(ctx, v.actor, in.Credential, change)
	if err != nil {
		return wire.Credential{}, err
	}
	shown := d.shownCredential(ctx, v, credential)
	shown.Warnings = warnings
	return shown, nil
}

func (d *door) deleteCredential(ctx context.Context, v *visit, in *credentialKey) error {
	return d.config.Registries.Delete(ctx, v.actor, in.Credential)
}

// sameCredential refuses a change of what cannot change: the kind and the
// organisation. Clients that send the whole thing repeat them.
func (d *door) sameCredential(ctx context.Context, actor account.Actor, credential registry.Credential, change wire.CredentialChange) error {
	if change.Type != "" && !slices.ContainsFunc(d.kindsCalled(change.Type), func(kind registry.Kind) bool { return kind.Name == credential.Kind }) {
		return fault.InvalidField("type", "type_fixed", "is %s and cannot be changed to %.80q", credential.Kind, change.Type).
			WithHint("Add another credential, then delete this one.")
	}
	owner, err := ownerOf(change.Owner)
	if err != nil || owner == "" {
		return err
	}
	organization, err := d.config.Accounts.Organization(ctx, actor, owner)
	if err != nil {
		return err
	}
	if organization.ID != credential.OrganizationID {
		return fault.InvalidField("owner", "owner_fixed", "cannot be changed").WithHint("Add the credential to %s instead.", organization.Name)
	}
	return nil
}

// kindsCalled are the kinds that a client may mean by a name: the kind of that
// name, or those that other clients call so.
func (d *door) kindsCalled(name string) []registry.Kind {
	return slices.DeleteFunc(slices.Clone(d.config.Registries.Kinds()), func(kind registry.Kind) bool {
		return kind.Name != name && !slices.Contains(kind.LegacyNames, name)
	})
}

// typeOf is what existing clients call a kind, and its own name where they know
// none.
func (d *door) typeOf(kind string) string {
	for _, known := range d.config.Registries.Kinds() {
		if known.Name == kind && len(known.LegacyNames) > 0 {
			return known.LegacyNames[0]
		}
	}
	return kind
}

// configurationVersion is what existing clients send as the version of the
// configuration's form; there is no other.
const configurationVersion = "1"

// material tells a configuration's secrets from its open fields, by any name of
// the kind. A field that the kind does not know is left to the kind, which names
// it.
func (d *door) material(configuration map[string]string, names ...string) (registry.Material, error) {
	material := registry.Material{Config: make(map[string]string), Secrets: make(map[string]secret.Text)}
	secrets := make(map[string]bool)
	for _, name := range names {
		for _, kind := range d.kindsCalled(name) {
			for _, field := range kind.Fields {
				secrets[field.Name] = secrets[field.Name] || field.Secret
			}
		}
	}
	for name, value := range configuration {
		switch {
		case name == "version" && value == configurationVersion:
		case name == "version":
			return material, fault.InvalidField(name, "version", "%.20q is no version of a configuration: use %s", value, configurationVersion)
		case secrets[name]:
			material.Secrets[name] = secret.New(value)
		default:
			material.Config[name] = value
		}
	}
	return material, nil
}

// patternsOf are the patterns of a change, and nil where it has none.
func patternsOf(change wire.CredentialChange) []string {
	if change.ImagePattern == "" || slices.Contains(change.ImagePatterns, change.ImagePattern) {
		return change.ImagePatterns
	}
	return append([]string{change.ImagePattern}, change.ImagePatterns...)
}

// ownerOf reads an organisation's number or name.
func ownerOf(owner any) (string, error) {
	switch owner := owner.(type) {
	case nil:
		return "", nil
	case string:
		return owner, nil
	case json.Number:
		return owner.String(), nil
	case float64:
		if owner == float64(int64(owner)) {
			return strconv.FormatInt(int64(owner), 10), nil
		}
	}
	return "", fault.InvalidField("owner", "invalid", "must be an organisation's number or name")
}

func (d *door) credential(v *visit, credential registry.Credential) wire.Credential {
	shown := wire.Credential{
		ID: credential.ID, URL: v.resource("registry-credentials", credential.ID), Name: credential.Name,
		Kind: credential.Kind, Type: d.typeOf(credential.Kind),
		ImagePatterns: each(credential.Patterns, image.Pattern.String), Owner: credential.OrganizationID,
		Configuration: orEmptyMap(credential.Config),
		CTime:         wire.NewTime(credential.CreatedAt), MTime: wire.NewTime(credential.UpdatedAt),
		ExpiresAt: wire.NewTime(credential.ExpiresAt), LastUsedAt: wire.NewTime(credential.LastUsedAt),
		State: string(credential.State(d.config.Now())), Check: checkOf(credential),
	}
	if len(shown.ImagePatterns) > 0 {
		shown.ImagePattern = shown.ImagePatterns[0]
	}
	return shown
}
