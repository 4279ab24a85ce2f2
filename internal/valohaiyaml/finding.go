package valohaiyaml

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"fairlead.dev/fairlead/internal/fault"
)

// Severity says how much a finding matters to the linter.
type Severity string

// The severities. An Error makes the linter fail, a Warning does so only where
// it is asked to be strict, a Hint never.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
	Hint    Severity = "hint"
)

// Layer says which reading of the file made a finding.
type Layer string

// The layers. Errors of the first two keep a file from being run; what Lint
// finds does not, since files that fail the strict linter are in use.
const (
	Syntax Layer = "syntax" // it is no YAML, or more of it than is read
	Schema Layer = "schema" // a map, list or value is not what the format has there
	Lint   Layer = "lint"   // well formed, but it does not make sense
)

// Finding is one thing to say about a file.
type Finding struct {
	Severity Severity `json:"severity"`
	Layer    Layer    `json:"layer"`

	// Code is a stable word for machines, such as "unknown_key".
	Code string `json:"code"`

	// File is the name that Parse was given; Line and Column count from 1,
	// columns in characters. Path leads to the object: "0.step.parameters.1".
	File   string `json:"file"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
	Path   string `json:"path"`

	// Message is one sentence for a person. Text from the file is escaped.
	Message string `json:"message"`

	// Mend is what to do about it, as a sentence; empty where that is open.
	Mend string `json:"mend,omitempty"`
}

// String is the finding on one line, as compilers print theirs.
func (f Finding) String() string {
	s := fmt.Sprintf("%s:%d:%d: %s: %s", printable(f.File), f.Line, f.Column, f.Severity, f.Message)
	if f.Mend != "" {
		s += ". " + f.Mend
	}
	return s
}

// mend sets what to do about it.
func (f *Finding) mend(format string, args ...any) {
	f.Mend = fmt.Sprintf(format, args...)
}

// Findings is all there is to say about a file, in the order of its lines.
type Findings []Finding

// Count is how many findings have that severity.
func (fs Findings) Count(severity Severity) int {
	n := 0
	for _, f := range fs {
		if f.Severity == severity {
			n++
		}
	}
	return n
}

// Err is nil if the file can be run, and otherwise an Invalid fault that names
// every syntax and schema error. What the linter alone objects to is no reason.
func (fs Findings) Err() error {
	var fields []fault.Field
	var first Finding
	for _, f := range fs {
		if f.Severity != Error || f.Layer == Lint {
			continue
		}
		if fields == nil {
			first = f
		}
		fields = append(fields, fault.Field{Name: f.Path, Code: f.Code, Message: f.Message})
	}
	if fields == nil {
		return nil
	}
	err := fault.New(fault.Invalid, "valohai_yaml", "%s, line %d, column %d: %s", printable(first.File), first.Line, first.Column, first.Message)
	if len(fields) > 1 {
		err.Message += fmt.Sprintf(" (and %d more)", len(fields)-1)
	}
	err.Hint, err.Fields = first.Mend, fields
	return err
}

// mostFindings bounds what is told of one file: past this, a person reads no
// further, and a hostile file cannot fill the memory.
const mostFindings = 1000

// report gathers the findings of one file.
type report struct {
	file     string
	findings []*Finding

	// dropped counts what was left out, and fatal says whether any of it keeps
	// the file from being run.
	dropped int
	fatal   bool
}

// add notes a finding at n.
func (r *report) add(severity Severity, layer Layer, n *node, code, format string, args ...any) *Finding {
	f := &Finding{
		Severity: severity, Layer: layer, Code: code,
		File: r.file, Line: n.line, Column: n.column, Message: fmt.Sprintf(format, args...),
	}
	if r.full() {
		r.dropped++
		r.fatal = r.fatal || severity == Error && layer != Lint
		return f
	}
	f.Path = n.path()
	r.findings = append(r.findings, f)
	return f
}

// sorted is all findings by position; findings at one place keep the order in
// which they were made.
func (r *report) sorted() Findings {
	slices.SortStableFunc(r.findings, func(a, b *Finding) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	fs := make(Findings, 0, len(r.findings)+1)
	for _, f := range r.findings {
		fs = append(fs, *f)
	}
	if r.dropped > 0 {
		last := fs[len(fs)-1]
		layer := Lint
		if r.fatal {
			layer = Schema
		}
		fs = append(fs, Finding{
			Severity: Error, Layer: layer, Code: "too_many_findings", File: r.file, Line: last.Line, Column: last.Column,
			Message: fmt.Sprintf("there is more wrong than is told: %d further findings are left out", r.dropped),
		})
	}
	return fs
}

// full reports whether what is added now is left out.
func (r *report) full() bool { return len(r.findings) == mostFindings }

// nearest is the candidate that word is most likely a slip of, or "". It looks
// at a few hundred candidates, none of them longer than a name is.
func nearest(word string, candidates []string) string {
	const longest, most = 64, 300
	if len(word) > longest {
		return ""
	}
	best, least := "", 1+max(1, len(word)/3)
	for _, candidate := range candidates[:min(len(candidates), most)] {
		if len(candidate) > longest {
			continue
		}
		if d := distance(strings.ToLower(word), strings.ToLower(candidate)); d < least {
			best, least = candidate, d
		}
	}
	return best
}

// distance is how many letters have to be put in, left out, changed or swapped
// with their neighbour to make b of a.
func distance(a, b string) int {
	from, to := []rune(a), []rune(b)
	before, above, row := make([]int, len(to)+1), make([]int, len(to)+1), make([]int, len(to)+1)
	for j := range above {
		above[j] = j
	}
	for i := range from {
		row[0] = i + 1
		for j := range to {
			change := 1
			if from[i] == to[j] {
				change = 0
			}
			row[j+1] = min(above[j+1]+1, row[j]+1, above[j]+change)
			if i > 0 && j > 0 && from[i] == to[j-1] && from[i-1] == to[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, above, row = above, row, before
	}
	return above[len(to)]
}

// quote shows text from a file in a message: escaped, and cut where it is long.
func quote(text string) string {
	runes := []rune(text)
	if len(runes) <= longestName {
		return strconv.Quote(text)
	}
	return strconv.Quote(string(runes[:longestName])) + "…"
}

// brief is text for a message without quotes: escaped, and cut where it is long.
func brief(text string, most int) string {
	if runes := []rune(text); len(runes) > most {
		return printable(string(runes[:most])) + "…"
	}
	return printable(text)
}

// longestName is how much of a name, or of a key, a message shows.
const longestName = 96

// printable is text with every character escaped that a terminal might obey.
func printable(text string) string {
	if strings.IndexFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
		return text
	}
	quoted := strconv.Quote(text)
	return quoted[1 : len(quoted)-1]
}

// backticked is a list of words of the format for a message: `a`, `b` or `c`.
func backticked(words []string) string {
	ticked := make([]string, len(words))
	for i, word := range words {
		ticked[i] = "`" + word + "`"
	}
	if len(ticked) < 2 {
		return strings.Join(ticked, "")
	}
	last := len(ticked) - 1
	return strings.Join(ticked[:last], ", ") + " or " + ticked[last]
}
