package valohaiyaml

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"fairlead.dev/fairlead/internal/fault"
)

// ParameterType says which values a parameter takes.
type ParameterType string

// The types of parameters. A flag is passed or not; it has no text.
const (
	StringParameter  ParameterType = "string"
	IntegerParameter ParameterType = "integer"
	FloatParameter   ParameterType = "float"
	FlagParameter    ParameterType = "flag"
)

// Multiple says how a parameter with several values is passed.
type Multiple string

// The ways to pass several values: not at all, one word each, or all in one
// word with a separator.
const (
	Single   Multiple = ""
	Repeat   Multiple = "repeat"
	Separate Multiple = "separate"
)

// Parameter is a value that a run may set.
type Parameter struct {
	Name        string
	Type        ParameterType
	Description string
	Category    string

	// Default is null where there is none; for a parameter of several values
	// it is a list, empty where there is none.
	Default Value

	// Optional parameters need no value. A flag is always optional.
	Optional bool

	// Choices are the only values allowed, unless there are none. Min and Max
	// bound numbers; null where there is no bound.
	Choices  []Value
	Min, Max Value

	// Multiple and Separator say how several values are passed.
	Multiple  Multiple
	Separator string

	// PassAs, and for flags PassTrueAs and PassFalseAs, are templates of the
	// words on the command line; empty for the format's own.
	PassAs, PassTrueAs, PassFalseAs string

	// Widget is how a page should ask for the value; nil where it does not say.
	Widget *Widget

	node *node
}

// Widget is a way to ask for a parameter's value.
type Widget struct {
	Type     string // in lower case
	Settings Value
}

var parameterRule = mapOf(need("name"), map[string]*rule{
	"name":               text,
	"type":               oneWord("string", "integer", "float", "flag"),
	"default":            anything,
	"optional":           boolean,
	"description":        text,
	"category":           text,
	"choices":            listOf(anything),
	"min":                number,
	"max":                number,
	"multiple":           oneWord("none", "repeat", "separate"),
	"multiple-separator": text,
	"pass-as":            text,
	"pass-true-as":       text,
	"pass-false-as":      text,
	"widget": {
		kinds: []Kind{Text, Map}, needs: need("type"),
		keys: map[string]*rule{"type": text, "settings": openMap}, values: anything,
	},
})

// parametersOf reads a list of parameters; of two with one name the last one
// counts.
func parametersOf(n *node, r *report) []*Parameter {
	var all []*Parameter
	for _, item := range n.list() {
		if item.kind() == Map {
			all = append(all, parameterOf(item))
		}
	}
	return byName(all, func(p *Parameter) string { return p.Name }, func(p *Parameter) {
		r.add(Hint, Lint, p.node, "duplicate_parameter", "the parameter %s is defined twice; the last one counts", quote(p.Name)).
			mend("Leave one of them out.")
	})
}

func parameterOf(n *node) *Parameter {
	p := &Parameter{
		Name: n.get("name").text(), Type: ParameterType(n.get("type").text()),
		Description: n.get("description").text(), Category: n.get("category").text(),
		Default: n.get("default").data(), Optional: n.get("optional").truth(false),
		Choices: n.get("choices").data().Items(), Min: n.get("min").data(), Max: n.get("max").data(),
		Multiple: Multiple(n.get("multiple").text()), Separator: n.get("multiple-separator").text(),
		PassAs: n.get("pass-as").text(), PassTrueAs: n.get("pass-true-as").text(), PassFalseAs: n.get("pass-false-as").text(),
		node: n,
	}
	if p.Type == "" {
		p.Type = StringParameter
	}
	if p.Multiple == "none" || p.Type == FlagParameter {
		p.Multiple = Single
	}
	if p.Separator == "" {
		p.Separator = ","
	}
	if p.Type == FlagParameter {
		p.Optional, p.Choices = true, []Value{BoolValue(true), BoolValue(false)}
	}
	if p.Multiple != Single {
		p.Default = listed(p.Default)
	}
	if w := n.get("widget"); w != nil {
		kind := w.text()
		if w.kind() == Map {
			kind = w.get("type").text()
		}
		p.Widget = &Widget{Type: strings.ToLower(kind), Settings: w.get("settings").data()}
	}
	return p
}

// listed is a value as a list: null is an empty one.
func listed(v Value) Value {
	switch v.Kind() {
	case List:
		return v
	case Null:
		return ListValue()
	default:
		return ListValue(v)
	}
}

