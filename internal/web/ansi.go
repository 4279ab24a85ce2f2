package web

import (
	"html"
	"strconv"
	"strings"
	"unicode/utf8"

	"fairlead.dev/fairlead/internal/wire"
)

// look is how text of a log looks: what SGR sequences set.
// https://www.ecma-international.org/publications-and-standards/standards/ecma-48/
type look struct {
	fg, bg                                            int // 1 to 16; 0: the page's own
	bold, dim, italic, underline, strikeout, inverted bool
}

// classes are the look's names in the style sheet: a page of this policy cannot have
// colours of its own, so that each is the nearest of the sixteen.
func (l look) classes() string {
	var names []string
	if l.inverted {
		names = append(names, "inv")
	}
	for _, part := range []struct {
		is   bool
		name string
	}{
		{l.fg > 0, "f" + strconv.Itoa(l.fg-1)},
		{l.bg > 0, "b" + strconv.Itoa(l.bg-1)},
		{l.bold, "bo"},
		{l.dim, "di"},
		{l.italic, "it"},
		{l.underline, "un"},
		{l.strikeout, "st"},
	} {
		if part.is {
			names = append(names, part.name)
		}
	}
	return strings.Join(names, " ")
}

// appendText appends a line of a log as HTML: colours become classes, and what could
// do anything else is shown as an escape. It returns the look that the next line of
// the same stream begins with.
func appendText(to []byte, text string, now look) ([]byte, look) {
	text = wire.LastOverwrite(text)
	begin := 0
	flush := func(end int) {
		if end <= begin {
			return
		}
		if classes := now.classes(); classes != "" {
			to = append(to, `<span class="`+classes+`">`...)
			to = append(to, html.EscapeString(text[begin:end])...)
			to = append(to, `</span>`...)
			return
		}
		to = append(to, html.EscapeString(text[begin:end])...)
	}
	for i := 0; i < len(text); {
		if codes, size := sgr(text[i:]); size > 0 {
			flush(i)
			now = now.with(codes)
			i += size
			begin = i
			continue
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		if wire.IsHarmful(r) {
			flush(i)
			to = append(to, `<span class="esc">`+wire.Escaped(r)+`</span>`...)
			begin = i + size
		}
		i += size
	}
	flush(len(text))
	return to, now
}

// sgr reads a sequence that changes how text looks and nothing else.
func sgr(text string) (codes string, size int) {
	const most = 32
	if !strings.HasPrefix(text, "\x1b[") {
		return "", 0
	}
	for i := 2; i < len(text) && i < most+2; i++ {
		switch c := text[i]; {
		case c == 'm':
			return text[2:i], i + 1
		case c != ';' && c != ':' && (c < '0' || c > '9'):
			return "", 0
		}
	}
	return "", 0
}

// with is the look after a sequence. Codes that are unknown change nothing.
func (l look) with(codes string) look {
	numbers := strings.FieldsFunc(codes, func(r rune) bool { return r == ';' || r == ':' })
	if len(numbers) == 0 {
		return look{}
	}
	for i := 0; i < len(numbers); i++ {
		code, _ := strconv.Atoi(numbers[i]) // digits
		switch {
		case code == 0:
			l = look{}
		case code == 1:
			l.bold = true
		case code == 2:
			l.dim = true
		case code == 3:
			l.italic = true
		case code == 4:
			l.underline = true
		case code == 7:
			l.inverted = true
		case code == 9:
			l.strikeout = true
		case code == 22:
			l.bold, l.dim = false, false
		case code == 23:
			l.italic = false
		case code == 24:
			l.underline = false
		case code == 27:
			l.inverted = false
		case code == 29:
			l.strikeout = false
		case code >= 30 && code <= 37:
			l.fg = code - 30 + 1
		case code >= 90 && code <= 97:
			l.fg = code - 90 + 9
		case code >= 40 && code <= 47:
			l.bg = code - 40 + 1
		case code >= 100 && code <= 107:
			l.bg = code - 100 + 9
		case code == 39:
			l.fg = 0
		case code == 49:
			l.bg = 0
		case code == 38 || code == 48:
			colour, used := extended(numbers[i+1:])
			i += used
			if code == 38 {
				l.fg = colour
			} else {
				l.bg = colour
			}
		}
	}
	return l
}

// extended reads what follows 38 or 48, and finds the nearest of the sixteen.
func extended(numbers []string) (colour, used int) {
	at := func(i int) int {
		if i >= len(numbers) {
			return 0
		}
		n, _ := strconv.Atoi(numbers[i]) // digits
		return min(n, 255)
	}
	switch at(0) {
	case 5:
		return nearest(rgbOf(at(1))), 2
	case 2:
		return nearest([3]int{at(1), at(2), at(3)}), 4
	default:
		return 0, 1
	}
}

// sixteen are the colours of xterm.
var sixteen = [16][3]int{
	{0, 0, 0},
	{205, 0, 0},
	{0, 205, 0},
	{205, 205, 0},
	{0, 0, 238},
	{205, 0, 205},
	{0, 205, 205},
	{229, 229, 229},
	{127, 127, 127},
	{255, 0, 0},
	{0, 255, 0},
	{255, 255, 0},
	{92, 92, 255},
	{255, 0, 255},
	{0, 255, 255},
	{255, 255, 255},
}

// rgbOf is one of xterm's 256 colours: the sixteen, a cube of six and a ramp of grey.
func rgbOf(n int) [3]int {
	switch {
	case n < 16:
		return sixteen[n]
	case n < 232:
		n -= 16
		level := func(i int) int {
			if i == 0 {
				return 0
			}
			return 55 + 40*i
		}
		return [3]int{level(n / 36), level(n / 6 % 6), level(n % 6)}
	default:
		grey := 8 + 10*(n-232)
		return [3]int{grey, grey, grey}
	}
}

func nearest(rgb [3]int) int {
	best, least := 0, 1<<30
	for i, colour := range sixteen {
		distance := 0
		for c := range rgb {
			distance += (rgb[c] - colour[c]) * (rgb[c] - colour[c])
		}
		if distance < least {
			best, least = i, distance
		}
	}
	return best + 1
}
