package pull

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

const (
	// maxWindow is how much of a zstd stream is kept in memory: what `zstd
	// --long=27` needs, the most that a decoder takes unasked.
	// https://github.com/facebook/zstd/blob/v1.5.7/programs/zstd.1.md
	maxWindow = 128 << 20

	// usualWindow is the most that zstd needs without being told to take more: that
	// of its level 19. Every layer may have as much.
	usualWindow = 8 << 20
)

// plain gives the archive in a layer while it arrives, whatever its media type says
// it is compressed by: builders have been known to write the wrong one. The caller
// closes it after it has left what arrives.
func (p *puller) plain(ctx context.Context, arriving *pipe) (io.ReadCloser, error) {
	const longest = 4
	layer := bufio.NewReaderSize(arriving, copyBuffer)
	magic, err := layer.Peek(longest)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}): // RFC 1952
		return p.gunzip(ctx, layer)
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}), // RFC 8878
		len(magic) == longest && magic[0]&0xf0 == 0x50 && bytes.HasPrefix(magic[1:], []byte{0x2a, 0x4d, 0x18}):
		return p.unzstd(ctx, layer)
	default:
		return io.NopCloser(layer), nil
	}
}

func (p *puller) gunzip(ctx context.Context, layer *bufio.Reader) (io.ReadCloser, error) {
	if path := p.store.config.Igzip; path != "" {
		process, err := startIgzip(ctx, path, layer, p.store.limits.unpacking)
		if err == nil {
			return process, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		p.store.config.Logger.Warn("layers are unpacked more slowly, without igzip", "error", err)
	}
	return p.beside(ctx, layer, openGzip), nil
}

// windowOf is how much of a zstd stream that begins so is kept in memory.
func windowOf(begin []byte) int64 {
	var header zstd.Header
	if header.Decode(begin) != nil || header.Skippable {
		return usualWindow
	}
	needs := header.WindowSize
	if header.SingleSegment {
		needs = header.FrameContentSize
	}
	return max(usualWindow, int64(min(needs, maxWindow)))
}

func openGzip(layer io.Reader) (io.ReadCloser, error) {
	reader, err := gzip.NewReader(layer)
	if err != nil {
		return nil, fmt.Errorf("reading gzip: %w", err)
	}
	return reader, nil
}

// unzstd undoes zstd. Of layers that want an unusually large window only as many are
// read at once, over all pulls of the store, as windows have room in maxWindow.
func (p *puller) unzstd(ctx context.Context, layer *bufio.Reader) (io.ReadCloser, error) {
	begin, _ := layer.Peek(zstd.HeaderMaxSize) // a shorter layer has an error of its own
	window := windowOf(begin)
	leave := func() {}
	if window > usualWindow {
		if err := p.store.windows.Acquire(ctx, window); err != nil {
			return nil, err
		}
		leave = func() { p.store.windows.Release(window) }
	}
	decoder := p.beside(ctx, layer, func(layer io.Reader) (io.ReadCloser, error) {
		options := []zstd.DOption{zstd.WithDecoderMaxWindow(uint64(window)), zstd.WithDecoderLowmem(true)}
		if p.store.limits.unpacking.isLimited() { // the reader's goroutine does all of the work
			options = append(options, zstd.WithDecoderConcurrency(1))
		}
		reader, err := zstd.NewReader(layer, options...)
		if err != nil {
			return nil, fmt.Errorf("reading zstd: %w", err)
		}
		return reader.IOReadCloser(), nil
	})
	decoder.leaves = leave
	return decoder, nil
}

// inflated is what a decoder gives that works in a goroutine of its own.
type inflated struct {
	*pipe
	done   chan struct{}
	leaves func()
}

// beside has a decoder work on a layer beside who reads from it.
func (p *puller) beside(ctx context.Context, layer io.Reader, open func(layer io.Reader) (io.ReadCloser, error)) inflated {
	i := inflated{newPipe(), make(chan struct{}), func() {}}
	go func() {
		defer close(i.done)
		i.finish(p.store.limits.unpacking.work(ctx, layer, func(layer io.Reader) error {
			decoder, err := open(layer)
			if err != nil {
				return err
			}
			defer decoder.Close()
			_, err = io.CopyBuffer(struct{ io.Writer }{i.pipe}, struct{ io.Reader }{decoder}, make([]byte, copyBuffer))
			return err
		}))
	}()
	return i
}

func (i inflated) Close() error {
	i.leave()
	<-i.done
	i.leaves()
	return nil
}
