package registry

import (
	"context"

	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/secret"
)

// Kinds is what this package needs to know of the kinds of credential; package
// grant has them.
type Kinds interface {
	// Describe lists the kinds in the order in which a person is offered them.
	Describe() []Kind

	// Normalise checks a credential's fields against its kind. It returns the
	// kind's own name (clients of the API know some under another one), the
	// fields as they are to be kept, and warnings for the admin. The error is
	// an Invalid fault that names every field at fault.
	Normalise(kind string, patterns []string, material Material) (Normalised, error)

	// Check asks the registry what a credential is good for. What fails is in
	// the check, whose Version is for the caller to fill in.
	Check(ctx context.Context, request CheckRequest) (Check, error)

	// Renew has the registry make a new secret beside the present one; Retire
	// ends the old one with the fresh one's right. An Invalid fault where the
	// kind cannot.
	Renew(ctx context.Context, kind string, material Material) (Material, error)
	Retire(ctx context.Context, kind string, old, fresh Material) error

	// Paste finds a kind's fields in what its cloud gives in one piece. The error is
	// an Invalid fault of the field pasted.
	Paste(kind string, text secret.Text) (Pasted, error)

	// Policy is the least rights that serve the patterns, to paste at the registry;
	// "" where the kind, or the patterns, tell none.
	Policy(kind string, config map[string]string, patterns []image.Pattern) string
}

// Kind describes one kind of credential for a form, a command or a document.
type Kind struct {
	Name  string
	Title string
	Help  string // one sentence

	// LegacyNames are what other clients of the API call it; two kinds may
	// share one.
	LegacyNames []string

	Fields []Field

	// Patterns are match patterns to begin with.
	Patterns []string

	// Pasted says in one sentence what can be pasted instead of filling in the
	// fields; "": nothing.
	Pasted string

	// Renews tells that the registry can make a new secret by itself.
	Renews bool
}

// Field is one field of a kind.
type Field struct {
	Name     string
	Title    string
	Help     string
	Secret   bool
	Required bool

	// Lines allows line breaks. Advanced is for fields that few need.
	Lines    bool
	Advanced bool

	Example string
	Choices []string // the only values allowed, the usual one first; empty: any
}

// Pasted is what a pasted text holds.
type Pasted struct {
	Material Material

	// Host is the registry that it is for; "": it does not say.
	Host string
}

// Normalised is a credential's fields as its kind wants them kept.
type Normalised struct {
	Kind     string
	Material Material
	Warnings []string
}
