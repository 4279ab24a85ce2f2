package valohaiyaml

import (
	"maps"
	"regexp"
	"strings"
	"unicode"

	"fairlead.dev/fairlead/internal/fault"
)

// maxCommand is how many bytes a step's command may have with everything filled
// in: eight times what Linux takes as one argument (MAX_ARG_STRLEN, execve(2)).
const maxCommand = 1 << 20

// budget is how many bytes a command may still take. Tokens and templates
// multiply what they are filled with, so it is asked before a text is made.
type budget int

// take reports whether there is room for size bytes more.
func (b *budget) take(size int) bool {
	*b -= budget(min(size, maxCommand+1))
	return *b >= 0
}

// joiner is what stands between the command lines of a script: the first that
// fails ends the execution.
const joiner = " && "

// Command is what a step runs.
type Command struct {
	// Lines are the step's command lines with everything filled in; a line
	// that is blank in the file is empty here.
	Lines []string

	// Script is the lines as one text for a shell, which stops at the first
	// that fails.
	Script string
}

// Command builds the command lines for the given values, which overlay the
// defaults: null leaves a parameter out, and flags have no default. Names and
// types of values are not looked at: that is what CheckValues is for. The
// error is an Invalid fault about a template that cannot be filled, or a
// command of more than 1 MiB.
func (s *Step) Command(values map[string]Value) (Command, error) {
	all := make(map[string]Value, len(values)+len(s.Parameters))
	for _, p := range s.Parameters {
		if p.Type != FlagParameter && (p.Multiple != Single || !p.Default.IsNull()) {
			all[p.Name] = p.Default
		}
	}
	maps.Copy(all, values)
	var room budget = maxCommand
	f := filling{step: s, values: all, parts: make(map[string]string, len(s.Parameters)), room: maxCommand}
	var parts []string
	var errs []error
	for _, p := range s.Parameters {
		words, err := p.words(all[p.Name], &room)
		errs = append(errs, err)
		f.parts[p.Name] = quoteWords(words)
		parts = append(parts, f.parts[p.Name])
	}
	if err := fault.Join(errs...); err != nil {
		return Command{}, err
	}
	f.whole = joinFilled(parts, " ")
	c := Command{Lines: make([]string, 0, len(s.Commands))}
	for _, line := range s.Commands {
		c.Lines = append(c.Lines, strings.TrimFunc(f.fill(line), isPythonSpace))
	}
	if f.room < 0 {
		return Command{}, tooLong()
	}
	c.Script = Join(c.Lines, joiner)
	return c, nil
}

func tooLong() *fault.Error {
	return fault.New(fault.Invalid, "command_length", "the command has more than %d bytes with its parameters filled in", maxCommand).
		WithHint("Put what is long into a file of the project.")
}

// Join makes one script of command lines. Blank lines are left out; if the
// first line begins with `#!`, its first text line stays alone on top.
func Join(lines []string, joiner string) string {
	top := ""
	if len(lines) > 0 && strings.HasPrefix(lines[0], "#!") {
		shebang, rest, _ := strings.Cut(lines[0], "\n")
		top = shebang + "\n"
		lines = append([]string{rest}, lines[1:]...)
	}
	var kept []string
	for _, line := range lines {
		if strings.TrimFunc(line, isPythonSpace) != "" {
			kept = append(kept, line)
		}
	}
	return top + strings.Join(kept, joiner)
}

// words are what stands on the command line for a parameter's value.
func (p *Parameter) words(v Value, room *budget) ([]string, error) {
	if v.IsNull() {
		return nil, nil
	}
	if p.Type == FlagParameter {
		return p.fillTemplate(p.flagTemplate(v), v, room)
	}
	template := p.PassAs
	if template == "" {
		template = "--{name}={value}"
	}
	if p.Multiple == Single {
		if v.Kind() == List {
			return nil, parameterFault(p.Name, "parameter_value", "the parameter %s takes a single value, not a list", quote(p.Name)).
				WithHint("Give it one value, or let it take several with `multiple: repeat` in the file.")
		}
		return p.fillTemplate(template, v, room)
	}
	items := listed(v).Items()
	if p.Multiple == Separate && len(items) > 0 {
		texts := make([]string, len(items))
		for i, item := range items {
			texts[i] = item.String()
			if !room.take(len(texts[i]) + len(p.Separator)) {
				return nil, tooLong()
			}
		}
		items = []Value{TextValue(strings.Join(texts, p.Separator))}
	}
	var words []string
	for _, item := range items {
		filled, err := p.fillTemplate(template, item, room)
		if err != nil {
			return nil, err
		}
		words = append(words, filled...)
	}
	return words, nil
}

