// Package courier carries what the product tells people and programs out of the
// house: mail, by a mail server that the operator named, and webhooks, signed as
// the Standard Webhooks specification says. It knows neither who wants to know
// of what nor what becomes of what did not arrive.
package courier

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"html/template"
	"net"
	"net/mail"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	gomail "github.com/wneessen/go-mail"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/secret"
)

// Encryption is how the way to the mail server is kept secret.
type Encryption string

// The ways.
const (
	StartTLS Encryption = "starttls" // begins in the clear, and goes on only when it is encrypted
	Implicit Encryption = "implicit" // from the first byte, commonly on port 465
	Plain    Encryption = "none"
)

// SMTP is the mail server of this installation.
type SMTP struct {
	// Address is HOST:PORT; "": there is none.
	Address string

	// From is whom mail is from: an address, or a name and an address.
	From string

	// Username and Password log in; empty: nothing does.
	Username string
	Password secret.Text

	// Encryption is StartTLS where it is "".
	Encryption Encryption

	// RootCAs are trusted; nil: the system's.
	RootCAs *x509.CertPool
}

// Mailer sends mail. Make it with NewMailer; safe for concurrent use.
type Mailer struct {
	config SMTP
	host   string
	port   int
	from   *mail.Address
}

// Mail is a message to people. Everything in it is plain text: it becomes mail
// in text and in HTML, and no header but its own.
type Mail struct {
	// ID stays the same when the same mail is sent again; "": any.
	ID string

	// To are addresses; at least one. Each sees the others.
	To []string

	Subject string

	// Lines are paragraphs.
	Lines []string

	// Link, with its text, is below them; "": none.
	LinkText, Link string
}

// mailTime bounds each step of sending.
const mailTime = 20 * time.Second

// NewMailer checks the settings and connects to nothing. The error is an Invalid
// fault that names the setting.
func NewMailer(config SMTP) (*Mailer, error) {
	if config.Address == "" {
		if config.From != "" || config.Username != "" || !config.Password.IsEmpty() {
			return nil, fault.InvalidField("smtp-address", "blank", "must be given with the other settings of the mail server")
		}
		return &Mailer{}, nil
	}
	m := &Mailer{config: config}
	host, port, err := net.SplitHostPort(config.Address)
	if number, portErr := strconv.ParseUint(port, 10, 16); err != nil || portErr != nil || host == "" || number == 0 {
		return nil, fault.InvalidField("smtp-address", "address", "%q is no HOST:PORT", config.Address)
	} else {
		m.host, m.port = host, int(number)
	}
	if m.from, err = mail.ParseAddress(config.From); err != nil {
		return nil, fault.InvalidField("smtp-from", "mail_address", "%.80q is no e-mail address", config.From).
			WithHint("Write it as name@host, or as 'Fairlead <name@host>'.")
	}
	switch config.Encryption {
	case "":
		m.config.Encryption = StartTLS
	case StartTLS, Implicit:
	case Plain:
		if !config.Password.IsEmpty() && !isLoopback(host) {
			return nil, fault.InvalidField("smtp-tls", "smtp_insecure", "a password would go to %s without encryption", host).
				WithHint("Use starttls or implicit.")
		}
	default:
		return nil, fault.InvalidField("smtp-tls", "choice", "%q is none of starttls, implicit and none", config.Encryption)
	}
	if (config.Username == "") != config.Password.IsEmpty() {
		return nil, fault.InvalidField("smtp-username", "smtp_login", "a login is a user name and a password, and one of them is missing")
	}
	return m, nil
}

func isLoopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return err == nil && address.IsLoopback() || host == "localhost"
}

// IsConfigured reports whether there is a mail server. Send fails where there is
// none.
func (m *Mailer) IsConfigured() bool { return m != nil && m.config.Address != "" }

// Send hands the mail to the mail server. A fault of the kind Invalid says that
// trying again would not help; any other may pass. Its sentence names the mail
// server's answer by number alone.
func (m *Mailer) Send(ctx context.Context, letter Mail) error {
	if !m.IsConfigured() {
		return fault.New(fault.Unavailable, "smtp_missing", "this server sends no mail").
			WithHint("The operator gives it a mail server: `fairlead serve --smtp-address HOST:PORT --smtp-from ADDRESS`.")
	}
	message, err := m.message(letter)
	if err != nil {
		return err
	}
	client, err := gomail.NewClient(m.host, m.options()...)
	if err != nil {
		return fmt.Errorf("setting up the mail server: %w", err)
	}
	if err := client.DialAndSendWithContext(ctx, message); err != nil {
		return m.explain(err)
	}
	return nil
}

