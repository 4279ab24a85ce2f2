package valohaiyaml

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// The shapes of YAML 1.1 as PyYAML knows them (https://pyyaml.org, resolver.py):
// they differ from the specification, and Go's YAML packages from both. `1e-3`
// is a string, `010` is eight, `1:30` is ninety.
var (
	integerShape = regexp.MustCompile(`^[-+]?(?:0b[01_]+|0[0-7_]+|0|[1-9][0-9_]*|0x[0-9a-fA-F_]+|[1-9][0-9_]*(?::[0-5]?[0-9])+)$`)
	floatShape   = regexp.MustCompile(`^(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?|` +
		`[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$`)
	dateShape   = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}$`)
	momentShape = regexp.MustCompile(`^([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})(?:(?:[Tt]|[ \t]+)([0-9]{1,2}):([0-9]{2}):([0-9]{2})` +
		`(?:\.([0-9]*))?(?:[ \t]*(Z|([-+])([0-9]{1,2})(?::([0-9]{2}))?))?)?$`)
)

// resolve is the value of a plain scalar. The error is for a text that has a
// number's or a date's shape and yet is none, such as 2020-13-45.
func resolve(text string) (Value, error) {
	switch text {
	case "", "~", "null", "Null", "NULL":
		return Value{}, nil
	case "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON":
		return BoolValue(true), nil
	case "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF":
		return BoolValue(false), nil
	}
	if !strings.ContainsRune("-+.0123456789", rune(text[0])) {
		return TextValue(text), nil
	}
	if isPlainInteger(text) {
		return Value{kind: Integer, text: text}, nil
	}
	switch {
	case floatShape.MatchString(text):
		return float(text)
	case integerShape.MatchString(text):
		return integer(text)
	case dateShape.MatchString(text), momentShape.MatchString(text) && strings.Contains(text, ":"):
		return moment(text)
	default:
		return TextValue(text), nil
	}
}

// isPlainInteger reports whether a text is an integer as most are written, which
// is how it prints too: decimal digits, the first of them no zero.
func isPlainInteger(text string) bool {
	if len(text) > mostDigits || text == "" || text[0] == '0' && text != "0" {
		return false
	}
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return false
		}
	}
	return true
}

// integer is the value of a text of integerShape.
func integer(text string) (Value, error) {
	if len(text) > mostDigits {
		return Value{}, fmt.Errorf("an integer of %d characters is too long", len(text))
	}
	digits := strings.ReplaceAll(text, "_", "")
	negative := strings.HasPrefix(digits, "-")
	digits = strings.TrimLeft(digits, "-+")
	n, ok := new(big.Int), true
	switch {
	case strings.HasPrefix(digits, "0b"):
		n, ok = n.SetString(digits[2:], 2)
	case strings.HasPrefix(digits, "0x"):
		n, ok = n.SetString(digits[2:], 16)
	case digits != "0" && digits[0] == '0':
		n, ok = n.SetString(digits, 8)
	case strings.Contains(digits, ":"):
		for part := range strings.SplitSeq(digits, ":") {
			place, _ := new(big.Int).SetString(part, 10)
			n.Add(n.Mul(n, big.NewInt(60)), place)
		}
	default:
		n, ok = n.SetString(digits, 10)
	}
	if !ok {
		return Value{}, fmt.Errorf("%s is no integer", quote(text))
	}
	if negative {
		n.Neg(n)
	}
	return Value{kind: Integer, text: n.String()}, nil
}

// float is the value of a text of floatShape.
func float(text string) (Value, error) {
	digits := strings.ToLower(strings.ReplaceAll(text, "_", ""))
	sign := 1.0
	if strings.HasPrefix(digits, "-") {
		sign = -1
	}
	digits = strings.TrimLeft(digits, "-+")
	switch digits {
	case ".inf":
		return FloatValue(math.Inf(int(sign))), nil
	case ".nan":
		return FloatValue(math.NaN()), nil
	}
	sum := 0.0
	for part := range strings.SplitSeq(digits, ":") {
		f, err := strconv.ParseFloat(part, 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			return Value{}, fmt.Errorf("%s is no number", quote(text))
		}
		sum = sum*60 + f
	}
	return FloatValue(sign * sum), nil
}

// moment is the date or time of day of a text of momentShape, printed as
// Python's datetime prints.
func moment(text string) (Value, error) {
	part := momentShape.FindStringSubmatch(text)
	number := func(i int) int {
		n, _ := strconv.Atoi(part[i]) // "" is 0: a part that is not there
		return n
	}
	year, month, day, hour, minute, second := number(1), number(2), number(3), number(4), number(5), number(6)
	zoneHour, zoneMinute := number(10), number(11)
	t := time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC)
	real := year > 0 && t.Month() == time.Month(month) && t.Day() == day && t.Hour() == hour && t.Minute() == minute && t.Second() == second
	if !real || zoneHour*60+zoneMinute >= 24*60 {
		return Value{}, fmt.Errorf("%s looks like a date, and there is no such date", quote(text))
	}
	if part[4] == "" {
		return Value{kind: Time, text: t.Format(time.DateOnly)}, nil
	}
	printed := t.Format(time.DateTime)
	if micros := (part[7] + "000000")[:6]; micros != "000000" {
		printed += "." + micros
	}
	if part[8] == "Z" {
		printed += "+00:00"
	} else if part[9] != "" {
		sign := part[9]
		if zoneHour == 0 && zoneMinute == 0 {
			sign = "+"
		}
		printed += fmt.Sprintf("%s%02d:%02d", sign, zoneHour, zoneMinute)
	}
	return Value{kind: Time, text: printed}, nil
}
