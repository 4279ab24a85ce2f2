package gitfetch

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/idxfile"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
)

// objectsMost bounds the objects of a pack: each costs memory while it is indexed.
const objectsMost = 4_000_000

// receive takes a pack into the copy in dir, of at most most bytes and with no
// object larger than that. The pack is looked through as it comes, since to
// index it takes objects into memory; then it is indexed and given its name. A
// pack that is not whole leaves nothing.
func receive(ctx context.Context, r io.Reader, dir string, most int64) error {
	packs := filepath.Join(dir, "objects", "pack")
	if err := os.MkdirAll(packs, 0o700); err != nil {
		return fmt.Errorf("keeping a pack: %w", err)
	}
	file, err := os.CreateTemp(packs, "incoming-")
	if err != nil {
		return fmt.Errorf("keeping a pack: %w", err)
	}
	defer func() {
		_ = file.Close()
		_ = os.Remove(file.Name()) // it is gone already if all went well
	}()
	buffered := bufio.NewWriterSize(file, 256<<10)
	count, err := inspect(io.TeeReader(&limited{r: r, left: most}, buffered), most)
	if err != nil {
		return err
	}
	if count == 0 {
		return nil
	}
	if err := errors.Join(buffered.Flush(), file.Sync()); err != nil {
		return fmt.Errorf("keeping a pack: %w", err)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("reading a pack: %w", err)
	}
	return index(ctx, file, packs)
}

// inspect reads a whole pack without keeping it, and counts its objects.
func inspect(r io.Reader, most int64) (uint32, error) {
	scanner := packfile.NewScanner(r)
	_, count, err := scanner.Header()
	if err != nil {
		return 0, fmt.Errorf("reading a pack: %w", err)
	}
	if count > objectsMost {
		return 0, tooLarge("the repository sends more than %d objects", objectsMost)
	}
	for range count {
		header, err := scanner.NextObjectHeader()
		if err != nil {
			return 0, fmt.Errorf("reading a pack: %w", err)
		}
		size, start := header.Length, &beginning{}
		if _, _, err := scanner.NextObject(start); err != nil {
			return 0, fmt.Errorf("reading a pack: %w", err)
		}
		if header.Type.IsDelta() {
			size = max(size, start.target())
		}
		if size > most || size < 0 {
			return 0, tooLarge("the repository holds a file of more than %s", readable(most))
		}
	}
	if _, err := scanner.Checksum(); err != nil {
		return 0, fmt.Errorf("reading a pack: %w", err)
	}
	// What stands behind the pack is nothing, but the far side wants it read.
	if _, err := io.Copy(io.Discard, r); err != nil {
		return 0, fmt.Errorf("reading a pack: %w", err)
	}
	return count, nil
}

// beginning keeps the first bytes that are written to it.
type beginning struct {
	bytes [2 * binary.MaxVarintLen64]byte
	n     int
}

func (b *beginning) Write(p []byte) (int, error) {
	b.n += copy(b.bytes[b.n:], p)
	return len(p), nil
}

// target is the size of what a delta makes; -1 if it does not say.
func (b *beginning) target() int64 {
	_, n := binary.Uvarint(b.bytes[:b.n])
	if n <= 0 {
		return -1
	}
	size, n := binary.Uvarint(b.bytes[n:b.n])
	if n <= 0 || size > 1<<62 {
		return 1 << 62 // beyond any limit
	}
	return int64(size)
}

// index writes the index of a pack and gives both their names; the pack last,
// by which it counts.
func index(ctx context.Context, pack *os.File, dir string) error {
	writer := new(idxfile.Writer)
	parser, err := packfile.NewParser(packfile.NewScanner(stoppable{ctx, pack}), writer)
	if err != nil {
		return fmt.Errorf("indexing a pack: %w", err)
	}
	sum, err := parser.Parse()
	if err != nil {
		return fmt.Errorf("indexing a pack: %w", err)
	}
	made, err := writer.Index()
	if err != nil {
		return fmt.Errorf("indexing a pack: %w", err)
	}
	name := filepath.Join(dir, "pack-"+sum.String())
	file, err := os.OpenFile(name+".idx", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("keeping an index: %w", err)
	}
	buffered := bufio.NewWriter(file)
	_, err = idxfile.NewEncoder(buffered).Encode(made)
	if err := errors.Join(err, buffered.Flush(), file.Sync(), file.Close(), os.Rename(pack.Name(), name+".pack")); err != nil {
		return fmt.Errorf("keeping an index: %w", err)
	}
	return nil
}

// stoppable is a file whose reading ends with a context. It lives for one index.
type stoppable struct {
	ctx  context.Context
	file *os.File
}

func (s stoppable) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.file.Read(p)
}

func (s stoppable) Seek(offset int64, whence int) (int64, error) {
	return s.file.Seek(offset, whence)
}

// sweep removes what a killed fetch left among the packs.
func sweep(dir string) error {
	var left []string
	for _, pattern := range []string{"state-*", filepath.Join("objects", "pack", "incoming-*")} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return fmt.Errorf("clearing a copy: %w", err)
		}
		left = append(left, found...)
	}
	for _, path := range left {
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("clearing a copy: %w", err)
		}
	}
	return nil
}

// hashes are texts as hashes.
func hashes(texts []string) []plumbing.Hash {
	all := make([]plumbing.Hash, 0, len(texts))
	for _, text := range texts {
		all = append(all, plumbing.NewHash(text))
	}
	return all
}
