package main

import (
	"bytes"
	"context"
	"fmt"
	"hash"
	"io"
	"net"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/bench/far"
)

// endpoint is where a client asks for the image, and what it shows.
type endpoint struct {
	Address       string // by http
	Path          string // of the repository, from /v2/ on
	Authorization string // of the header; "" for none
}

// request is a whole request, ready to be sent.
func (e endpoint) request(noun, target string) []byte {
	text := "GET " + e.Path + "/" + noun + "/" + target + " HTTP/1.1\r\nHost: " + e.Address + "\r\nAccept: " + far.ManifestType + "\r\n"
	if e.Authorization != "" {
		text += "Authorization: " + e.Authorization + "\r\n"
	}
	return []byte(text + "\r\n")
}

// Bounds of an answer's first read, and of what the kernel drops at once.
const (
	headMost = 16 << 10
	dropMost = 1 << 20
)

// conn is a client of one connection, as lean as can be: it shares the machine
// with whom it measures. A body that nobody hashes is dropped in the kernel and
// never copied out of it. It is for one goroutine.
type conn struct {
	*net.TCPConn
	raw  syscall.RawConn
	head []byte // what was read first
	drop []byte // as long as what is dropped at once; nothing is written to it
	stop func() bool
}

// nobody is what dropped bytes would be written to: all connections share it.
var nobody [dropMost]byte

// dial opens a connection that breaks when the context ends.
func dial(ctx context.Context, address string) (*conn, error) {
	to, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	c := &conn{TCPConn: to.(*net.TCPConn), head: make([]byte, headMost), drop: nobody[:]}
	c.stop = context.AfterFunc(ctx, func() { _ = c.TCPConn.Close() })
	c.raw, err = c.SyscallConn()
	return c, err
}

// Close ends the connection.
func (c *conn) Close() error {
	c.stop()
	return c.TCPConn.Close()
}

// get sends a request and takes its answer, which must be 200 and have a length.
// First, if not nil, is called when the body's first bytes are here, and a body
// is hashed if there is a hash. It returns the bytes of the body.
func (c *conn) get(request []byte, first func(), sum hash.Hash) (int64, error) {
	if _, err := c.Write(request); err != nil {
		return 0, err
	}
	body, length, err := c.answer()
	if err != nil {
		return 0, err
	}
	if len(body) == 0 && length > 0 && first != nil {
		n, err := c.Read(c.head)
		if err != nil {
			return 0, err
		}
		body = c.head[:n]
	}
	if first != nil {
		first()
	}
	left := length - int64(len(body))
	if left < 0 {
		return 0, fmt.Errorf("%d bytes more came than were announced", -left)
	}
	if sum != nil {
		_, _ = sum.Write(body)
		n, err := io.CopyBuffer(struct{ io.Writer }{sum}, struct{ io.Reader }{io.LimitReader(c.TCPConn, left)}, make([]byte, 256<<10))
		if err == nil && n < left {
			err = io.ErrUnexpectedEOF
		}
		return length - left + n, err
	}
	dropped, err := c.discard(left)
	return length - left + dropped, err
}

// answer reads until the header's end: it returns what came of the body with it,
// and how long that is.
func (c *conn) answer() (body []byte, length int64, err error) {
	for have := 0; ; {
		n, err := c.Read(c.head[have:])
		have += n
		text := c.head[:have]
		if end := bytes.Index(text, []byte("\r\n\r\n")); end >= 0 {
			length, err := lengthOf(text[:end+2])
			return text[end+4:], length, err
		}
		if err != nil {
			return nil, 0, fmt.Errorf("the answer broke off: %w", err)
		}
		if have == len(c.head) {
			return nil, 0, fmt.Errorf("the answer's header has more than %d bytes", have)
		}
	}
}

// lengthOf reads the header of a 200.
func lengthOf(header []byte) (int64, error) {
	status, fields, _ := bytes.Cut(header, []byte("\r\n"))
	if !bytes.HasPrefix(status, []byte("HTTP/1.1 200 ")) {
		return 0, fmt.Errorf("it answered %.300q", header)
	}
	for line := range bytes.SplitSeq(fields, []byte("\r\n")) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		if bytes.EqualFold(name, []byte("Content-Length")) {
			return strconv.ParseInt(string(bytes.TrimSpace(value)), 10, 64)
		}
	}
	return 0, fmt.Errorf("it announced no length: %.300q", header)
}

// discard has the kernel drop bytes: of TCP, MSG_TRUNC copies nothing
// (https://man7.org/linux/man-pages/man7/tcp.7.html).
func (c *conn) discard(most int64) (dropped int64, err error) {
	for dropped < most {
		var n uintptr
		var failed syscall.Errno
		err := c.raw.Read(func(fd uintptr) bool {
			for {
				n, _, failed = syscall.Syscall6(unix.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&c.drop[0])),
					uintptr(min(most-dropped, dropMost)), unix.MSG_TRUNC, 0, 0)
				if failed != unix.EINTR {
					return failed != unix.EAGAIN
				}
			}
		})
		switch {
		case err != nil:
			return dropped, err
		case failed != 0:
			return dropped, failed
		case n == 0:
			return dropped, io.ErrUnexpectedEOF
		}
		dropped += int64(n)
	}
	return dropped, nil
}
