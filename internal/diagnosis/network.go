package diagnosis

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/oci"
)

// networkDiagnosis is one row of the table from an error below HTTP to a
// fault.
type networkDiagnosis struct {
	is       func(error) bool
	kind     fault.Kind
	code     string
	sentence string // with {image} and {host} (which could not be reached)
	hint     string
}

func (d networkDiagnosis) fault(ref image.Reference, err error) *fault.Error {
	host := oci.HostAsked(err)
	if host == "" {
		host = hostOf(ref)
	}
	sentence := strings.NewReplacer("{image}", nameOf(ref), "{host}", host).Replace(d.sentence)
	return &fault.Error{Kind: d.kind, Code: d.code, Message: sentence, Hint: d.hint}
}

var networkDiagnoses = []networkDiagnosis{
	{
		func(err error) bool { return errors.Is(err, context.Canceled) },
		fault.Unavailable, "cancelled",
		"asking {host} for {image} was broken off", "",
	},
	{
		func(err error) bool {
			failed, ok := errors.AsType[*net.DNSError](err)
			return ok && failed.IsNotFound
		},
		fault.Unavailable, "dns_unknown",
		"there is no host {host}, so {image} was not asked for",
		"Check the host in the image's name, and the name server if it is a name of your own network.",
	},
	{
		func(err error) bool { _, ok := errors.AsType[*net.DNSError](err); return ok },
		fault.Unavailable, "dns_failed",
		"the address of {host} could not be looked up, so {image} was not asked for",
		"Check the name server of this machine, then try again.",
	},
	{
		isTimeout,
		fault.Unavailable, "timeout",
		"{host} did not answer in time when asked for {image}",
		"Check that this machine may reach it (firewall, proxy), then try again.",
	},
	{
		func(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) },
		fault.Unavailable, "connection_refused",
		"{host} refused the connection, so {image} was not asked for",
		"Check the host and port, and that the registry is running.",
	},
	{
		func(err error) bool { _, ok := errors.AsType[x509.UnknownAuthorityError](err); return ok },
		fault.Unavailable, "tls_untrusted",
		"the certificate of {host} is signed by an authority that is not trusted here, so {image} was not asked for",
		"If it is a private authority, let an admin of this Fairlead enter its CA certificate for that host.",
	},
	{
		func(err error) bool { _, ok := errors.AsType[x509.HostnameError](err); return ok },
		fault.Unavailable, "tls_name",
		"the certificate of {host} is for another host, so {image} was not asked for",
		"Use the host name that the certificate is for, or have the registry's certificate mended.",
	},
	{
		func(err error) bool {
			invalid, ok := errors.AsType[x509.CertificateInvalidError](err)
			return ok && invalid.Reason == x509.Expired
		},
		fault.Unavailable, "tls_expired",
		"the certificate of {host} has expired or is not valid yet, so {image} was not asked for",
		"Have the registry's certificate renewed, and check the clock of this machine.",
	},
	{
		func(err error) bool {
			_, notTLS := errors.AsType[tls.RecordHeaderError](err)
			return notTLS || errors.Is(err, http.ErrSchemeMismatch)
		},
		fault.Unavailable, "tls_missing",
		"{host} does not speak TLS, so {image} was not asked for",
		"If it is a registry without TLS, let an admin of this Fairlead enter a host rule that allows plain http for it.",
	},
	{
		func(err error) bool {
			_, verification := errors.AsType[*tls.CertificateVerificationError](err)
			_, alert := errors.AsType[tls.AlertError](err)
			return verification || alert
		},
		fault.Unavailable, "tls_failed",
		"no secure connection to {host} came about, so {image} was not asked for",
		"Have the registry's TLS settings checked; the server's log has the details.",
	},
	{
		func(err error) bool {
			return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
				errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		},
		fault.Unavailable, "connection_lost",
		"{host} broke the connection off when asked for {image}",
		"Try again; if it stays so, something between here and the registry closes connections.",
	},
	{
		func(err error) bool {
			return errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EHOSTUNREACH)
		},
		fault.Unavailable, "network_unreachable",
		"there is no way from here to {host}, so {image} was not asked for",
		"Check this machine's network and routes.",
	},
}

func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

// hostOf is the host that an image is asked for at.
func hostOf(ref image.Reference) string {
	if ref.IsZero() {
		return "the registry"
	}
	return ref.APIHost()
}
