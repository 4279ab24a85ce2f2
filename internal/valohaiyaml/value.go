package valohaiyaml

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Kind is what a Value is.
type Kind uint8

// The kinds of values that YAML and JSON can hold.
const (
	Null Kind = iota
	Boolean
	Integer
	Float
	Text
	Time
	List
	Map
)

var kindNames = [...]string{"null", "a boolean", "an integer", "a floating-point number", "a string", "a date", "a list", "a map"}

// String is the kind with its article, for messages.
func (k Kind) String() string { return kindNames[k] }

// Value is a piece of data that prints as Python's str() prints it, so that
// `3` and `3.0` stay apart. The zero value is null. A Value is never changed.
type Value struct {
	kind Kind

	// text is an integer's decimal digits, a string, or a date as Python
	// prints it; truth and float are for those kinds.
	text  string
	truth bool
	float float64

	// content is that of a list or a map; nil where it is empty, and for all
	// other kinds. Most values are none of the two, and there are many.
	content *content
}

// content is what a list or a map holds.
type content struct {
	// list holds a list's items, or a map's values, whose keys are keys.
	list, keys []Value
}

// list are a list's items, or a map's values.
func (v Value) list() []Value {
	if v.content == nil {
		return nil
	}
	return v.content.list
}

// keys are a map's keys.
func (v Value) keys() []Value {
	if v.content == nil {
		return nil
	}
	return v.content.keys
}

// BoolValue is a boolean.
func BoolValue(b bool) Value { return Value{kind: Boolean, truth: b} }

// IntValue is an integer.
func IntValue(n int64) Value { return Value{kind: Integer, text: strconv.FormatInt(n, 10)} }

// FloatValue is a floating-point number, NaN and the infinities included.
func FloatValue(f float64) Value { return Value{kind: Float, float: f} }

// TextValue is a string.
func TextValue(s string) Value { return Value{kind: Text, text: s} }

// ListValue is a list.
func ListValue(items ...Value) Value { return Value{kind: List, content: &content{list: items}} }

// Kind is what v is.
func (v Value) Kind() Kind { return v.kind }

// IsNull reports whether v is null.
func (v Value) IsNull() bool { return v.kind == Null }

// Items are the items of a list, which must not be changed; nil otherwise.
func (v Value) Items() []Value {
	if v.kind != List {
		return nil
	}
	return v.list()
}

// Truthy is Python's bool(): false for null, false, zero and what is empty.
func (v Value) Truthy() bool {
	switch v.kind {
	case Null:
		return false
	case Boolean:
		return v.truth
	case Integer:
		return v.text != "0"
	case Float:
		return v.float != 0
	case Text:
		return v.text != ""
	case List, Map:
		return len(v.list()) > 0
	default:
		return true
	}
}

// String is Python's str(): `None`, `True`, `3.0`, `1e-05`, and for a list
// `[1, 'a']`.
func (v Value) String() string {
	switch v.kind {
	case Null:
		return "None"
	case Boolean:
		if v.truth {
			return "True"
		}
		return "False"
	case Float:
		return pythonFloat(v.float)
	case List, Map:
		return v.repr()
	default:
		return v.text
	}
}

// repr is Python's repr(), which is how values print inside a list. A date
// prints as a string would, unlike in Python.
func (v Value) repr() string {
	var b strings.Builder
	switch v.kind {
	case Text, Time:
		return pythonQuote(v.text)
	case List:
		b.WriteByte('[')
		for i, item := range v.list() {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(item.repr())
		}
		b.WriteByte(']')
	case Map:
		b.WriteByte('{')
		for i, item := range v.list() {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(v.keys()[i].repr() + ": " + item.repr())
		}
		b.WriteByte('}')
	default:
		return v.String()
	}
	return b.String()
}

// Equal is Python's ==: 1, 1.0 and True are equal, "1" is none of them, and
// NaN is not even itself. Inside a list NaN is, and maps are equal only in the
// same order.
func (v Value) Equal(w Value) bool {
	return !v.isNaN() && v.identity() == w.identity()
}

// identity is the same text for equal values, and no other.
func (v Value) identity() string {
	switch v.kind {
	case Integer:
		return v.text
	case Boolean, Float:
		if v.kind == Float && (math.IsNaN(v.float) || math.IsInf(v.float, 0)) {
			return v.String()
		}
		n, whole := v.big().Int(nil)
		if whole != big.Exact {
			return v.String()
		}
		return n.String()
	case List, Map:
		var b strings.Builder
		fmt.Fprintf(&b, "%d", v.kind)
		for i, item := range v.list() {
			text := item.identity()
			if v.kind == Map {
				key := v.keys()[i].identity()
				fmt.Fprintf(&b, ",%d:%s", len(key), key)
			}
			fmt.Fprintf(&b, ",%d:%s", len(text), text)
		}
		return "[" + b.String()
	default:
		return v.kind.String() + ":" + v.text
	}
}

// isNaN reports whether v is the number that equals none.
func (v Value) isNaN() bool { return v.kind == Float && math.IsNaN(v.float) }

// isNumber reports whether v is compared as a number, as Python compares its
// booleans too.
func (v Value) isNumber() bool { return v.kind == Boolean || v.kind == Integer || v.kind == Float }

// order is how two numbers compare; unordered if one is NaN.
type order int

