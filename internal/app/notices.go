package app

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"fairlead.dev/fairlead/internal/app/adapter"
	"fairlead.dev/fairlead/internal/courier"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/notice"
	"fairlead.dev/fairlead/internal/outbox"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/vault"
)

// NoticeConfig is how what happened is told.
type NoticeConfig struct {
	SMTPAddress      string
	SMTPFrom         string
	SMTPUsername     string
	SMTPPasswordFile string
	SMTPTLS          string

	// Hosts are webhook receivers on private networks: HOST, or
	// HOST=ADDRESS:PORT.
	Hosts []string
}

func (c *NoticeConfig) flags(set *pflag.FlagSet) {
	set.StringVar(&c.SMTPAddress, "smtp-address", "", "mail server that notices are sent by: HOST:PORT (default none)")
	set.StringVar(&c.SMTPFrom, "smtp-from", "", "address that mail is from, such as 'Fairlead <fairlead@acme.example>'")
	set.StringVar(&c.SMTPUsername, "smtp-username", "", "user that logs in at the mail server (default nobody does)")
	set.StringVar(&c.SMTPPasswordFile, "smtp-password-file", "", "file with that user's password")
	set.StringVar(&c.SMTPTLS, "smtp-tls", "starttls", "how the way to the mail server is encrypted: starttls, implicit, or none, which sends no password but to this machine")
	set.StringSliceVar(&c.Hosts, "notice-host", nil, "receiver of webhooks on a private network: HOST, or HOST=ADDRESS:PORT to reach it there")
}

// openMailer makes what sends mail; it may be asked whether it can.
func (s *Server) openMailer(roots *x509.CertPool) (*courier.Mailer, error) {
	config := s.config.Notices
	smtp := courier.SMTP{
		Address: config.SMTPAddress, From: config.SMTPFrom, Username: config.SMTPUsername,
		Encryption: courier.Encryption(config.SMTPTLS), RootCAs: roots,
	}
	if config.SMTPPasswordFile != "" {
		text, err := os.ReadFile(filepath.Clean(config.SMTPPasswordFile))
		if err != nil {
			return nil, fault.InvalidField("smtp-password-file", "file", "%v", err)
		}
		smtp.Password = secret.New(strings.TrimRight(string(text), "\r\n"))
	}
	return courier.NewMailer(smtp)
}

// openHooks makes what sends webhooks: to the public internet, and to those
// hosts on private networks that the operator named.
func (s *Server) openHooks(roots *x509.CertPool) (*courier.Hooks, error) {
	hosts, err := privateHosts("notice-host", s.config.Notices.Hosts)
	if err != nil {
		return nil, err
	}
	return courier.NewHooks(courier.HooksConfig{RootCAs: roots, Dial: s.dialer(hosts, hookGuarded)}), nil
}

// hookGuarded is said of a host at an address that is not dialled.
func hookGuarded(host string, local bool) error {
	f := fault.New(fault.Denied, "webhook_address_forbidden", "%s has an address that no webhook may go to", host)
	if local {
		return f.WithHint("It is where clouds tell their machines secrets. Mend the address.")
	}
	f.Message = host + " is on a private network, and webhooks go to public addresses alone"
	return f.WithHint("If it is to be told, the operator starts the server with --notice-host %s.", host)
}

// openNotices wires who is told what happened.
func (s *Server) openNotices(sealing *vault.Vault, now func() time.Time) error {
	roots, err := s.roots()
	if err != nil {
		return err
	}
	if s.mailer, err = s.openMailer(roots); err != nil {
		return err
	}
	hooks, err := s.openHooks(roots)
	if err != nil {
		return err
	}
	s.channels = notice.NewService(notice.Config{
		Store: s.store, Messages: s.store, Accounts: s.accounts, Users: s.store, Sealer: adapter.Sealer{Vault: sealing}, Now: now,
		Mails: s.mailer.IsConfigured(),
	})
	s.outbox = outbox.New(outbox.Config{
		Store: s.store, Channels: s.channels, Mailer: s.mailer, Hooks: hooks, Now: now, Logger: s.logger, PublicURL: s.config.PublicURL,
	})
	return nil
}
