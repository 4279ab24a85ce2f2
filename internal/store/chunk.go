package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/klauspost/compress/zstd"

	"fairlead.dev/fairlead/internal/execution"
)

// Bounds of a chunk.
const (
	// chunkLines is how many lines a chunk has at most. A reader may have to
	// unpack a whole chunk for one line.
	chunkLines = execution.BatchMost

	// chunkBytes is what the lines of a chunk take at most, unless a single
	// line is longer.
	chunkBytes = 1 << 20

	// packLeast is from how many bytes on packing is worth it.
	packLeast = 256

	// unpackedMost refuses a body that no chunk can have.
	unpackedMost = 64 << 20
)

// The first byte of a chunk's body says how the rest is written.
const (
	plainBody  = 0
	packedBody = 1 // as one zstd frame
)

// streamNumbers are how streams are written. Numbers are never given anew.
var streamNumbers = map[execution.Stream]byte{execution.StatusStream: 0, execution.Stdout: 1, execution.Stderr: 2}

var streamsByNumber = [...]execution.Stream{execution.StatusStream, execution.Stdout, execution.Stderr}

// chunk is consecutive lines as they are stored. For each line its body has the
// microseconds since the line before it (the first: since 1970), the number of
// its stream, and its text with the length before it, all numbers as varints.
type chunk struct {
	lines int
	last  int64 // the time of its last line
	body  []byte
}

// codec writes and reads chunks. Safe for concurrent use.
type codec struct {
	packer   *zstd.Encoder
	unpacker *zstd.Decoder
}

func newCodec() (*codec, error) {
	// Without a stream to read or write, neither has goroutines of its own.
	packer, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2),
		zstd.WithWindowSize(chunkBytes), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(true))
	if err != nil {
		return nil, fmt.Errorf("packing logs: %w", err)
	}
	unpacker, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(unpackedMost))
	if err != nil {
		return nil, fmt.Errorf("unpacking logs: %w", err)
	}
	return &codec{packer: packer, unpacker: unpacker}, nil
}

// chunks writes the lines that follow a line of time after. first is the time
// that the first of them got.
func (c *codec) chunks(lines []execution.Line, after int64) (chunks []chunk, first int64, err error) {
	plain := make([]byte, 1, 1024)
	now, count := int64(0), 0
	flush := func() {
		chunks = append(chunks, chunk{lines: count, last: after, body: c.pack(plain)})
		plain, now, count = plain[:1], 0, 0
	}
	for i, line := range lines {
		number, known := streamNumbers[line.Stream]
		if !known {
			return nil, 0, fmt.Errorf("%.40q is no stream", line.Stream)
		}
		after = max(micros(line.Time), after+1)
		if i == 0 {
			first = after
		}
		plain = binary.AppendUvarint(plain, uint64(after-now)) // times only grow
		plain = append(plain, number)
		plain = binary.AppendUvarint(plain, uint64(len(line.Text)))
		plain = append(plain, line.Text...)
		now = after
		if count++; count == chunkLines || len(plain) >= chunkBytes {
			flush()
		}
	}
	if count > 0 {
		flush()
	}
	return chunks, first, nil
}

func (c *codec) pack(plain []byte) []byte {
	if len(plain) >= packLeast {
		if packed := c.packer.EncodeAll(plain[1:], []byte{packedBody}); len(packed) < len(plain) {
			return packed
		}
	}
	body := append([]byte(nil), plain...)
	body[0] = plainBody
	return body
}

var errBody = errors.New("a chunk of the log is damaged")

// unpack appends to lines those of a body that come after a sequence number,
// until there are limit. first is the sequence number of the body's first line.
func (c *codec) unpack(lines []execution.Line, body []byte, first, after int64, limit int) ([]execution.Line, error) {
	if len(body) == 0 {
		return lines, errBody
	}
	rest := body[1:]
	switch body[0] {
	case plainBody:
	case packedBody:
		var err error
		if rest, err = c.unpacker.DecodeAll(rest, nil); err != nil {
			return lines, fmt.Errorf("%w: %w", errBody, err)
		}
	default:
		return lines, errBody
	}
	now := int64(0)
	for sequence := first; len(rest) > 0 && len(lines) < limit; sequence++ {
		since, width := binary.Uvarint(rest)
		if width <= 0 || width >= len(rest) || since > math.MaxInt64 {
			return lines, errBody
		}
		number := rest[width]
		rest = rest[width+1:]
		length, width := binary.Uvarint(rest)
		if width <= 0 || length > uint64(len(rest)-width) || int(number) >= len(streamsByNumber) {
			return lines, errBody
		}
		text := rest[width : width+int(length)] // not more than len(rest)
		rest = rest[width+len(text):]
		now += int64(since) // looked at above
		if sequence > after {
			lines = append(lines, execution.Line{
				Sequence: sequence, Time: fromMicros(now), Stream: streamsByNumber[number], Text: string(text),
			})
		}
	}
	return lines, nil
}