// flagTemplate is what is passed for a flag that is on, or off.
func (p *Parameter) flagTemplate(v Value) string {
	switch {
	case p.PassTrueAs == "" && p.PassFalseAs == "" && !v.Truthy():
		return ""
	case p.PassTrueAs == "" && p.PassFalseAs == "" && p.PassAs == "":
		return "--{name}"
	case p.PassTrueAs == "" && p.PassFalseAs == "":
		return p.PassAs
	case v.Truthy():
		return p.PassTrueAs
	default:
		return p.PassFalseAs
	}
}

// fillTemplate splits a template at its white space and fills the pieces, so
// that white space in the value makes no new word.
func (p *Parameter) fillTemplate(template string, v Value, room *budget) ([]string, error) {
	var words []string
	value := v.String()
	for _, piece := range strings.FieldsFunc(template, isPythonSpace) {
		word, problem := format(piece, p.Name, value, room)
		if *room < 0 {
			return nil, tooLong()
		}
		if problem != "" {
			return nil, parameterFault(p.Name, "template", "the parameter %s cannot be passed as %s: %s", quote(p.Name), quote(template), problem).
				WithHint("Use {name}, {value} or {v}, and write {{ and }} for braces.")
		}
		words = append(words, word)
	}
	return words, nil
}

// format fills {name}, {value} and {v} as Python's str.format does, with {{
// and }} for braces. What else Python would format is a problem, told in words.
// The text is of no use once there is no more room.
func format(template, name, value string, room *budget) (filled, problem string) {
	var b strings.Builder
	put := func(text string) {
		if room.take(len(text)) {
			b.WriteString(text)
		}
	}
	for rest := template; rest != ""; {
		i := strings.IndexAny(rest, "{}")
		if i < 0 {
			put(rest)
			break
		}
		put(rest[:i])
		rest = rest[i:]
		if strings.HasPrefix(rest, "{{") || strings.HasPrefix(rest, "}}") {
			put(rest[:1])
			rest = rest[2:]
			continue
		}
		field, after, closed := strings.Cut(rest[1:], "}")
		switch {
		case rest[0] == '}':
			return "", "it has a `}` without `{`"
		case !closed:
			return "", "it has a `{` without `}`"
		case field == "name":
			put(name)
		case field == "value" || field == "v":
			put(value)
		default:
			return "", quote("{"+field+"}") + " has no meaning in it"
		}
		rest = after
	}
	return b.String(), ""
}

// filling fills the tokens of command lines.
type filling struct {
	step   *Step
	values map[string]Value

	// whole stands for all parameters, parts for one by its name.
	whole string
	parts map[string]string

	// room is for the lines; what is left below zero is missing from them.
	room budget
}

// fillToken is a token of a command line: the shortest text in braces.
var fillToken = regexp.MustCompile(`\{(.+?)\}`)

// fill replaces the tokens of a line that have a meaning and leaves others.
func (f *filling) fill(line string) string {
	if !f.room.take(len(line)) {
		return ""
	}
	return fillToken.ReplaceAllStringFunc(line, func(token string) string {
		if f.room < 0 {
			return ""
		}
		text := f.token(token)
		if !f.room.take(len(text)) {
			return ""
		}
		return text
	})
}

// token is what stands for a token of a line: the token itself if it has no
// meaning.
func (f *filling) token(token string) string {
	kind, name, _ := strings.Cut(token[1:len(token)-1], ":")
	switch {
	case token == "{parameters}" || token == "{params}":
		return f.whole
	case token == "{source-path}" && f.step.SourcePath != nil:
		return Quote(*f.step.SourcePath)
	case kind == "parameter" && name != "":
		if part, declared := f.parts[name]; declared {
			return part
		}
	case kind == "parameter-value" && name != "":
		if value, known := f.values[name]; known {
			return Quote(value.String())
		}
	}
	return token
}

// Quote is text as one word for a POSIX shell, as Python's shlex.quote does it.
func Quote(text string) string {
	if text == "" {
		return "''"
	}
	if strings.IndexFunc(text, func(r rune) bool { return !isPlain(r) }) < 0 {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'"'"'`) + "'"
}

// isPlain reports whether a shell takes the character for itself.
func isPlain(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_@%+=:,./-", r)
}

func quoteWords(words []string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = Quote(word)
	}
	return strings.Join(quoted, " ")
}

// joinFilled joins the texts that are not empty.
func joinFilled(texts []string, separator string) string {
	var filled []string
	for _, text := range texts {
		if text != "" {
			filled = append(filled, text)
		}
	}
	return strings.Join(filled, separator)
}

// isPythonSpace is what Python's str.split and str.strip take for white space.
func isPythonSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }
