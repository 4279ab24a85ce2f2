package wire

import (
	"fmt"
	"strconv"
	"strings"
)

// LayerProgress is how far one layer of an image is. It goes through the log as
// a line of the status stream that a person can read as it is, and that a
// terminal draws as a bar.
type LayerProgress struct {
	Layer string // the digest's first twelve characters
	Phase string // one word, such as downloading
	Done  int64  // bytes
	Total int64  // bytes
}

// String is the line: `Layer 1f2e3d4c5b6a: downloading 1.0 MB of 4.2 MB`.
func (p LayerProgress) String() string {
	return fmt.Sprintf("Layer %s: %s %s of %s", p.Layer, p.Phase, Size(p.Done), Size(p.Total))
}

// ParseLayerProgress reads such a line, with sizes as exact as they were
// written; ok is false for every other line.
func ParseLayerProgress(line string) (p LayerProgress, ok bool) {
	words := strings.Split(line, " ")
	if len(words) != 8 || words[0] != "Layer" || words[5] != "of" {
		return p, false
	}
	layer, found := strings.CutSuffix(words[1], ":")
	done, doneOK := parseSize(words[3], words[4])
	total, totalOK := parseSize(words[6], words[7])
	if !found || !doneOK || !totalOK {
		return p, false
	}
	return LayerProgress{Layer: layer, Phase: words[2], Done: done, Total: total}, true
}

// units are powers of ten, as Docker shows sizes.
var units = []string{"B", "kB", "MB", "GB", "TB", "PB", "EB"}

// Size is a number of bytes for people, such as 4.2 MB.
func Size(bytes int64) string {
	value, unit := float64(max(bytes, 0)), 0
	for value >= 999.95 && unit < len(units)-1 {
		value /= 1000
		unit++
	}
	if unit == 0 {
		return fmt.Sprintf("%d B", bytes)
	}
	return fmt.Sprintf("%.1f %s", value, units[unit])
}

func parseSize(number, unit string) (int64, bool) {
	value, err := strconv.ParseFloat(number, 64)
	if err != nil || !(value >= 0 && value < 1000) {
		return 0, false
	}
	for _, name := range units {
		if name == unit {
			return int64(value), true
		}
		value *= 1000
	}
	return 0, false
}
