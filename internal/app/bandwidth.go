package app

import (
	"errors"
	"math"
	"strings"

	"github.com/dustin/go-humanize"
)

// bandwidth is a flag's value: bytes in a second, such as 100MB/s, 64MiB/s or, in
// bits, 1Gbit/s. The /s may be left out; 0 is no limit.
type bandwidth int64

var errBandwidth = errors.New("is no bandwidth; write it as 100MB/s, or in bits as 500Mbit/s")

// Set reads a value. A b that could be a bit is refused.
func (b *bandwidth) Set(text string) error {
	number, inBits := strings.CutSuffix(strings.TrimSuffix(strings.TrimSpace(text), "/s"), "bit")
	if strings.HasSuffix(number, "b") {
		return errBandwidth
	}
	value, err := humanize.ParseBytes(number)
	if err != nil || value > math.MaxInt64 {
		return errBandwidth
	}
	if inBits {
		value /= 8
	}
	*b = bandwidth(value)
	return nil
}

func (b *bandwidth) String() string {
	if *b == 0 {
		return ""
	}
	return humanize.Bytes(uint64(*b)) + "/s"
}

// Type is what the flag's help calls a value.
func (b *bandwidth) Type() string { return "bandwidth" }
