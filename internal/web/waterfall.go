package web

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"fairlead.dev/fairlead/internal/wire"
)

// waterfall is a pull as a picture: a row for each layer over one axis of time.
type waterfall struct {
	Rows   []waterfallRow
	Ticks  []waterfallTick
	Failed bool
}

type waterfallRow struct {
	Label string // the first twelve characters of the digest
	Said  string // all of it in words, for who cannot see the bars
	Bars  []waterfallBar

	Size, Rate, From string
	Retries          int
	Failed           bool
}

type waterfallBar struct {
	Kind     string // a class: ask, wait, transfer, unpack
	X, Width string // percent of the pull's time
	Said     string
}

type waterfallTick struct {
	X     string // percent
	Label string
}

func newWaterfall(r wire.PullReport) *waterfall {
	const shortest = 0.001
	total := max(r.TotalSeconds, shortest)
	for _, layer := range r.Layers {
		for _, at := range []*float64{layer.RequestedAt, layer.FirstByteAt, layer.LastByteAt, layer.UnpackedAt} {
			if at != nil {
				total = max(total, *at)
			}
		}
	}
	w := &waterfall{}
	percent := func(seconds float64) string { return strconv.FormatFloat(100*seconds/total, 'f', 2, 64) + "%" }
	bar := func(kind string, begin, end float64) waterfallBar {
		const visible = 0.2 / 100
		return waterfallBar{Kind: kind, X: percent(begin), Width: percent(max(end-begin, visible*total)), Said: fmt.Sprintf("%s %s to %s", kind, seconds(begin), seconds(end))}
	}
	add := func(row waterfallRow) {
		said := []string{row.Label}
		if row.Size != "" {
			said = append(said, row.Size)
		}
		if row.From != "" {
			said = append(said, "from "+row.From)
		}
		for _, b := range row.Bars {
			said = append(said, b.Said)
		}
		if row.Failed {
			said = append(said, "failed")
		}
		row.Said = strings.Join(said, ", ")
		w.Rows = append(w.Rows, row)
	}
	for _, asked := range []struct {
		label string
		spans []wire.PullSpan
	}{{"token", r.TokenSpans}, {"manifest", r.ManifestSpans}, {"other pulls", r.OtherPullsSpans}} {
		if len(asked.spans) == 0 {
			continue
		}
		row := waterfallRow{Label: asked.label}
		for _, span := range asked.spans {
			row.Bars = append(row.Bars, bar("ask", span.Begin, span.End))
		}
		add(row)
	}
	for _, layer := range r.Layers {
		row := waterfallRow{Label: layerLabel(layer.Digest), Size: wire.Size(layer.SizeBytes), From: layer.From, Retries: layer.Retries, Failed: layer.Failed}
		if layer.BytesPerSecond > 0 {
			row.Rate = wire.Size(layer.BytesPerSecond) + "/s"
		}
		w.Failed = w.Failed || layer.Failed
		row.Bars = layerBars(layer, total, r.Unfinished, bar)
		add(row)
	}
	for step, at := tickStep(total), 0.0; at <= total*0.95; at += step { // the last one needs room for its words
		w.Ticks = append(w.Ticks, waterfallTick{X: percent(at), Label: strconv.FormatFloat(at, 'f', max(0, int(math.Ceil(-math.Log10(step)))), 64) + " s"})
	}
	return w
}

// layerBars are what happened to a layer. In a pull that came to no end, what was
// under way went on until then.
func layerBars(layer wire.PulledLayer, total float64, unfinished bool, bar func(string, float64, float64) waterfallBar) []waterfallBar {
	if layer.RequestedAt == nil {
		return nil
	}
	end := func(at *float64, since float64) float64 {
		switch {
		case at != nil:
			return *at
		case unfinished:
			return total
		default:
			return since
		}
	}
	first := end(layer.FirstByteAt, *layer.RequestedAt)
	bars := []waterfallBar{bar("wait", *layer.RequestedAt, first)}
	if layer.FirstByteAt == nil {
		return bars
	}
	last := end(layer.LastByteAt, first)
	bars = append(bars, bar("transfer", first, last))
	if layer.FetchedBytes >= layer.SizeBytes {
		if done := end(layer.UnpackedAt, last); done > last {
			bars = append(bars, bar("unpack", last, done))
		}
	}
	return bars
}

// tickStep is one, two or five and zeros, so that there are some six ticks.
func tickStep(total float64) float64 {
	const ticks = 6
	power := math.Pow(10, math.Floor(math.Log10(total/ticks)))
	for _, round := range []float64{1, 2, 5} {
		if total/ticks <= round*power {
			return round * power
		}
	}
	return 10 * power
}

func layerLabel(digest string) string {
	_, value, _ := strings.Cut(digest, ":")
	return value[:min(len(value), 12)]
}

func seconds(s float64) string {
	if s < 10 {
		return strconv.FormatFloat(s, 'f', 2, 64) + " s"
	}
	return strconv.FormatFloat(s, 'f', 1, 64) + " s"
}
