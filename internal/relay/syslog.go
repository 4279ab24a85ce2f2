package relay

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/audit"
)

// sendWait is how long a syslog server may take to answer a connection, or to take
// a batch.
const sendWait = 10 * time.Second

// Priorities are RFC 5424's: the facility "log audit" times 8, and a severity.
const (
	facility      = 13 * 8
	informational = 6
	warning       = 4
)

// syslog sends messages as RFC 5424 has them: a datagram each, or on a stream with
// their length before them (RFC 6587, RFC 5425).
type syslog struct {
	network, address string
	tls              *tls.Config

	host, process string

	conn     net.Conn // nil: there is none
	raw      net.Conn // conn without TLS
	isStream bool
}

func newSyslog(network, address string) *syslog {
	host, _ := os.Hostname() // without one, there is none to tell
	return &syslog{network: network, address: address, host: host, process: strconv.Itoa(os.Getpid())}
}

func (s *syslog) Send(ctx context.Context, links []audit.Link) (err error) {
	ctx, cancel := context.WithTimeout(ctx, sendWait)
	defer cancel()
	defer func() {
		if err != nil {
			s.Reopen()
		}
	}()
	if s.conn == nil {
		if err := s.dial(ctx); err != nil {
			return err
		}
	}
	deadline, _ := ctx.Deadline()
	if err := s.conn.SetDeadline(deadline); err != nil {
		return err
	}
	if s.isStream {
		var text []byte
		for _, link := range links {
			text = appendFramed(text, s.message(link))
		}
		if _, err := s.conn.Write(text); err != nil {
			return err
		}
		return s.confirm(ctx)
	}
	for _, link := range links {
		_, err := s.conn.Write(s.message(link))
		if errors.Is(err, syscall.EMSGSIZE) {
			link.Broken = err // a row that no datagram holds is told by its id
			_, err = s.conn.Write(s.message(link))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *syslog) dial(ctx context.Context) (err error) {
	var dialer net.Dialer
	switch s.network {
	case "udp":
		s.raw, err = dialer.DialContext(ctx, "udp", s.address)
	case "unix":
		if s.raw, err = dialer.DialContext(ctx, "unixgram", s.address); errors.Is(err, syscall.EPROTOTYPE) {
			s.isStream = true
			s.raw, err = dialer.DialContext(ctx, "unix", s.address)
		}
	default:
		s.isStream = true
		s.raw, err = dialer.DialContext(ctx, "tcp", s.address)
	}
	if err != nil {
		return err
	}
	s.conn = s.raw
	if s.network == "tls" {
		secured := tls.Client(s.raw, s.tls)
		s.conn = secured
		return secured.HandshakeContext(ctx)
	}
	return nil
}

// confirm waits until the other end's machine has taken all that was sent, and sees
// that it has not ended the connection. No more is to be known: syslog has no answers.
func (s *syslog) confirm(ctx context.Context) error {
	socket, is := s.raw.(syscall.Conn)
	if !is {
		return nil
	}
	control, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	for wait := time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		var waiting int
		var asked error
		if err := control.Control(func(fd uintptr) { waiting, asked = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) }); err != nil {
			return err
		}
		// The other end says nothing, so what there is to read is that it has gone.
		if err := s.conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
			return err
		}
		_, err := s.conn.Read(make([]byte, 1))
		switch {
		case errors.Is(err, io.EOF):
			return errEnded
		case err != nil && !errors.Is(err, os.ErrDeadlineExceeded):
			return err
		case asked != nil || waiting == 0:
			return nil //nolint:nilerr // there was nothing to read, as there should be
		case ctx.Err() != nil:
			return errors.New("the syslog server does not read what it is sent")
		}
	}
}

func (s *syslog) Reopen() {
	if s.raw != nil {
		_ = s.raw.Close() // what was sent has arrived, or is sent again
	}
	s.conn, s.raw, s.isStream = nil, nil, false
}

func (s *syslog) Close() error {
	s.Reopen()
	return nil
}

// message is a row as RFC 5424 has it. What is said of it is JSON, as in a file.
func (s *syslog) message(link audit.Link) []byte {
	severity := warning
	if link.Broken == nil && link.Result == audit.ResultOK {
		severity = informational
	}
	when := "-"
	if !link.Time.IsZero() {
		when = link.Time.UTC().Format("2006-01-02T15:04:05.000000Z")
	}
	return fmt.Appendf(nil, "<%d>1 %s %s fairlead %s %s - %s", facility+severity, when, word(s.host, 255), word(s.process, 128), word(string(link.Verb), 32), link.Line())
}

// word is a text as a field of a message's head: printable ASCII without spaces, and
// - where there is none.
func word(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if r < '!' || r > '~' {
			return '?'
		}
		return r
	}, text)
	if text == "" {
		return "-"
	}
	return text[:min(len(text), most)]
}

// appendFramed appends a message with its length before it.
func appendFramed(text, message []byte) []byte {
	text = strconv.AppendInt(text, int64(len(message)), 10)
	return append(append(text, ' '), message...)
}
