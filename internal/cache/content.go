package cache

import (
	"io"
	"os"
	"sync"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"fairlead.dev/fairlead/internal/blobs"
)

// Content is a blob that a reader has the right to. It is read by one goroutine; the
// registry is asked for it at the first Read.
type Content struct {
	size   int64
	offset int64
	open   func() (*blobs.Content, error) // once
	opened *blobs.Content
}

func contentOf(d ocispec.Descriptor, open func() (*blobs.Content, error)) *Content {
	c := &Content{size: d.Size}
	c.open = sync.OnceValues(func() (*blobs.Content, error) {
		content, err := open()
		if err == nil {
			c.opened = content
			_, err = content.Seek(c.offset, io.SeekStart)
		}
		return content, err
	})
	return c
}

// Size is in bytes, as the manifest says.
func (c *Content) Size() int64 { return c.size }

// File is the open file of a blob that is kept in a directory, which net/http sends
// without copying; nil for every other.
func (c *Content) File() *os.File {
	if c.opened == nil {
		return nil
	}
	return c.opened.File()
}

// Arrived is blobs.Content's, of a blob that is on its way.
func (c *Content) Arrived(most int64) (*os.File, int64, error) {
	content, err := c.open()
	if err != nil {
		return nil, 0, err
	}
	return content.Arrived(most)
}

// Read waits for bytes that are on their way.
func (c *Content) Read(p []byte) (int, error) {
	content, err := c.open()
	if err != nil {
		return 0, err
	}
	return content.Read(p)
}

// Seek never waits.
func (c *Content) Seek(offset int64, whence int) (int64, error) {
	if c.opened != nil {
		return c.opened.Seek(offset, whence)
	}
	switch whence {
	case io.SeekCurrent:
		offset += c.offset
	case io.SeekEnd:
		offset += c.size
	}
	if offset < 0 {
		return 0, os.ErrInvalid
	}
	c.offset = offset
	return offset, nil
}

// Close lets go of the blob.
func (c *Content) Close() error {
	if c.opened == nil {
		return nil
	}
	return c.opened.Close()
}
