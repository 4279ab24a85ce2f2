package web

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"fairlead.dev/fairlead/internal/execution"
)

const (
	plotWidth, plotHeight = 320, 110

	// plotPoints is how many points a line has at most: more than its pixels tell
	// nothing.
	plotPoints = 320

	// plotsMost bounds what one page draws.
	plotsMost = 40
)

// plot is a number that an execution told again and again, as a line.
type plot struct {
	Name        string
	Points      string // of an SVG polyline
	Least, Most string
	Last        string
	Count       int
}

// Said is the plot in words.
func (p plot) Said() string {
	return fmt.Sprintf("%s: %d values from %s to %s, the last %s", p.Name, p.Count, p.Least, p.Most, p.Last)
}

// plotsOf draws what was told more than once as a number, and gives the latest value
// of everything else.
func plotsOf(told []execution.Metadatum) (plots []plot, latest []setting) {
	tracks := tracksOf(told)
	for _, name := range slices.Sorted(maps.Keys(tracks)) {
		if track := tracks[name]; len(track.values) > 1 && len(plots) < plotsMost {
			plots = append(plots, newPlot(name, track.values))
		} else {
			latest = append(latest, setting{name, compact(track.last)})
		}
	}
	return plots, latest
}

// track is what was told under one name: its numbers, and the last value as it was
// written.
type track struct {
	values []float64
	last   jsontext.Value
}

// tracksOf reads metadata, of which there may be ten thousand: what is not shown is
// passed over and not made anything of.
func tracksOf(told []execution.Metadatum) map[string]*track {
	tracks := make(map[string]*track)
	written := make(map[string]*track) // by the names as they stand there, with quotes
	var from bytes.Reader
	decoder := jsontext.NewDecoder(&from, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	for _, datum := range told {
		from.Reset(datum.Body)
		decoder.Reset(&from, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
		if begin, err := decoder.ReadToken(); err != nil || begin.Kind() != '{' {
			continue // no object: nothing to draw
		}
		for decoder.PeekKind() == '"' {
			name, err := decoder.ReadValue()
			if err != nil {
				break
			}
			quoted := string(name) // which the decoder uses for the value
			value, err := decoder.ReadValue()
			if err != nil {
				break
			}
			known := written[quoted]
			if known == nil {
				plain, _ := jsontext.AppendUnquote(nil, quoted) // the decoder has looked at it
				if known = tracks[string(plain)]; known == nil {
					known = &track{}
					tracks[string(plain)] = known
				}
				written[quoted] = known
			}
			known.last = append(known.last[:0], value...)
			if value.Kind() != '0' {
				continue
			}
			if number, err := strconv.ParseFloat(string(value), 64); err == nil {
				known.values = append(known.values, number)
			}
		}
	}
	return tracks
}

func newPlot(name string, values []float64) plot {
	least, most := slices.Min(values), slices.Max(values)
	return plot{
		Name: name, Points: polyline(values, least, most), Count: len(values),
		Least: figure(least), Most: figure(most), Last: figure(values[len(values)-1]),
	}
}

// polyline are the points of values, evenly apart, on a scale from least to most.
func polyline(values []float64, least, most float64) string {
	span := most - least
	if span == 0 || math.IsInf(span, 0) || math.IsNaN(span) {
		span = 1
	}
	shown := thin(values)
	var points strings.Builder
	for i, value := range shown {
		x := float64(plotWidth) * float64(i) / float64(max(len(shown)-1, 1))
		y := plotHeight - (value-least)/span*plotHeight
		fmt.Fprintf(&points, "%.1f,%.1f ", x, y)
	}
	return strings.TrimSpace(points.String())
}

// thin keeps of each stretch of values its least and its most, so that peaks stay.
func thin(values []float64) []float64 {
	if len(values) <= plotPoints {
		return values
	}
	var kept []float64
	stretches := plotPoints / 2
	for i := range stretches {
		part := values[i*len(values)/stretches : (i+1)*len(values)/stretches]
		low, high := slices.Min(part), slices.Max(part)
		if slices.Index(part, low) < slices.Index(part, high) {
			kept = append(kept, low, high)
		} else {
			kept = append(kept, high, low)
		}
	}
	return kept
}

func figure(value float64) string { return strconv.FormatFloat(value, 'g', 5, 64) }
