package wire

import (
	"fmt"
	"strings"
	"unicode"
)

// IsHarmful reports whether what shows a log might do something at r: a control
// character but for the tab, or one that changes the direction of text
// (https://www.unicode.org/reports/tr9/).
func IsHarmful(r rune) bool {
	return r != '\t' && unicode.IsControl(r) || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}

// Escaped is how such a character is shown.
func Escaped(r rune) string {
	switch {
	case r == '\r':
		return `\r`
	case r < 0x80:
		return fmt.Sprintf(`\x%02x`, r)
	default:
		return fmt.Sprintf(`\u%04x`, r)
	}
}

// LastOverwrite is what a terminal would show of a line that a progress bar wrote
// over with carriage returns.
func LastOverwrite(text string) string {
	text = strings.TrimRight(text, "\r")
	return text[strings.LastIndexByte(text, '\r')+1:]
}
