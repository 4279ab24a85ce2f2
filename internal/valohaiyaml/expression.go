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
	_, err := parseExpression(text)
	return err
}

func parseExpression(text string) (expression, error) {
	tokens, err := expressionTokens(text)
	if err != nil {
		return expression{}, err
	}
	p := &expressionParser{tokens: tokens}
	read, err := p.binary(0)
	if err != nil {
		return expression{}, err
	}
	if next := p.peek(); next.kind != endToken {
		return expression{}, p.unexpected(next)
	}
	if read.depth > maxExpressionDepth {
		return expression{}, &expressionError{1, fmt.Sprintf("it is nested %d deep, more than %d", read.depth, maxExpressionDepth)}
	}
	return read, nil
}

// expression is a part of a condition: how deep it is, and what it comes to.
type expression struct {
	depth int
	value func(names map[string]any) (any, error)
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
func (p *expressionParser) binary(level int) (expression, error) {
	if level == len(binaryLevels) {
		return p.unary()
	}
	if level == notLevel {
		return p.not()
	}
	first, err := p.binary(level + 1)
	if err != nil {
		return expression{}, err
	}
	depth, sides, operators := first.depth, []expression{first}, []string(nil)
	inOneNode := level <= comparisonLevel
	for {
		operator, ok := p.operator(binaryLevels[level]...)
		if !ok {
			break
		}
		right, err := p.binary(level + 1)
		if err != nil {
			return expression{}, err
		}
		if len(operators) == 0 || !inOneNode {
			depth = max(depth, right.depth) + 1
		} else {
			depth = max(depth, right.depth+1)
		}
		sides, operators = append(sides, right), append(operators, operator)
	}
	if len(operators) == 0 {
		return first, nil
	}
	return expression{depth, combine(level, sides, operators)}, nil
}

func (p *expressionParser) not() (expression, error) {
	count := 0
	for {
		if _, ok := p.operator("not"); !ok {
			break
		}
		count++
	}
	read, err := p.binary(notLevel + 1)
	if err != nil || count == 0 {
		return read, err
	}
	return expression{read.depth + count, negated(read, count%2 == 1)}, nil
}

// unary reads signs and powers: -a ** -b.
func (p *expressionParser) unary() (expression, error) {
	count, minus := 0, false
	for {
		sign, ok := p.operator("-", "+")
		if !ok {
			break
		}
		count++
		minus = minus != (sign == "-")
	}
	read, err := p.attribute()
	if err != nil {
		return expression{}, err
	}
	if _, ok := p.operator("**"); ok {
		if err := p.deeper(); err != nil {
			return expression{}, err
		}
		right, err := p.unary()
		if err != nil {
			return expression{}, err
		}
		p.open--
		read = expression{max(read.depth, right.depth) + 1, combine(len(binaryLevels), []expression{read, right}, []string{"**"})}
	}
	if count == 0 {
		return read, nil
	}
	return expression{read.depth + count, signed(read, minus)}, nil
}

// attribute reads a name, a literal or parentheses, and the attributes of it.
func (p *expressionParser) attribute() (expression, error) {
	read, err := p.operand()
	if err != nil {
		return expression{}, err
	}
	for {
		if _, ok := p.operator("."); !ok {
			return read, nil
		}
		name := p.peek()
		if name.kind != nameToken {
			return expression{}, p.unexpected(name)
		}
		p.next++
		read = expression{read.depth + 1, attributeOf(read, name.text)}
	}
}

func (p *expressionParser) operand() (expression, error) {
	t := p.peek()
	if _, ok := p.operator("("); ok {
		if err := p.deeper(); err != nil {
			return expression{}, err
		}
		read, err := p.binary(0)
		if err != nil {
			return expression{}, err
		}
		if _, ok := p.operator(")"); !ok {
			return expression{}, p.unexpected(p.peek())
		}
		p.open--
		return read, nil
	}
	if t.kind != literalToken && t.kind != nameToken || slices.Contains(reserved, t.text) {
		return expression{}, p.unexpected(t)
	}
	p.next++
	if t.kind == literalToken {
		return expression{1, literal(t.text)}, nil
	}
	return expression{1, named(t.text)}, nil
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
