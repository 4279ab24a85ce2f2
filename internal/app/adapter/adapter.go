// Package adapter fits the tools to the interfaces of those who use them: the
// vault to what seals credentials, and the catalogue of kinds to what checks
// and trades them. It decides nothing.
package adapter

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"fairlead.dev/fairlead/internal/broker"
	"fairlead.dev/fairlead/internal/grant"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/registry"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/vault"
)

// Sealer is a vault as a registry.Sealer: a credential's secrets are sealed as
// one JSON object.
type Sealer struct{ Vault *vault.Vault }

// Seal seals the material's secrets for a place.
func (s Sealer) Seal(material registry.Material, place registry.Place) (registry.Sealed, error) {
	open := make(map[string]string, len(material.Secrets))
	for name, value := range material.Secrets {
		open[name] = value.Reveal()
	}
	text, err := json.Marshal(open)
	if err != nil {
		return registry.Sealed{}, fmt.Errorf("sealing a credential: %w", err)
	}
	sealed, err := s.Vault.Seal(secret.New(string(text)), vault.Binding(place))
	return registry.Sealed(sealed), err
}

// Open gives the secrets that were sealed for that place.
func (s Sealer) Open(sealed registry.Sealed, place registry.Place) (map[string]secret.Text, error) {
	text, err := s.Vault.Open(vault.Sealed(sealed), vault.Binding(place))
	if err != nil {
		return nil, err
	}
	var secrets map[string]secret.Text
	if json.Unmarshal([]byte(text.Reveal()), &secrets) != nil { // its error would show the text
		return nil, fmt.Errorf("opening the credential %s: what was sealed are no secrets", place.CredentialID)
	}
	return secrets, nil
}

// What other clients of the API call a kind and its secret, where Fairlead has
// two kinds and two names.
const (
	legacyDocker   = "docker"
	legacyPassword = "password"
	dockerHub      = "docker-hub"
	accessToken    = "access_token"
)

// Kinds is a catalogue as registry.Kinds.
type Kinds struct{ Catalogue *grant.Catalogue }

// Describe lists the kinds in the order of a form.
func (k Kinds) Describe() []registry.Kind {
	var kinds []registry.Kind
	for _, description := range k.Catalogue.Describe() {
		kind := registry.Kind{
			Name: description.Name, Title: description.Title, Help: description.Help, LegacyNames: slices.Clone(description.LegacyNames),
			Patterns: description.Patterns, Pasted: k.Catalogue.Pasted(description.Name), Renews: k.Catalogue.Renews(description.Name),
		}
		if kind.Name == dockerHub {
			kind.LegacyNames = append(kind.LegacyNames, legacyDocker)
		}
		for _, field := range description.Fields {
			kind.Fields = append(kind.Fields, registry.Field{
				Name: field.Name, Title: field.Title, Help: field.Help, Secret: field.Secret, Required: field.Required,
				Lines: field.Lines, Advanced: field.Advanced, Example: field.Example, Choices: field.Choices,
			})
		}
		kinds = append(kinds, kind)
	}
	return kinds
}

// Normalise checks a credential's fields as its kind wants them. Patterns that
// are none say nothing about the kind.
func (k Kinds) Normalise(kind string, patterns []string, material registry.Material) (registry.Normalised, error) {
	var hosts []string
	for _, text := range patterns {
		if pattern, err := image.ParsePattern(text); err == nil {
			hosts = append(hosts, pattern.Host())
		}
	}
	name, err := k.Catalogue.Resolve(kind, hosts...)
	if err != nil {
		return registry.Normalised{}, err
	}
	if name == dockerHub {
		material = withAccessToken(material)
	}
	normal, warnings, err := k.Catalogue.Normalise(name, grant.Material(material))
	if err != nil {
		return registry.Normalised{}, err
	}
	return registry.Normalised{Kind: name, Material: registry.Material(normal), Warnings: warnings}, nil
}

// withAccessToken gives a password for Docker Hub, as other clients send it, the
// name of the field that it belongs into.
func withAccessToken(material registry.Material) registry.Material {
	password, given := material.Secrets[legacyPassword]
	if !given {
		return material
	}
	secrets := map[string]secret.Text{accessToken: password}
	for name, value := range material.Secrets {
		if name != legacyPassword && name != accessToken {
			secrets[name] = value
		}
	}
	return registry.Material{Config: material.Config, Secrets: secrets}
}

