package app

import (
	"errors"
	"math"

	"github.com/dustin/go-humanize"
)

// Bytes is a number of bytes as people write it on a command line: 500GB, 20GiB.
type Bytes int64

// String writes it so that Set reads it again.
func (b *Bytes) String() string { return humanize.Bytes(uint64(max(*b, 0))) }

// Set reads it.
func (b *Bytes) Set(text string) error {
	parsed, err := humanize.ParseBytes(text)
	if err != nil || parsed > math.MaxInt64 {
		return errors.New("a size is a number and a unit: 500GB, 20GiB")
	}
	*b = Bytes(parsed)
	return nil
}

// Type is what the help calls it.
func (b *Bytes) Type() string { return "size" }
