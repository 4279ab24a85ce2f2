package valohaiyaml

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/fault"
)

// durationPart is one number with its unit; what stands between two such parts
// is passed over, as in `1.5d 2hours` or `1h-30m`.
var durationPart = regexp.MustCompile(`[.0-9]+\s*[a-z]*`)

var units = map[byte]time.Duration{
	's': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour,
}

// ParseDuration reads a time limit: whole seconds as they are, zero and
// negative ones too, or a text such as `1h 30m` that sums up to more than
// nothing. It is nil for null and for a blank text. The error is an Invalid
// fault with the mend.
func ParseDuration(v Value) (*time.Duration, error) {
	switch v.Kind() {
	case Null:
		return nil, nil
	case Boolean, Integer:
		return seconds(v.asFloat(), v)
	case Text:
		return durationText(v)
	default:
		return nil, badDuration("a duration is a number of seconds or a text, not %s", v.Kind())
	}
}

func durationText(v Value) (*time.Duration, error) {
	if strings.TrimSpace(v.text) == "" {
		return nil, nil
	}
	total := 0.0
	for _, part := range durationPart.FindAllString(v.text, -1) {
		digits := strings.TrimRight(part, "abcdefghijklmnopqrstuvwxyz")
		unit := part[len(digits):]
		count, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
		if err != nil {
			return nil, badDuration("%s in the duration %s is no number", quote(strings.TrimSpace(digits)), quote(v.text))
		}
		if unit == "" {
			return nil, badDuration("%s in the duration %s has no unit", quote(part), quote(v.text))
		}
		size, known := units[unit[0]]
		if !known {
			return nil, badDuration("%s in the duration %s is no unit of time", quote(unit), quote(v.text))
		}
		total += count * size.Seconds()
	}
	if !(total > 0) {
		return nil, badDuration("the duration %s is not longer than nothing", quote(v.text))
	}
	return seconds(total, v)
}

// seconds is a count of seconds as a duration, if it is less than 292 years.
func seconds(count float64, v Value) (*time.Duration, error) {
	if math.Abs(count) >= float64(math.MaxInt64)/float64(time.Second) {
		return nil, badDuration("the duration %s is too long", quote(v.String()))
	}
	d := time.Duration(math.Round(count * float64(time.Second)))
	return &d, nil
}

func badDuration(message string, args ...any) error {
	return fault.New(fault.Invalid, "duration", message, args...).
		WithHint("Write a number of seconds, or numbers with the units `s`, `m`, `h`, `d` or `w` in lower case, such as `1h 30m`.")
}
