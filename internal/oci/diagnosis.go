package oci

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
)

// Diagnose turns any error met on the way to a registry into a fault that says
// what happened to the image and what to do next. An error that holds a fault
// is that fault. Diagnose(nil, …) is nil. The fault's cause is err without
// query strings; neither holds a secret.
//
// Codes: dns_unknown, dns_failed, connection_refused, connection_lost,
// network_unreachable, timeout, cancelled, tls_untrusted, tls_name,
// tls_expired, tls_failed, tls_missing, not_a_registry, unauthorized,
// no_pull_right, access_denied, image_not_found, repository_not_found,
// rate_limited, registry_down, registry_refused, network_failed, and those of
// the Route: address_forbidden, plain_http, url_userinfo, url_scheme,
// credential_elsewhere, redirect_loop, redirect_insecure, redirect_body,
// realm_invalid, realm_userinfo, realm_insecure, realm_foreign, realm_redirected,
// token_missing, digest_invalid, digest_mismatch, manifest_too_large.
func Diagnose(err error, ref image.Reference) *fault.Error {
	if err == nil {
		return nil
	}
	if known, ok := errors.AsType[*fault.Error](err); ok {
		return known
	}
	cause := RedactError(err)
	if answer, ok := errors.AsType[*Error](err); ok {
		return diagnoseAnswer(answer, ref).WithCause(cause)
	}
	for _, d := range networkDiagnoses {
		if d.is(err) {
			return d.fault(ref, cause).WithCause(cause)
		}
	}
	return fault.New(fault.Unavailable, "network_failed", "%s could not be asked for %s", ref.APIHost(), ref).
		WithHint("Try again; the server's log has the details.").WithCause(cause)
}

// answerDiagnosis is one row of the table from a registry's answer to a
// fault. The sentence is followed by the registry's own words.
type answerDiagnosis struct {
	is       func(*Error) bool
	kind     fault.Kind
	code     string
	sentence string // with {image}, {host} (which answered) and {status}
	hint     string
}

// The first row that fits is the diagnosis.
var answerDiagnoses = []answerDiagnosis{
	{
		func(e *Error) bool { return e.Status == http.StatusTooManyRequests || e.Has(CodeTooManyRequests) },
		fault.Exhausted, "rate_limited",
		"{host} allows no more requests for now, so {image} was not pulled",
		"Wait for the limit to reset, or use a credential with a higher limit or a pull-through cache.",
	},
	{
		func(e *Error) bool { return e.Status >= http.StatusInternalServerError },
		fault.Unavailable, "registry_down",
		"{host} answered {status} when asked for {image}",
		"The fault is on the registry's side: try again in a moment, or look at its status page.",
	},
	{
		func(e *Error) bool { return e.HTML },
		fault.Unavailable, "not_a_registry",
		"{host} answered with a web page instead of a registry's answer when asked for {image}",
		"Check the image's host and path (a registry behind a path needs that path in the name), and whether a proxy or login page stands in between.",
	},
	{
		func(e *Error) bool { return e.Status == http.StatusUnauthorized && e.InsufficientScope() },
		fault.Denied, "no_pull_right",
		"{host} does not let this credential pull {image}: the image is private to others, or it does not exist",
		"Check the spelling of the name, and that the credential's user may read this repository.",
	},
	{
		func(e *Error) bool { return e.Status == http.StatusUnauthorized },
		fault.Unauthenticated, "unauthorized",
		"{host} does not accept who asks for {image}: the credential is missing, wrong or expired",
		"Check that a credential covers this image and that its secret is still valid.",
	},
	{
		func(e *Error) bool { return e.Status == http.StatusForbidden || e.Has(CodeDenied) },
		fault.Denied, "access_denied",
		"{host} knows who asks for {image} and does not allow it",
		"Give the credential's user the right to read this repository, or use another credential.",
	},
	{
		func(e *Error) bool { return e.Has(CodeNameUnknown) },
		fault.NotFound, "repository_not_found",
		"{host} has no repository for {image}, or none that this credential may see",
		"Check the spelling of the name, and that the image was pushed there.",
	},
	{
		func(e *Error) bool { return e.Status == http.StatusNotFound },
		fault.NotFound, "image_not_found",
		"{host} has no image {image}, or none that this credential may see",
		"Check the tag or digest, and that the image was pushed there.",
	},
	{
		func(e *Error) bool { return e.Status < http.StatusBadRequest },
		fault.Unavailable, "not_a_registry",
		"{host} gave an answer to {image} that no registry gives",
		"Check the image's host, and whether a proxy or login page stands in between.",
	},
	{
		func(*Error) bool { return true },
		fault.Unavailable, "registry_refused",
		"{host} answered {status} when asked for {image}",
		"Look the registry's words up in its documentation, or ask its operator.",
	},
}

func diagnoseAnswer(e *Error, ref image.Reference) *fault.Error {
	for _, d := range answerDiagnoses {
		if !d.is(e) {
			continue
		}
		sentence := strings.NewReplacer("{image}", ref.String(), "{host}", escape(e.Host), "{status}", strconv.Itoa(e.Status)).Replace(d.sentence)
		f := &fault.Error{Kind: d.kind, Code: d.code, Message: sentence + e.said(), Hint: d.hint, RetryAfter: e.RetryAfter}
		if d.code == "rate_limited" && e.RateLimit != nil {
			f.Message += " (" + e.RateLimit.String() + ")"
			f.RetryAfter = max(f.RetryAfter, e.RateLimit.Reset)
		}
		return f
	}
	panic("the last row fits every answer")
}

// said is the registry's own words in brackets, where there are any.
func (e *Error) said() string {
	words := strings.Join(e.Codes, ", ")
	if e.Message != "" {
		if words != "" {
			words += ": "
		}
		words += e.Message
	}
	if words == "" {
		return ""
	}
	return " (it says: " + words + ")"
}

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
	host := ref.APIHost()
	if call, ok := errors.AsType[*callError](err); ok && call.host != "" {
		host = call.host
	}
	sentence := strings.NewReplacer("{image}", ref.String(), "{host}", escape(host)).Replace(d.sentence)
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
