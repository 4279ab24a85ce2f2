package valohaiyaml

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"

	"fairlead.dev/fairlead/internal/fault"
)

// Condition is a step's stop-condition. The zero Condition never holds. It may be
// used by many at once.
type Condition struct{ read expression }

// ParseCondition reads a stop-condition; an empty text is the zero Condition.
func ParseCondition(text string) (Condition, error) {
	if text == "" {
		return Condition{}, nil
	}
	read, err := parseExpression(text)
	if err != nil {
		return Condition{}, fault.InvalidField("stop-condition", "expression", "%.80q is no expression: %v", text, err)
	}
	return Condition{read}, nil
}

// Holds says whether the condition is true of what a command told of itself:
// values as encoding/json decodes them, by name. Where a name is not there yet,
// or two values do not go together, it does not hold.
func (c Condition) Holds(metadata map[string]any) bool {
	if c.read.value == nil {
		return false
	}
	value, err := c.read.value(metadata)
	return err == nil && isTrue(value)
}

// errNoValue is said of what Python would raise an error for.
var errNoValue = errors.New("there is no value")

type valueFunc = func(names map[string]any) (any, error)

// literal is a number or a string as it is written. Numbers are floats, which
// hold every whole one up to 2^53.
func literal(text string) valueFunc {
	var value any
	if text[0] == '"' || text[0] == '\'' {
		value = unquoted(text[1 : len(text)-1])
	} else if number, _, err := big.ParseFloat(goNumber(text), 0, 53, big.ToNearestEven); err == nil {
		value, _ = number.Float64()
	}
	return func(map[string]any) (any, error) {
		if value == nil {
			return nil, errNoValue
		}
		return value, nil
	}
}

// goNumber is a number as Go reads it: to Python, 010.5 has no octal digits.
func goNumber(text string) string {
	text = strings.ReplaceAll(text, "_", "")
	if len(text) > 1 && text[0] == '0' && strings.ContainsRune("xXoObB", rune(text[1])) {
		return text
	}
	return "0" + strings.TrimLeft(text, "0")
}

