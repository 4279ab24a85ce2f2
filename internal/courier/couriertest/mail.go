// Package couriertest is what mail and webhooks arrive at in tests: a mail server
// that wants encryption and a login, and a receiver that checks every signature
// by itself. Both know nothing of what they test.
package couriertest

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/http/httptest"
	"net/mail"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// certificate is one for 127.0.0.1 and example.com, with its authority.
func certificate() (tls.Certificate, *x509.Certificate) {
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	return server.TLS.Certificates[0], server.Certificate()
}

// CA is the authority of both, as PEM.
func CA() []byte {
	_, authority := certificate()
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority.Raw})
}

// Roots trust that authority alone.
func Roots() *x509.CertPool {
	_, authority := certificate()
	roots := x509.NewCertPool()
	roots.AddCert(authority)
	return roots
}

// MailOptions say how a mail server is.
type MailOptions struct {
	// Username and Password have to log in; "": nobody has to.
	Username, Password string

	// Implicit encrypts from the first byte; else STARTTLS is offered, unless
	// Plain.
	Implicit, Plain bool
}

// Mailbox is a mail server. Make it with NewMailbox; safe for concurrent use.
type Mailbox struct {
	options MailOptions
	address string

	mu      sync.Mutex
	letters []Letter
	refused map[string]bool
	ill     bool
	changed chan struct{} // closed at the next change
}

// Letter is mail that arrived.
type Letter struct {
	From      string
	To        []string
	Header    mail.Header
	Text      string
	HTML      string
	Raw       string
	Encrypted bool
	Login     string
}

// NewMailbox starts a mail server, which ends with the test.
func NewMailbox(t testing.TB, options MailOptions) *Mailbox {
	t.Helper()
	m := &Mailbox{options: options, refused: make(map[string]bool), changed: make(chan struct{})}
	pair, _ := certificate()
	server := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) { return &session{mailbox: m, conn: c}, nil }))
	server.Domain, server.AllowInsecureAuth = "mail.acme.example", options.Plain
	config := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	if !options.Plain {
		server.TLSConfig = config
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m.address = listener.Addr().String()
	if options.Implicit {
		listener = tls.NewListener(listener, config)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	t.Cleanup(func() {
		_ = server.Close() // it may be closed
		if err := <-ended; err != nil && !errors.Is(err, smtp.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
	return m
}

// Address is HOST:PORT.
func (m *Mailbox) Address() string { return m.address }

// Refuse takes no mail for an address from now on.
func (m *Mailbox) Refuse(address string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refused[address] = true
}

// SetIll makes the server answer every mail with "try again later", or not.
func (m *Mailbox) SetIll(ill bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ill = ill
}

// Letters are those that arrived.
func (m *Mailbox) Letters() []Letter {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.letters)
}

// Wait returns a letter as soon as one is there that is the right one; false when
// ctx ends before.
func (m *Mailbox) Wait(ctx context.Context, right func(Letter) bool) (Letter, bool) {
	for {
		m.mu.Lock()
		changed := m.changed
		for _, letter := range m.letters {
			if right(letter) {
				m.mu.Unlock()
				return letter, true
			}
		}
		m.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return Letter{}, false
		}
	}
}

// session is one connection.
type session struct {
	mailbox *Mailbox
	conn    *smtp.Conn
	login   string
	from    string
	to      []string
}

// AuthMechanisms implements smtp.AuthSession.
func (s *session) AuthMechanisms() []string { return []string{sasl.Plain} }

// Auth implements smtp.AuthSession.
func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, username, password string) error {
		if username != s.mailbox.options.Username || password != s.mailbox.options.Password {
			return smtp.ErrAuthFailed
		}
		s.login = username
		return nil
	}), nil
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	_, encrypted := s.conn.TLSConnectionState()
	switch options := s.mailbox.options; {
	case !encrypted && !options.Plain:
		return &smtp.SMTPError{Code: 530, EnhancedCode: smtp.EnhancedCode{5, 7, 0}, Message: "Must issue a STARTTLS command first"}
	case options.Username != "" && s.login == "":
		return smtp.ErrAuthRequired
	}
	s.from = from
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.mailbox.mu.Lock()
	defer s.mailbox.mu.Unlock()
	switch {
	case s.mailbox.ill:
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "try again later"}
	case s.mailbox.refused[to]:
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
	}
	s.to = append(s.to, to)
	return nil
}

func (s *session) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	letter := Letter{From: s.from, To: slices.Clone(s.to), Raw: string(raw), Login: s.login}
	_, letter.Encrypted = s.conn.TLSConnectionState()
	if err := letter.read(); err != nil {
		return err
	}
	s.mailbox.mu.Lock()
	defer s.mailbox.mu.Unlock()
	s.mailbox.letters = append(s.mailbox.letters, letter)
	close(s.mailbox.changed)
	s.mailbox.changed = make(chan struct{})
	return nil
}

func (s *session) Reset()        { s.from, s.to = "", nil }
func (s *session) Logout() error { return nil }

// read takes the letter apart.
func (l *Letter) read() error {
	message, err := mail.ReadMessage(strings.NewReader(l.Raw))
	if err != nil {
		return err
	}
	l.Header = message.Header
	_, parameters, err := mime.ParseMediaType(message.Header.Get("Content-Type"))
	if err != nil {
		return err
	}
	parts := multipart.NewReader(message.Body, parameters["boundary"])
	for {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var text bytes.Buffer
		if _, err := text.ReadFrom(quotedprintable.NewReader(part)); err != nil {
			return err
		}
		if strings.HasPrefix(part.Header.Get("Content-Type"), "text/html") {
			l.HTML = text.String()
		} else {
			l.Text = strings.ReplaceAll(text.String(), "\r\n", "\n")
		}
	}
}

// Subject is the letter's, decoded.
func (l Letter) Subject() string {
	subject, err := new(mime.WordDecoder).DecodeHeader(l.Header.Get("Subject"))
	if err != nil {
		return l.Header.Get("Subject")
	}
	return subject
}
