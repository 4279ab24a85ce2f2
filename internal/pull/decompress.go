package pull

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// maxWindow is how much of a zstd stream is kept in memory: what `zstd
// --long=27` needs, the most that a decoder takes unasked.
// https://github.com/facebook/zstd/blob/v1.5.7/programs/zstd.1.md
const maxWindow = 128 << 20

// decompress gives the archive in a layer, whatever its media type says it is
// compressed by: builders have been known to write the wrong one. The caller
// closes it.
func decompress(layer *bufio.Reader) (io.ReadCloser, error) {
	const longest = 4
	magic, err := layer.Peek(longest)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}): // RFC 1952
		reader, err := gzip.NewReader(layer)
		if err != nil {
			return nil, fmt.Errorf("reading gzip: %w", err)
		}
		return reader, nil
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}), // RFC 8878
		len(magic) == longest && magic[0]&0xf0 == 0x50 && bytes.HasPrefix(magic[1:], []byte{0x2a, 0x4d, 0x18}):
		reader, err := zstd.NewReader(layer, zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, fmt.Errorf("reading zstd: %w", err)
		}
		return reader.IOReadCloser(), nil
	default:
		return io.NopCloser(layer), nil
	}
}