// unquoted resolves the escapes of a string; of an unknown one both characters
// stay, as in Python.
func unquoted(text string) string {
	if !strings.Contains(text, `\`) {
		return text
	}
	return strings.NewReplacer(`\\`, `\`, `\'`, `'`, `\"`, `"`, `\n`, "\n", `\t`, "\t", `\r`, "\r").Replace(text)
}

func named(name string) valueFunc {
	switch name {
	case "True", "False":
		return func(map[string]any) (any, error) { return name == "True", nil }
	case "None":
		return func(map[string]any) (any, error) { return nil, nil }
	}
	return func(names map[string]any) (any, error) {
		value, found := names[name]
		if !found {
			return nil, errNoValue
		}
		return value, nil
	}
}

func attributeOf(of expression, name string) valueFunc {
	return func(names map[string]any) (any, error) {
		value, err := of.value(names)
		if err != nil {
			return nil, err
		}
		object, _ := value.(map[string]any)
		inner, found := object[name]
		if !found {
			return nil, errNoValue
		}
		return inner, nil
	}
}

func negated(of expression, odd bool) valueFunc {
	return func(names map[string]any) (any, error) {
		value, err := of.value(names)
		return isTrue(value) != odd, err
	}
}

func signed(of expression, minus bool) valueFunc {
	return func(names map[string]any) (any, error) {
		value, err := of.value(names)
		if err != nil {
			return nil, err
		}
		number, ok := numberOf(value)
		if !ok {
			return nil, errNoValue
		}
		if minus {
			number = -number
		}
		return number, nil
	}
}

// combine is what operators of one level make of their sides.
func combine(level int, sides []expression, operators []string) valueFunc {
	switch {
	case level < notLevel: // or, and: the value of the side that decides
		stopsAt := level == 0
		return func(names map[string]any) (value any, err error) {
			for _, side := range sides {
				if value, err = side.value(names); err != nil || isTrue(value) == stopsAt {
					return value, err
				}
			}
			return value, nil
		}
	case level == comparisonLevel: // 0 < a < 1 is 0 < a and a < 1
		return func(names map[string]any) (any, error) {
			left, err := sides[0].value(names)
			if err != nil {
				return nil, err
			}
			for i, operator := range operators {
				right, err := sides[i+1].value(names)
				if err != nil {
					return nil, err
				}
				if holds, err := compare(operator, left, right); err != nil || !holds {
					return false, err
				}
				left = right
			}
			return true, nil
		}
	default:
		return func(names map[string]any) (any, error) {
			left, err := sides[0].value(names)
			for i, operator := range operators {
				var right any
				if err == nil {
					right, err = sides[i+1].value(names)
				}
				if err != nil {
					return nil, err
				}
				left, err = calculate(operator, left, right)
			}
			return left, err
		}
	}
}

func isTrue(value any) bool {
	switch value := value.(type) {
	case nil:
		return false
	case bool:
		return value
	case float64:
		return value != 0
	case string:
		return value != ""
	case []any:
		return len(value) > 0
	case map[string]any:
		return len(value) > 0
	default:
		return true
	}
}

// numberOf is a number; to Python, True is 1.
func numberOf(value any) (float64, bool) {
	switch value := value.(type) {
	case float64:
		return value, true
	case bool:
		if value {
			return 1, true
		}
		return 0, true
	default:
		return 0, false
	}
}

func isEqual(a, b any) bool {
	if x, ok := numberOf(a); ok {
		y, ok := numberOf(b)
		return ok && x == y
	}
	switch a := a.(type) {
	case nil:
		return b == nil
	case string:
		other, ok := b.(string)
		return ok && a == other
	case []any:
		other, ok := b.([]any)
		return ok && slices.EqualFunc(a, other, isEqual)
	case map[string]any:
		other, ok := b.(map[string]any)
		if !ok || len(a) != len(other) {
			return false
		}
		for name, value := range a {
			if there, found := other[name]; !found || !isEqual(value, there) {
				return false
			}
		}
		return true
	default:
		return false
	}
}

func compare(operator string, a, b any) (bool, error) {
	switch operator {
	case "==":
		return isEqual(a, b), nil
	case "!=":
		return !isEqual(a, b), nil
	case "is", "is not":
		same := fmt.Sprintf("%T", a) == fmt.Sprintf("%T", b) && isEqual(a, b)
		return same == (operator == "is"), nil
	case "in", "not in":
		found, err := contains(b, a)
		return found == (operator == "in"), err
	}
	order := 0
	x, isNumber := numberOf(a)
	y, areNumbers := numberOf(b)
	text, isText := a.(string)
	other, areTexts := b.(string)
	switch {
	case isNumber && areNumbers:
		if math.IsNaN(x) || math.IsNaN(y) {
			return false, nil
		}
		order = cmp.Compare(x, y)
	case isText && areTexts:
		order = strings.Compare(text, other)
	default:
		return false, errNoValue
	}
	switch operator {
	case "<":
		return order < 0, nil
	case "<=":
		return order <= 0, nil
	case ">":
		return order > 0, nil
	default:
		return order >= 0, nil
	}
}

func contains(in, value any) (bool, error) {
	switch in := in.(type) {
	case string:
		text, ok := value.(string)
		if !ok {
			return false, errNoValue
		}
		return strings.Contains(in, text), nil
	case []any:
		return slices.ContainsFunc(in, func(item any) bool { return isEqual(item, value) }), nil
	case map[string]any:
		name, ok := value.(string)
		_, found := in[name]
		return ok && found, nil
	default:
		return false, errNoValue
	}
}

func calculate(operator string, a, b any) (any, error) {
	if text, ok := a.(string); ok && operator == "+" {
		if other, ok := b.(string); ok {
			return text + other, nil
		}
	}
	x, isNumber := numberOf(a)
	y, areNumbers := numberOf(b)
	if !isNumber || !areNumbers || y == 0 && slices.Contains([]string{"/", "//", "%"}, operator) {
		return nil, errNoValue
	}
	switch operator {
	case "+":
		return x + y, nil
	case "-":
		return x - y, nil
	case "*":
		return x * y, nil
	case "/":
		return x / y, nil
	case "//":
		return math.Floor(x / y), nil
	case "%": // of Python, with the sign of the right side
		return x - y*math.Floor(x/y), nil
	default:
		power := math.Pow(x, y)
		if math.IsNaN(power) {
			return nil, errNoValue
		}
		return power, nil
	}
}
