package grant

import (
	"maps"
	"slices"
	"strings"
	"unicode"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/secret"
)

// longestValue bounds a field; the longest in use is a service account's key
// file of some 2,400 bytes.
const longestValue = 64 << 10

// normalise does what is the same for every kind: white space around a value
// goes, empty values count as not given, defaults are filled in, and unknown,
// missing and misplaced fields are told of, all at once.
func normalise(d Description, in Material) (Material, error) {
	d.Fields = append(d.Fields[:len(d.Fields):len(d.Fields)], reachFields...)
	out := Material{Config: make(map[string]string), Secrets: make(map[string]secret.Text)}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(in.Config)) {
		field, known := d.field(name)
		switch {
		case !known:
			errs = append(errs, unknownField(d, name))
		case field.Secret:
			errs = append(errs, fault.InvalidField(name, "field_secret", "is a secret and must be given as one"))
		default:
			out.Config[name] = strings.TrimSpace(in.Config[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(in.Secrets)) {
		field, known := d.field(name)
		switch {
		case !known:
			errs = append(errs, unknownField(d, name))
		case !field.Secret:
			errs = append(errs, fault.InvalidField(name, "field_not_secret", "is no secret and must be given openly"))
		default:
			out.Secrets[name] = secret.New(strings.TrimSpace(in.Secrets[name].Reveal()))
		}
	}
	for _, field := range d.Fields {
		errs = append(errs, out.settle(field))
	}
	errs = append(errs, checkReach(out))
	if err := fault.Join(errs...); err != nil {
		return Material{}, err
	}
	return out, nil
}

// settle checks one field and fills in its default.
func (m Material) settle(field Field) error {
	value := m.Config[field.Name]
	if field.Secret {
		value = m.Secrets[field.Name].Reveal()
	}
	if value == "" {
		delete(m.Config, field.Name)
		delete(m.Secrets, field.Name)
		if field.Default != "" {
			m.Config[field.Name] = field.Default
		}
		if field.Required {
			return fault.InvalidField(field.Name, "field_required", "must not be empty").WithHint("%s", field.Help)
		}
		return nil
	}
	switch {
	case len(value) > longestValue:
		return fault.InvalidField(field.Name, "field_too_long", "has %d bytes; at most %d are allowed", len(value), longestValue)
	case strings.ContainsFunc(value, func(r rune) bool { return unicode.IsControl(r) && !(field.Lines && strings.ContainsRune("\r\n\t", r)) }):
		return fault.InvalidField(field.Name, "field_control", "holds a line break or another control character").
			WithHint("Copy the value again, without what is around it.")
	case len(field.Choices) > 0 && !slices.Contains(field.Choices, value):
		return fault.InvalidField(field.Name, "field_choice", "%q is none of %s", value, strings.Join(field.Choices, ", "))
	}
	return nil
}

func unknownField(d Description, name string) error {
	var names []string
	for _, field := range d.Fields {
		names = append(names, field.Name)
	}
	return fault.InvalidField(name, "field_unknown", "is no field of a %s credential", d.Name).
		WithHint("Its fields are %s.", strings.Join(names, ", "))
}

// checkUser refuses a user name that cannot be sent.
func checkUser(name, field string) error {
	if user, _, found := strings.Cut(name, ":"); found { // what follows may be the secret
		return fault.InvalidField(field, "username_colon", "holds a colon after %q, which no user name may", user).
			WithHint("Enter the name alone; the secret has a field of its own.")
	}
	return nil
}