func (m *Mailer) options() []gomail.Option {
	options := []gomail.Option{
		gomail.WithPort(m.port), gomail.WithTimeout(mailTime), gomail.WithoutNoop(),
		gomail.WithTLSConfig(&tls.Config{ServerName: m.host, RootCAs: m.config.RootCAs, MinVersion: tls.VersionTLS12}),
	}
	login := gomail.SMTPAuthAutoDiscover
	switch m.config.Encryption {
	case Implicit:
		options = append(options, gomail.WithSSL())
	case Plain:
		options, login = append(options, gomail.WithTLSPolicy(gomail.NoTLS)), gomail.SMTPAuthPlainNoEnc
	case StartTLS:
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory))
	}
	if m.config.Username != "" {
		options = append(options, gomail.WithSMTPAuth(login), gomail.WithUsername(m.config.Username), gomail.WithPassword(m.config.Password.Reveal()))
	}
	return options
}

// explain makes a sentence of what went wrong, with the cause for the operator.
func (m *Mailer) explain(err error) error {
	hint := "The operator looks at the mail server's settings (`fairlead serve --smtp-…`) and at its log."
	if sent, ok := errors.AsType[*gomail.SendError](err); ok {
		if sent.Reason == gomail.ErrSMTPRcptTo && !sent.IsTemp() && sent.ErrorCode() >= 500 {
			return fault.New(fault.Invalid, "mail_refused", "the mail server takes no mail for this address (%d)", sent.ErrorCode()).
				WithHint("Check its spelling.").WithCause(err)
		}
		if code := sent.ErrorCode(); code > 0 {
			return fault.New(fault.Unavailable, "mail_failed", "the mail server did not take the mail (%d)", code).WithHint(hint).WithCause(err)
		}
	}
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	_, other := errors.AsType[x509.HostnameError](err)
	if untrusted || other {
		return fault.New(fault.Unavailable, "smtp_certificate", "the certificate of the mail server is not trusted").
			WithHint("If it is of your own authority, the operator adds it: `fairlead serve --ca FILE`.").WithCause(err)
	}
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return fault.New(fault.Unavailable, "smtp_unreachable", "the mail server cannot be reached").WithHint(hint).WithCause(err)
	}
	return fault.New(fault.Unavailable, "mail_failed", "the mail server did not take the mail").WithHint(hint).WithCause(err)
}

// message writes the mail.
func (m *Mailer) message(letter Mail) (*gomail.Msg, error) {
	message := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	message.FromMailAddress(m.from)
	addresses := make([]*mail.Address, len(letter.To))
	for i, to := range letter.To {
		address, err := mail.ParseAddress(to)
		if err != nil || strings.ContainsFunc(address.Address, unicode.IsControl) {
			return nil, fault.New(fault.Invalid, "mail_address", "%.80q is no e-mail address", to).WithHint("Write it as name@host.")
		}
		addresses[i] = &mail.Address{Address: address.Address}
	}
	if len(addresses) == 0 {
		return nil, fault.New(fault.Invalid, "mail_address", "the mail goes to nobody").WithHint("Give it an address.")
	}
	message.ToMailAddress(addresses...)
	message.Subject(oneLine(letter.Subject))
	message.SetDate()
	if letter.ID != "" {
		_, domain, _ := strings.Cut(m.from.Address, "@")
		message.SetMessageIDWithValue(oneLine(letter.ID) + "@" + domain)
	} else {
		message.SetMessageID()
	}
	message.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: nobody's holiday answers it
	text, html := render(letter)
	message.SetBodyString(gomail.TypeTextPlain, text)
	message.AddAlternativeString(gomail.TypeTextHTML, html)
	return message, nil
}

// oneLine is a text without what would end a line of a header.
func oneLine(text string) string {
	const most = 200
	clean := strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, text)), " ")
	if runes := []rune(clean); len(runes) > most {
		clean = string(runes[:most-1]) + "…"
	}
	return clean
}

// page is the mail in HTML; a server that sends none does not parse it.
var page = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("mail").Parse(`<!DOCTYPE html>
<html><body style="font-family: sans-serif; max-width: 40em">
{{range .Lines}}<p>{{.}}</p>
{{end}}{{if .Link}}<p><a href="{{.Link}}">{{.LinkText}}</a></p>
{{end}}</body></html>
`))
})

// render is the mail as text and as HTML.
func render(letter Mail) (text, html string) {
	paragraphs := make([]string, 0, len(letter.Lines)+1)
	lines := make([]string, len(letter.Lines))
	for i, line := range letter.Lines {
		lines[i] = strings.Map(func(r rune) rune {
			if unicode.IsControl(r) && r != '\n' {
				return ' '
			}
			return r
		}, line)
	}
	letter.Lines = lines
	paragraphs = append(paragraphs, lines...)
	if letter.Link != "" {
		paragraphs = append(paragraphs, oneLine(letter.LinkText)+": "+oneLine(letter.Link))
	}
	var b strings.Builder
	_ = page().Execute(&b, letter) // a builder takes everything, and the template is known
	return strings.Join(paragraphs, "\n\n") + "\n", b.String()
}
