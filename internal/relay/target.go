package relay

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/url"
	"path/filepath"
	"strings"

	"fairlead.dev/fairlead/internal/fault"
)

// stdout is the target that is standard output.
const stdout = "-"

// Target is a place that the trail is sent to. Make it with ParseTarget.
type Target struct {
	file    string // "": none
	network string // of a syslog server: udp, tcp, tls or unix
	address string
	host    string // that a certificate is for
}

// ports are where syslog servers listen: RFC 5426, RFC 6587 and RFC 5425.
var ports = map[string]string{"udp": "514", "tcp": "601", "tls": "6514"}

// ParseTarget reads a file's path, - for standard output, or
// syslog:udp://HOST:PORT, with tcp or tls for udp, or syslog:unix:///SOCKET.
func ParseTarget(text string) (Target, error) {
	address, isSyslog := strings.CutPrefix(text, "syslog:")
	switch {
	case text == "":
		return Target{}, fault.InvalidField("audit-log", "blank", "names no file").WithHint("Write a path, - or syslog:tls://HOST.")
	case text == stdout:
		return Target{file: stdout}, nil
	case !isSyslog:
		path, err := filepath.Abs(text)
		if err != nil {
			return Target{}, fault.InvalidField("audit-log", "path", "%.200q is no path", text).WithCause(err)
		}
		return Target{file: path}, nil
	}
	refused := fault.InvalidField("audit-log", "syslog_address", "names no syslog server").
		WithHint("Write syslog:udp://HOST:PORT, syslog:tcp://HOST:PORT, syslog:tls://HOST:PORT or syslog:unix:///SOCKET.")
	parsed, err := url.Parse(address)
	if err != nil || parsed.User != nil || parsed.RawQuery != "" || parsed.Fragment != "" {
		return Target{}, refused
	}
	t := Target{network: parsed.Scheme, host: parsed.Hostname()}
	if t.network == "unix" {
		if t.address = parsed.Path; parsed.Host != "" || !filepath.IsAbs(t.address) {
			return Target{}, refused
		}
		return t, nil
	}
	port := ports[t.network]
	if port == "" || t.host == "" || strings.Trim(parsed.Path, "/") != "" {
		return Target{}, refused
	}
	if parsed.Port() != "" {
		port = parsed.Port()
	}
	t.address = net.JoinHostPort(t.host, port)
	return t, nil
}

// String names the target, the same for every way to write it.
func (t Target) String() string {
	switch {
	case t.file == stdout:
		return "stdout"
	case t.file != "":
		return "file:" + t.file
	case t.network == "unix":
		return "syslog:unix://" + t.address
	default:
		return "syslog:" + t.network + "://" + t.address
	}
}

// Open returns what sends to the target; it opens nothing before the first row.
// roots are whom a TLS server's certificate may be from; nil: whom the system
// trusts.
func (t Target) Open(roots *x509.CertPool) Sink {
	switch {
	case t.file == stdout:
		return new(standardOutput)
	case t.file != "":
		return &logFile{path: t.file}
	default:
		s := newSyslog(t.network, t.address)
		s.tls = &tls.Config{RootCAs: roots, ServerName: t.host, MinVersion: tls.VersionTLS12}
		return s
	}
}
