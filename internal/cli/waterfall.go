package cli

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"fairlead.dev/fairlead/internal/wire"
)

// glyph is what a cell of a bar shows; each is told from the others without
// colours.
type glyph byte

const (
	glyphNothing  glyph = ' '
	glyphWait     glyph = '.'
	glyphTransfer glyph = '='
	glyphUnpack   glyph = '#'
	glyphAsk      glyph = '-'
	glyphFailed   glyph = 'x'
)

// glyphColours are SGR sequences, as plainColour is.
var glyphColours = map[glyph]string{
	glyphWait: "\x1b[33m", glyphTransfer: "\x1b[36m", glyphUnpack: "\x1b[35m", glyphAsk: "\x1b[34m", glyphFailed: "\x1b[31m",
}

// Widths of the columns beside the bar.
const (
	layerWidth = 12
	sizeWidth  = 8
	rateWidth  = 10
	retryWidth = 5
	fromWidth  = 8
	leftWidth  = layerWidth + 1 + sizeWidth + 1
	rightWidth = 1 + rateWidth + 1 + retryWidth + 1 + fromWidth
)

// A terminal that is narrower than rightFrom sees no columns on the right of the
// bars, and one in which a bar would not have barLeast cells sees long lines.
const (
	barLeast     = 8
	rightFrom    = 64
	defaultWidth = 80 // where there is no terminal
)

// waterfall draws a pull: a row for each layer over one axis of time.
type waterfall struct {
	report  wire.PullReport
	colours bool

	width int
	bar   int     // cells
	scale float64 // seconds that all of the bar stands for
}

func newWaterfall(report wire.PullReport, width int, colours bool) *waterfall {
	w := &waterfall{report: report, colours: colours, width: width, bar: width - leftWidth}
	if w.hasRight() {
		w.bar -= rightWidth
	}
	w.bar = max(w.bar, barLeast)
	const shortest = 0.001
	w.scale = max(report.TotalSeconds, shortest)
	for _, layer := range report.Layers {
		for _, at := range []*float64{layer.RequestedAt, layer.FirstByteAt, layer.LastByteAt, layer.UnpackedAt} {
			if at != nil {
				w.scale = max(w.scale, *at)
			}
		}
	}
	return w
}

func (w *waterfall) hasRight() bool { return w.width >= rightFrom }

// draw writes the rows, and what the glyphs mean.
func (w *waterfall) draw(out io.Writer) {
	r := w.report
	w.row(out, "LAYER", "SIZE", w.axis(), "RATE", "RETRY", "FROM")
	w.asking(out, "token", r.TokenSpans, r.TokenSeconds)
	w.asking(out, "manifest", r.ManifestSpans, r.ManifestSeconds)
	if slices.ContainsFunc(r.OtherPullsSpans, isNoticed) {
		w.asking(out, "other pulls", r.OtherPullsSpans, r.OtherPullsSeconds)
	}
	failed := false
	for _, layer := range r.Layers {
		failed = failed || layer.Failed
		w.row(out, shortDigest(layer.Digest), wire.Size(layer.SizeBytes), w.layerBar(layer), perSecond(layer.BytesPerSecond), times(layer.Retries), cmp.Or(layer.From, "-"))
	}
	took := fmt.Sprintf("%-*.*s", w.bar, w.bar, "in "+secondsText(r.TotalSeconds))
	w.row(out, "total", wire.Size(r.FetchedBytes), took, perSecond(r.BytesPerSecond), times(r.Retries), "")
	w.legend(out, failed)
}

// legend says what the glyphs mean, on as many lines as it takes.
func (w *waterfall) legend(out io.Writer, failed bool) {
	meanings := []struct {
		glyph glyph
		text  string
	}{{glyphWait, "waiting"}, {glyphTransfer, "transfer"}, {glyphUnpack, "unpacking the rest"}, {glyphFailed, "failed"}}
	if !failed {
		meanings = meanings[:len(meanings)-1]
	}
	column := w.width
	for _, m := range meanings {
		needs := 2 + len(m.text)
		switch {
		case column+2+needs > w.width:
			say(out, "\n")
			column = needs
		default:
			say(out, "  ")
			column += 2 + needs
		}
		say(out, "%s %s", w.paint([]glyph{m.glyph}), m.text)
	}
	say(out, "\n")
}

// row writes one line. What is too long for its column is cut, but for from,
// which has the room of the rate where there is none.
func (w *waterfall) row(out io.Writer, layer, size, bar, rate, retry, from string) {
	line := fmt.Sprintf("%-*s %*s %s", layerWidth, layer, sizeWidth, size, bar)
	switch from = ascii(from); {
	case !w.hasRight():
	case rate == "" && retry == "" && len(from) < rightWidth:
		line += fmt.Sprintf("%*s", rightWidth, from)
	default:
		line += fmt.Sprintf(" %*s %*s %*s", rateWidth, rate, retryWidth, retry, fromWidth, from[:min(len(from), fromWidth)])
	}
	say(out, "%s\n", strings.TrimRight(line, " "))
}

func (w *waterfall) asking(out io.Writer, what string, spans []wire.PullSpan, seconds float64) {
	parts := make([]stretch, len(spans))
	for i, span := range spans {
		parts[i] = stretch{glyphAsk, span.Begin, span.End}
	}
	w.row(out, what, "", w.paint(w.cells(parts)), secondsText(seconds), "", "")
}

