package registry

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
}

// Kind describes one kind of credential for a form, a command or a document.
type Kind struct {
	Name  string
	Title string

	// LegacyNames are what other clients of the API call it; two kinds may
	// share one.
	LegacyNames []string

	Fields []Field
}

// Field is one field of a kind.
type Field struct {
	Name     string
	Title    string
	Help     string
	Secret   bool
	Required bool
}

// Normalised is a credential's fields as its kind wants them kept.
type Normalised struct {
	Kind     string
	Material Material
	Warnings []string
}