const (
	less      order = -1
	equal     order = 0
	greater   order = 1
	unordered order = 2
)

// compare orders two numbers, integers of any length included.
func (v Value) compare(w Value) order {
	if v.isNaN() || w.isNaN() {
		return unordered
	}
	if v.isShort() && w.isShort() {
		a, _ := strconv.ParseInt(v.text, 10, 64)
		b, _ := strconv.ParseInt(w.text, 10, 64)
		return order(cmp.Compare(a, b))
	}
	return order(v.big().Cmp(w.big()))
}

// isShort reports whether v is an integer that an int64 holds for sure.
func (v Value) isShort() bool { return v.kind == Integer && len(v.text) <= 18 }

// big is a number without loss. NaN is no such number.
func (v Value) big() *big.Float {
	switch v.kind {
	case Integer:
		n, _ := new(big.Int).SetString(v.text, 10)
		return new(big.Float).SetInt(n)
	case Boolean:
		if v.truth {
			return big.NewFloat(1)
		}
		return new(big.Float)
	default:
		return big.NewFloat(v.float)
	}
}

// asFloat is the number nearest to v.
func (v Value) asFloat() float64 {
	if v.kind == Float {
		return v.float
	}
	f, _ := v.big().Float64()
	return f
}

// Data is v as encoding/json takes it: nil, bool, json.Number, string, []any
// and map[string]any. Numbers that JSON does not have are strings.
func (v Value) Data() any {
	switch v.kind {
	case Null:
		return nil
	case Boolean:
		return v.truth
	case Integer:
		return json.Number(v.text)
	case Float:
		if math.IsNaN(v.float) || math.IsInf(v.float, 0) {
			return v.String()
		}
		return json.Number(v.String())
	case List:
		items := make([]any, len(v.list()))
		for i, item := range v.list() {
			items[i] = item.Data()
		}
		return items
	case Map:
		entries := make(map[string]any, len(v.list()))
		for i, item := range v.list() {
			entries[v.keys()[i].String()] = item.Data()
		}
		return entries
	default:
		return v.text
	}
}

// MarshalJSON writes v with its numbers as they print: 3.0 stays 3.0.
func (v Value) MarshalJSON() ([]byte, error) { return json.Marshal(v.Data()) }

// UnmarshalJSON reads v and keeps 3 and 3.0 apart, as Python's json does.
func (v *Value) UnmarshalJSON(data []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var raw any
	if err := decoder.Decode(&raw); err != nil {
		return err
	}
	value, err := fromData(raw)
	if err != nil {
		return err
	}
	*v = value
	return nil
}

// fromData is the value of what encoding/json decodes with UseNumber. A map's
// keys come sorted.
func fromData(raw any) (Value, error) {
	switch raw := raw.(type) {
	case nil:
		return Value{}, nil
	case bool:
		return BoolValue(raw), nil
	case string:
		return TextValue(raw), nil
	case json.Number:
		return fromNumber(string(raw))
	case []any:
		items := make([]Value, 0, len(raw))
		for _, item := range raw {
			value, err := fromData(item)
			if err != nil {
				return Value{}, err
			}
			items = append(items, value)
		}
		return ListValue(items...), nil
	case map[string]any:
		var all content
		for _, key := range slices.Sorted(maps.Keys(raw)) {
			value, err := fromData(raw[key])
			if err != nil {
				return Value{}, err
			}
			all.keys, all.list = append(all.keys, TextValue(key)), append(all.list, value)
		}
		return Value{kind: Map, content: &all}, nil
	default:
		return Value{}, fmt.Errorf("%T is no JSON data", raw)
	}
}

func fromNumber(text string) (Value, error) {
	if !strings.ContainsAny(text, ".eE") {
		n, ok := decimal(text)
		if !ok {
			return Value{}, fmt.Errorf("a number of %d digits is too long", len(text))
		}
		return Value{kind: Integer, text: n}, nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil && !math.IsInf(f, 0) {
		return Value{}, fmt.Errorf("number %q: %w", text, err)
	}
	return FloatValue(f), nil
}

// mostDigits is where Python too stops to convert between text and integer.
// https://docs.python.org/3/library/stdtypes.html#integer-string-conversion-length-limitation
const mostDigits = 4300

// decimal is an integer's text as Python prints it: without plus sign and
// leading zeros.
func decimal(text string) (string, bool) {
	if len(text) > mostDigits {
		return "", false
	}
	n, ok := new(big.Int).SetString(text, 10)
	if !ok {
		return "", false
	}
	return n.String(), true
}

// pythonFloat is repr() of a float: the shortest digits that read back the
// same, with an exponent from 1e16 on and below 1e-4.
func pythonFloat(f float64) string {
	switch {
	case math.IsNaN(f):
		return "nan"
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	}
	if size := math.Abs(f); size != 0 && (size < 1e-4 || size >= 1e16) {
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// pythonQuote is repr() of a string: single quotes unless only those are in it.
func pythonQuote(s string) string {
	mark := '\''
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		mark = '"'
	}
	var b strings.Builder
	b.WriteRune(mark)
	for _, r := range s {
		switch {
		case r == mark || r == '\\':
			b.WriteRune('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r <= 0xff:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	b.WriteRune(mark)
	return b.String()
}