// mostProblems is how many problems of one value are told, and longestProblem
// how many characters of one a message shows.
const (
	mostProblems   = 20
	longestProblem = 400
)

// Check is v as a value of the parameter: converted to its type, and a list
// where it takes several. The problems say in a few words each why v is none,
// at least the first 20 of them; the value is of no use then.
func (p *Parameter) Check(v Value) (checked Value, problems []string) {
	if v.IsNull() {
		return v, []string{"No value supplied"}
	}
	items := []Value{v}
	if v.Kind() == List {
		items = v.Items()
		if p.Multiple == Single {
			problems = append(problems, "Only a single value is allowed")
		}
	}
	converted := make([]Value, 0, len(items))
	choices := p.choices()
	for _, item := range items {
		if len(problems) >= mostProblems {
			return v, problems
		}
		c, wrong := p.checkOne(item, choices)
		converted = append(converted, c)
		problems = append(problems, wrong...)
	}
	if p.Multiple != Single || len(converted) != 1 {
		return ListValue(converted...), problems
	}
	return converted[0], problems
}

// choices are the identities of p.Choices.
func (p *Parameter) choices() map[string]bool {
	choices := make(map[string]bool, len(p.Choices))
	for _, choice := range p.Choices {
		choices[choice.identity()] = true
	}
	return choices
}

// checkOne is Check for one value. As in Python a value of the wrong type is
// held against the bounds and the choices too, and a number against the bounds
// whatever the parameter's type is.
func (p *Parameter) checkOne(v Value, choices map[string]bool) (Value, []string) {
	var problems []string
	converted, ok := p.convert(v)
	switch {
	case !ok && v.Kind() == Text && v.text == "":
		problems = append(problems, "No value supplied")
	case !ok && p.Type == IntegerParameter:
		problems = append(problems, v.String()+" is not an integer")
	case !ok:
		problems = append(problems, v.String()+" is not a floating-point number")
	}
	if converted.isNumber() {
		if p.Min.isNumber() && converted.compare(p.Min) == less {
			problems = append(problems, fmt.Sprintf("%s is less than the minimum allowed (%s)", converted, p.Min))
		}
		if p.Max.isNumber() && converted.compare(p.Max) == greater {
			problems = append(problems, fmt.Sprintf("%s is greater than the maximum allowed (%s)", converted, p.Max))
		}
	}
	if len(p.Choices) > 0 && (converted.isNaN() || !choices[converted.identity()]) {
		problems = append(problems, fmt.Sprintf("%s is not among the choices allowed (%s)", converted, ListValue(p.Choices...)))
	}
	return converted, problems
}

// Texts that Python's int() and float() take. Underscores stand between digits.
var (
	pythonInteger = regexp.MustCompile(`^[-+]?[0-9](?:_?[0-9])*$`)
	pythonNumber  = regexp.MustCompile(`(?i)^[-+]?(?:inf|infinity|nan|(?:[0-9](?:_?[0-9])*\.?(?:[0-9](?:_?[0-9])*)?|\.[0-9](?:_?[0-9])*)(?:e[-+]?[0-9](?:_?[0-9])*)?)$`)
)

// convert is v as the parameter's type has it, by way of its text as in
// Python; a string parameter takes every value as it is. It is v itself, and
// false, where that cannot be done.
func (p *Parameter) convert(v Value) (Value, bool) {
	if p.Type != IntegerParameter && p.Type != FloatParameter {
		return v, true
	}
	if p.Type == IntegerParameter && v.kind == Integer && len(v.text) <= mostDigits || p.Type == FloatParameter && v.kind == Float {
		return v, true // its text is read as the same number
	}
	digits := strings.TrimFunc(v.String(), isPythonSpace)
	switch p.Type {
	case IntegerParameter:
		if !pythonInteger.MatchString(digits) {
			return v, false
		}
		n, ok := decimal(strings.TrimPrefix(strings.ReplaceAll(digits, "_", ""), "+"))
		if !ok {
			return v, false
		}
		return Value{kind: Integer, text: n}, true
	case FloatParameter:
		if !pythonNumber.MatchString(digits) {
			return v, false
		}
		f, err := strconv.ParseFloat(strings.ReplaceAll(digits, "_", ""), 64)
		if err != nil && !math.IsInf(f, 0) {
			return v, false
		}
		return FloatValue(f), true
	default:
		return v, true
	}
}

