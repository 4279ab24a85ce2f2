package execution

import (
	"strings"
	"time"
	"unicode/utf8"

	"fairlead.dev/fairlead/internal/fault"
)

// Stream tells where a line of the log comes from.
type Stream string

// The streams. Status lines are Fairlead's own.
const (
	StatusStream Stream = "status"
	Stdout       Stream = "stdout"
	Stderr       Stream = "stderr"
)

// ParseStream reads a stream's name.
func ParseStream(text string) (Stream, error) {
	switch stream := Stream(text); stream {
	case StatusStream, Stdout, Stderr:
		return stream, nil
	default:
		return "", fault.InvalidField("stream", "stream_unknown", "%.40q is no stream: use status, stdout or stderr", text)
	}
}

// Line is one line of the log.
type Line struct {
	// Sequence counts an execution's lines from 1, without a gap.
	Sequence int64

	// Time is exact to the microsecond and later than that of the line before,
	// so that clients can tell equal lines apart.
	Time   time.Time
	Stream Stream

	// Text has no line break. It is the command's own bytes as UTF-8, and may
	// hold control characters: whoever shows it makes them harmless.
	Text string
}

// Bounds of the log.
const (
	// LineMost is the longest line in bytes; a longer one is cut into several.
	LineMost = 16 << 10

	// BatchMost is how many lines come in one batch.
	BatchMost = 4096
)

// CleanText is text as a line may hold it: valid UTF-8 on one line.
func CleanText(text string) string {
	if !utf8.ValidString(text) {
		text = strings.ToValidUTF8(text, "\uFFFD")
	}
	return strings.NewReplacer("\n", " ", "\x00", "\uFFFD").Replace(text)
}
