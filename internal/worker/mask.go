package worker

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"fairlead.dev/fairlead/internal/wire"
)

// hiddenLeast is the shortest text that is hidden: of what is shorter, a log is
// full by chance.
const hiddenLeast = 4

// mask hides secrets in the log of a command. It keeps people from printing one
// by mistake; a command that wants to tell a secret can always write it in
// another way. The zero mask hides nothing.
type mask struct {
	replacer *strings.Replacer
	longest  int // bytes of the longest secret
}

// newMask hides each line of the values.
func newMask(secrets map[string]wire.OpenSecret) mask {
	hidden := make(map[string]bool)
	for _, value := range secrets {
		for line := range strings.Lines(value.Reveal()) {
			if line = strings.TrimRight(line, "\r\n"); len(line) >= hiddenLeast {
				hidden[line] = true
			}
		}
	}
	if len(hidden) == 0 {
		return mask{}
	}
	// The longest first, so that no part of it is left beside a shorter one.
	lines := slices.SortedFunc(maps.Keys(hidden), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b))
	})
	pairs := make([]string, 0, 2*len(lines))
	for _, line := range lines {
		pairs = append(pairs, line, "***")
	}
	return mask{replacer: strings.NewReplacer(pairs...), longest: len(lines[0])}
}

// over is the text with every secret hidden.
func (m mask) over(text string) string {
	if m.replacer == nil {
		return text
	}
	return m.replacer.Replace(text)
}