// ParseValues reads what was given as `-p NAME=VALUE`, one text each: numbers
// by the parameter's type, flags as `NAME`, `NAME=true` or `NAME=false`, and
// several values for parameters that take several. The result has only what
// was given. The error is an Invalid fault that names every parameter that is
// unknown or whose value is wrong.
func (s *Step) ParseValues(pairs []string) (map[string]Value, error) {
	values := make(map[string]Value, len(pairs))
	var errs []error
	for _, pair := range pairs {
		name, text, hasValue := strings.Cut(pair, "=")
		p := s.Parameter(name)
		switch {
		case p == nil:
			errs = append(errs, s.unknownParameter(name))
			continue
		case !hasValue && p.Type != FlagParameter:
			errs = append(errs, parameterFault(name, "parameter_value", "the parameter %s needs a value", quote(name)).
				WithHint("Write %s=VALUE.", printable(name)))
			continue
		}
		value := TextValue(text)
		if p.Type == FlagParameter {
			if given, err := resolve(text); err == nil && given.Kind() == Boolean {
				value = given
			}
			if !hasValue {
				value = BoolValue(true)
			}
		}
		if before, twice := values[name]; twice {
			value = ListValue(append(slices.Clone(listed(before).Items()), value)...)
		} else if p.Multiple != Single {
			value = ListValue(value)
		}
		values[name] = value
	}
	checked, err := s.checkGiven(values)
	return checked, fault.Join(append(errs, err)...)
}

// CheckValues is the given values as Command takes them: each converted to
// its parameter's type, null where the parameter is to be left out. The error
// is an Invalid fault that names every parameter that is unknown, whose value
// is wrong, or that needs a value and has none.
func (s *Step) CheckValues(values map[string]Value) (map[string]Value, error) {
	checked, err := s.checkGiven(values)
	errs := []error{err}
	for _, p := range s.Parameters {
		value, given := values[p.Name]
		if !given {
			value = p.Default
		}
		if !p.Optional && (value.IsNull() || value.Kind() == List && len(value.Items()) == 0) {
			errs = append(errs, parameterFault(p.Name, "parameter_missing", "the parameter %s has no value and no default", quote(p.Name)).
				WithHint("Set it with -p %s=VALUE.", printable(p.Name)))
		}
	}
	return checked, fault.Join(errs...)
}

// checkGiven looks at the values that are given, and at no others.
func (s *Step) checkGiven(values map[string]Value) (map[string]Value, error) {
	checked := make(map[string]Value, len(values))
	var errs []error
	for _, name := range sortedNames(values) {
		p := s.Parameter(name)
		if p == nil {
			errs = append(errs, s.unknownParameter(name))
			continue
		}
		value := values[name]
		if value.IsNull() {
			checked[name] = value
			continue
		}
		value, problems := p.Check(value)
		for _, problem := range problems {
			errs = append(errs, parameterFault(name, "parameter_value", "the parameter %s has a wrong value: %s", quote(name), brief(problem, longestProblem)).
				WithHint("It takes %s.", p.takes()))
		}
		checked[name] = value
	}
	return checked, fault.Join(errs...)
}

// takes says which values a parameter has, for a hint.
func (p *Parameter) takes() string {
	what := map[ParameterType]string{
		StringParameter: "a text", IntegerParameter: "a whole number", FloatParameter: "a number", FlagParameter: "true or false",
	}[p.Type]
	if p.Type != FlagParameter && len(p.Choices) > 0 {
		what = "one of " + brief(ListValue(p.Choices...).String(), longestProblem)
	}
	if !p.Min.IsNull() {
		what += ", at least " + p.Min.String()
	}
	if !p.Max.IsNull() {
		what += ", at most " + p.Max.String()
	}
	if p.Multiple != Single {
		what += ", several times if wanted"
	}
	return what
}

func (s *Step) unknownParameter(name string) error {
	names := s.parameterNames()
	err := parameterFault(name, "parameter_unknown", "the step %s has no parameter %s", quote(s.Name), quote(name))
	switch near := nearest(name, names); {
	case near != "":
		return err.WithHint("Did you mean %s?", quote(near))
	case len(names) > 0:
		return err.WithHint("It has %s.", brief(strings.Join(names, ", "), longestProblem))
	default:
		return err.WithHint("It has no parameters at all.")
	}
}

func parameterFault(name, code, message string, args ...any) *fault.Error {
	err := fault.New(fault.Invalid, code, message, args...)
	err.Fields = []fault.Field{{Name: "parameters." + name, Code: code, Message: err.Message}}
	return err
}
