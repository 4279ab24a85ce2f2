package source

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"time"
)

// Writer writes a package entry by entry, for code that lies in no directory.
// Whoever gives it the same entries in the same order gets the same bytes; Pack
// gives them in the order of names, directory by directory.
type Writer struct {
	zipped  *gzip.Writer
	archive *tar.Writer
}

// NewWriter starts a package. The caller closes it.
func NewWriter(w io.Writer) *Writer {
	zipped := gzip.NewWriter(w) // its header has neither a time nor a name
	return &Writer{zipped: zipped, archive: tar.NewWriter(zipped)}
}

// File adds a regular file of that many bytes. Content that ends before them is
// an error that wraps io.EOF; what follows them is not read.
func (w *Writer) File(name string, executable bool, bytes int64, content io.Reader) error {
	header := &tar.Header{Name: name, Mode: 0o644, ModTime: time.Unix(0, 0), Typeflag: tar.TypeReg, Size: bytes}
	if executable {
		header.Mode = 0o755
	}
	if err := w.archive.WriteHeader(header); err != nil {
		return named(name, err)
	}
	_, err := io.CopyN(w.archive, content, bytes)
	return named(name, err)
}

// Link adds a symbolic link. Whether it stays inside is for the caller to ask;
// see LeadsOutside.
func (w *Writer) Link(name, target string) error {
	return named(name, w.archive.WriteHeader(&tar.Header{
		Name: name, Linkname: target, Mode: 0o777, ModTime: time.Unix(0, 0), Typeflag: tar.TypeSymlink,
	}))
}

// Close ends the package; w is its caller's to close.
func (w *Writer) Close() error {
	if err := errors.Join(w.archive.Close(), w.zipped.Close()); err != nil {
		return fmt.Errorf("writing the package: %w", err)
	}
	return nil
}

// LeadsOutside reports whether a symbolic link of that name may lead out of the
// package. Pack leaves such a link out, and Unpack refuses it.
func LeadsOutside(name, target string) bool { return leadsOutside(name, target) }
