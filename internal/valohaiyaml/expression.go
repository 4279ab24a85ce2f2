package valohaiyaml

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxExpressionDepth is how deep a stop condition's operators may be nested.
const maxExpressionDepth = 8

// expressionError is why a text is no stop condition, and at which character,
// counted from 1.
type expressionError struct {
	column int
	reason string
}

func (e *expressionError) Error() string {
	return fmt.Sprintf("%s at character %d", e.reason, e.column)
}

// checkExpression says whether text is a stop condition: Python's names,
// attributes, literals, comparisons, sums, `and`, `or` and `not`. Names need
// not exist: they are the metadata of a run that is yet to come.
func checkExpression(text string) error {
	tokens, err := expressionTokens(text)
	if err != nil {
		return err
	}
	p := &expressionParser{tokens: tokens}
	depth, err := p.binary(0)
	if err != nil {
		return err
	}
	if next := p.peek(); next.kind != endToken {
		return p.unexpected(next)
	}
	if depth > maxExpressionDepth {
		return &expressionError{1, fmt.Sprintf("it is nested %d deep, more than %d", depth, maxExpressionDepth)}
	}
	return nil
}

type tokenKind int

const (
	endToken tokenKind = iota
	nameToken
	literalToken
	operatorToken
)

type token struct {
	kind   tokenKind
	text   string
	column int
}

var (
	nameShape     = regexp.MustCompile(`^[\pL_][\pL\pN_]*`)
	numberShape   = regexp.MustCompile(`^(?:0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?)`)
	stringShape   = regexp.MustCompile(`^(?:"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')`)
	operatorShape = regexp.MustCompile(`^(?:\*\*|//|==|!=|<=|>=|[-+*/%<>().])`)

	// wordOperators are names that mean something to Python; those of reserved
	// mean something that no condition may have.
	wordOperators = []string{"and", "or", "not", "in", "is"}
	reserved      = []string{"if", "else", "for", "lambda", "while", "import", "from", "def", "class", "return", "yield", "await", "async", "with", "as", "del", "pass", "try", "raise", "global", "nonlocal", "assert", "break", "continue", "elif", "except", "finally"}
)

func expressionTokens(text string) ([]token, error) {
	var tokens []token
	column := 1
	for rest := text; ; {
		trimmed := strings.TrimLeft(rest, " \t")
		column += len(rest) - len(trimmed)
		rest = trimmed
		if rest == "" {
			return append(tokens, token{endToken, "", column}), nil
		}
		next := token{column: column}
		switch {
		case rest[0] == '"' || rest[0] == '\'':
			next.kind, next.text = literalToken, stringShape.FindString(rest)
			if next.text == "" {
				return nil, &expressionError{column, "the string is not closed"}
			}
		case nameShape.MatchString(rest):
			next.kind, next.text = nameToken, nameShape.FindString(rest)
			if slices.Contains(wordOperators, next.text) {
				next.kind = operatorToken
			}
		case numberShape.MatchString(rest):
			next.kind, next.text = literalToken, numberShape.FindString(rest)
		case operatorShape.MatchString(rest):
			next.kind, next.text = operatorToken, operatorShape.FindString(rest)
		default:
			char, _ := utf8.DecodeRuneInString(rest)
			return nil, &expressionError{column, fmt.Sprintf("%q has no meaning here", char)}
		}
		tokens = append(tokens, next)
		column += utf8.RuneCountInString(next.text)
		rest = rest[len(next.text):]
	}
}

// expressionParser reads tokens by operator precedence and counts how deep the
// operators are nested.
type expressionParser struct {
	tokens []token
	next   int
	open   int
}

// binaryLevels are Python's operators with two sides, the weakest first.
// https://docs.python.org/3/reference/expressions.html#operator-precedence
var binaryLevels = [][]string{
	{"or"},
	{"and"},
	{"not"},
	{"==", "!=", "<", "<=", ">", ">=", "in", "not in", "is", "is not"},
	{"+", "-"},
	{"*", "/", "//", "%"},
}