// isNoticed reports whether a stretch of time is long enough to be told of.
func isNoticed(s wire.PullSpan) bool { return s.End-s.Begin >= 0.001 }

// layerBar is what happened to a layer. In a pull that came to no end, what was
// under way went on until then.
func (w *waterfall) layerBar(layer wire.PulledLayer) string {
	end := 0.0 // before everything: nothing is drawn
	if w.report.Unfinished {
		end = w.scale
	}
	var parts []stretch
	if layer.RequestedAt != nil {
		first := orMoment(layer.FirstByteAt, end)
		parts = append(parts, stretch{glyphWait, *layer.RequestedAt, first})
		if layer.FirstByteAt != nil {
			last := orMoment(layer.LastByteAt, first)
			rest := glyphWait
			if layer.FetchedBytes >= layer.SizeBytes {
				rest = glyphUnpack
			}
			parts = append(parts, stretch{glyphTransfer, first, last}, stretch{rest, last, orMoment(layer.UnpackedAt, end)})
		}
	}
	cells := w.cells(parts)
	if layer.Failed {
		cells[len(cells)-1] = glyphFailed
	}
	return w.paint(cells)
}

func orMoment(at *float64, otherwise float64) float64 {
	if at == nil {
		return otherwise
	}
	return *at
}

// stretch is a part of a bar, in seconds.
type stretch struct {
	glyph      glyph
	begin, end float64
}

// cells draws a bar: each cell shows what took the most of it. However short a
// stretch is, it has a cell where no other claims it.
func (w *waterfall) cells(parts []stretch) []glyph {
	cells := slices.Repeat([]glyph{glyphNothing}, w.bar)
	cell := w.scale / float64(w.bar)
	for i := range cells {
		most := 0.0
		for _, part := range parts {
			overlap := min(part.end, float64(i+1)*cell) - max(part.begin, float64(i)*cell)
			if overlap > most {
				cells[i], most = part.glyph, overlap
			}
		}
	}
	for _, part := range parts {
		at := min(int(part.begin/cell), w.bar-1)
		if at >= 0 && part.begin == part.end && cells[at] == glyphNothing {
			cells[at] = part.glyph
		}
	}
	return cells
}

// paint is cells as text, in colours where they are wanted.
func (w *waterfall) paint(cells []glyph) string {
	var b strings.Builder
	for begin := 0; begin < len(cells); {
		end := begin
		for end < len(cells) && cells[end] == cells[begin] {
			end++
		}
		run := strings.Repeat(string(rune(cells[begin])), end-begin)
		if colour := glyphColours[cells[begin]]; w.colours && colour != "" {
			run = colour + run + plainColour
		}
		b.WriteString(run)
		begin = end
	}
	return b.String()
}

// axis is the head of the bars: a mark at round numbers of seconds, each with its
// number behind it.
func (w *waterfall) axis() string {
	const apart = 9 // cells
	step := roundUp(w.scale * apart / float64(w.bar))
	decimals := max(0, int(math.Ceil(-math.Log10(step))))
	axis := []byte(strings.Repeat(" ", w.bar))
	for i := 0; ; i++ {
		at := int(float64(i) * step / w.scale * float64(w.bar))
		mark := "|" + strconv.FormatFloat(float64(i)*step, 'f', decimals, 64) + " s"
		if at+len(mark) > w.bar {
			return string(axis)
		}
		copy(axis[at:], mark)
	}
}

// roundUp is the next number of one, two or five and zeros.
func roundUp(x float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(x)))
	for _, round := range []float64{1, 2, 5} {
		if x <= round*power {
			return round * power
		}
	}
	return 10 * power
}

// shortDigest is the first twelve characters of a digest's value, as the log has
// them.
func shortDigest(digest string) string {
	_, value, _ := strings.Cut(digest, ":")
	value = ascii(value)
	return value[:min(len(value), layerWidth)]
}

// ascii is text of which every character takes one cell.
func ascii(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
}

func perSecond(bytes int64) string {
	if bytes == 0 {
		return ""
	}
	return wire.Size(bytes) + "/s"
}

func times(n int) string {
	const most = 9999
	switch {
	case n == 0:
		return ""
	case n > most:
		return ">" + strconv.Itoa(most)
	default:
		return strconv.Itoa(n)
	}
}

// secondsText is a number of seconds for people, as exact as it is of interest.
func secondsText(seconds float64) string {
	decimals := 0
	switch {
	case seconds < 0.01:
		decimals = 3
	case seconds < 10:
		decimals = 2
	}
	return strconv.FormatFloat(seconds, 'f', decimals, 64) + " s"
}

// wrap breaks a text of many words into lines of a width.
func wrap(text string, width int) string {
	var b strings.Builder
	column := 0
	for _, word := range strings.Fields(text) {
		letters := []rune(word)
		if column > 0 && column+1+len(letters) > width {
			b.WriteByte('\n')
			column = 0
		} else if column > 0 {
			b.WriteByte(' ')
			column++
		}
		for len(letters) > width {
			b.WriteString(string(letters[:width]) + "\n")
			letters = letters[width:]
		}
		b.WriteString(string(letters))
		column += len(letters)
	}
	return b.String()
}