// Check asks the registry what a credential is good for.
func (k Kinds) Check(ctx context.Context, request registry.CheckRequest) (registry.Check, error) {
	asked := grant.CheckRequest{Material: grant.Material(request.Material), Patterns: request.Patterns, Image: request.Image}
	if request.Tell != nil {
		asked.Tell = func(step grant.Step) { request.Tell(checkStep(step)) }
	}
	report, err := k.Catalogue.Check(ctx, request.Kind, asked)
	if err != nil {
		return registry.Check{}, err
	}
	check := registry.Check{
		At: report.StartedAt, Took: report.Took, Identity: report.Identity,
		Repositories: report.Repositories, Listed: report.Listed,
		SecretExpiresAt: report.ExpiresAt, SecretCreatedAt: report.CreatedAt,
	}
	for _, step := range report.Steps {
		check.Steps = append(check.Steps, checkStep(step))
	}
	if limit := report.RateLimit; limit != nil {
		check.RateLimit = &registry.RateLimit{Limit: limit.Limit, Remaining: limit.Remaining, Window: limit.Window, Source: limit.Source}
	}
	return check, nil
}

func checkStep(step grant.Step) registry.CheckStep {
	return registry.CheckStep{
		Question: string(step.Question), Result: registry.CheckResult(step.Result), Code: step.Code,
		Sentence: step.Sentence, Hint: step.Hint, Policy: step.Policy, Took: step.Took,
	}
}

// Renew has the registry make a new secret.
func (k Kinds) Renew(ctx context.Context, kind string, material registry.Material) (registry.Material, error) {
	fresh, err := k.Catalogue.Renew(ctx, kind, grant.Material(material))
	return registry.Material(fresh), err
}

// Retire ends the old secret.
func (k Kinds) Retire(ctx context.Context, kind string, old, fresh registry.Material) error {
	return k.Catalogue.Retire(ctx, kind, grant.Material(old), grant.Material(fresh))
}

// Paste finds a kind's fields in what its cloud gives in one piece.
func (k Kinds) Paste(kind string, text secret.Text) (registry.Pasted, error) {
	found, err := k.Catalogue.Paste(kind, text)
	return registry.Pasted{Material: registry.Material(found.Material), Host: found.Host}, err
}

// Policy is the least rights that a credential needs.
func (k Kinds) Policy(kind string, config map[string]string, patterns []image.Pattern) string {
	return k.Catalogue.Policy(kind, config, patterns)
}

// Issuer is a catalogue as a broker.Issuer.
type Issuer struct{ Catalogue *grant.Catalogue }

// Issue trades a credential for a grant.
func (i Issuer) Issue(ctx context.Context, kind string, ref image.Reference, material registry.Material, kept bool) (broker.Grant, error) {
	issued, err := i.Catalogue.Issue(ctx, kind, grant.Request{Image: ref, Material: grant.Material(material), Kept: kept})
	return grantOf(issued), err
}

// Anonymous gets a grant without a credential.
func (i Issuer) Anonymous(ctx context.Context, ref image.Reference) (broker.Grant, error) {
	issued, err := i.Catalogue.Anonymous(ctx, ref)
	return grantOf(issued), err
}

// Resolve asks the registry with a grant what an image is now.
func (i Issuer) Resolve(ctx context.Context, ref image.Reference, given broker.Grant) (string, error) {
	return i.Catalogue.Digest(ctx, ref, authorizationOf(given), grant.Material{Config: map[string]string{
		"proxy": given.Reach.Proxy, "ca": given.Reach.CA, "addresses": given.Reach.Addresses,
	}})
}

// authorizationOf is what a grant shows to its registry.
func authorizationOf(given broker.Grant) oci.Authorization {
	switch oci.Scheme(given.Scheme) {
	case oci.SchemeBearer:
		return oci.Bearer(given.Secret)
	case oci.SchemeBasic:
		return oci.Basic(given.User, given.Secret)
	default:
		return oci.Anonymous
	}
}

func grantOf(issued grant.Grant) broker.Grant {
	given := broker.Grant{
		Host: issued.Host, Repository: issued.Repository,
		Scheme: string(issued.Authorization.Scheme()), User: issued.Authorization.User(), Secret: issued.Authorization.Secret(),
		IssuedAt: issued.IssuedAt, ExpiresAt: issued.ExpiresAt, RefreshAt: issued.RefreshAt, Narrow: issued.Narrow,
		Reach: reachOf(issued.Reach),
	}
	if issued.Role != nil {
		given.Role = (*broker.Role)(issued.Role)
	}
	return given
}

func reachOf(reach oci.Reach) broker.Reach {
	shown := broker.Reach{CA: string(reach.CA)}
	if reach.Proxy != nil {
		shown.Proxy = reach.Proxy.String()
	}
	for _, host := range slices.Sorted(maps.Keys(reach.Addresses)) {
		if shown.Addresses != "" {
			shown.Addresses += ","
		}
		shown.Addresses += host + "=" + reach.Addresses[host]
	}
	return shown
}