const (
	notLevel        = 2
	comparisonLevel = 3
)

func (p *expressionParser) peek() token { return p.tokens[p.next] }

// operator takes the next token if it is one of those operators.
func (p *expressionParser) operator(operators ...string) (string, bool) {
	t := p.peek()
	if t.kind != operatorToken {
		return "", false
	}
	text, size := t.text, 1
	if following := p.tokens[p.next+1]; following.kind == operatorToken {
		if pair := t.text + " " + following.text; pair == "not in" || pair == "is not" {
			text, size = pair, 2
		}
	}
	if !slices.Contains(operators, text) {
		return "", false
	}
	p.next += size
	return text, true
}

// binary reads operators of a level and all stronger ones. Operators in a row
// that Python holds in one node count as one level of depth.
func (p *expressionParser) binary(level int) (int, error) {
	if level == len(binaryLevels) {
		return p.unary()
	}
	if level == notLevel {
		return p.not()
	}
	depth, err := p.binary(level + 1)
	if err != nil {
		return 0, err
	}
	inOneNode := level <= comparisonLevel
	for first := true; ; first = false {
		if _, ok := p.operator(binaryLevels[level]...); !ok {
			return depth, nil
		}
		right, err := p.binary(level + 1)
		if err != nil {
			return 0, err
		}
		if first || !inOneNode {
			depth = max(depth, right) + 1
		} else {
			depth = max(depth, right+1)
		}
	}
}

func (p *expressionParser) not() (int, error) {
	count := 0
	for {
		if _, ok := p.operator("not"); !ok {
			break
		}
		count++
	}
	depth, err := p.binary(notLevel + 1)
	return depth + count, err
}

// unary reads signs and powers: -a ** -b.
func (p *expressionParser) unary() (int, error) {
	count := 0
	for {
		if _, ok := p.operator("-", "+"); !ok {
			break
		}
		count++
	}
	depth, err := p.attribute()
	if err != nil {
		return 0, err
	}
	if _, ok := p.operator("**"); ok {
		if err := p.deeper(); err != nil {
			return 0, err
		}
		right, err := p.unary()
		if err != nil {
			return 0, err
		}
		p.open--
		depth = max(depth, right) + 1
	}
	return depth + count, nil
}

// attribute reads a name, a literal or parentheses, and the attributes of it.
func (p *expressionParser) attribute() (int, error) {
	depth, err := p.operand()
	if err != nil {
		return 0, err
	}
	for {
		if _, ok := p.operator("."); !ok {
			return depth, nil
		}
		name := p.peek()
		if name.kind != nameToken {
			return 0, p.unexpected(name)
		}
		p.next++
		depth++
	}
}

func (p *expressionParser) operand() (int, error) {
	t := p.peek()
	if _, ok := p.operator("("); ok {
		if err := p.deeper(); err != nil {
			return 0, err
		}
		depth, err := p.binary(0)
		if err != nil {
			return 0, err
		}
		if _, ok := p.operator(")"); !ok {
			return 0, p.unexpected(p.peek())
		}
		p.open--
		return depth, nil
	}
	if t.kind != literalToken && t.kind != nameToken || slices.Contains(reserved, t.text) {
		return 0, p.unexpected(t)
	}
	p.next++
	return 1, nil
}

// deeper bounds how deep the reader itself goes.
func (p *expressionParser) deeper() error {
	if p.open++; p.open > 8*maxExpressionDepth {
		return &expressionError{p.peek().column, "there are too many parentheses"}
	}
	return nil
}

func (p *expressionParser) unexpected(t token) error {
	if t.kind == endToken {
		return &expressionError{t.column, "it ends too early"}
	}
	return &expressionError{t.column, fmt.Sprintf("%s is not expected", quote(t.text))}
}
