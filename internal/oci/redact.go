package oci

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"fairlead.dev/fairlead/internal/secret"
)

// Redact is u without what may be secret in it: user info, query, fragment.
// The signed address of a blob is a secret for as long as it lives.
func Redact(u *url.URL) string {
	shown := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	return escape(shown.String())
}

// RedactError is err without the query strings that net/http puts in the text
// of its errors. The chain of causes stays.
func RedactError(err error) error {
	failed, ok := errors.AsType[*url.Error](err)
	if !ok {
		return err
	}
	call := &callError{method: strings.ToUpper(failed.Op), where: "an address", cause: failed.Err}
	if u, err := url.Parse(failed.URL); err == nil {
		call.where, call.host = Redact(u), u.Host
	}
	return call
}

// callError is a request that got no answer.
type callError struct {
	method, where, host string
	cause               error
}

func (e *callError) Error() string { return e.method + " " + e.where + ": " + e.cause.Error() }

func (e *callError) Unwrap() error { return e.cause }

// HostAsked is the host that a request got no answer from, fit to be shown;
// empty where err, which RedactError returned, tells none.
func HostAsked(err error) string {
	if call, ok := errors.AsType[*callError](err); ok {
		return escape(call.host)
	}
	return ""
}

const (
	stars = "***"

	// longestMessage is how much of a foreign message is shown.
	longestMessage = 400
)

// secretShapes are what tokens look like wherever a registry repeats them: JWTs
// and those of Docker Hub, JFrog, GitHub and GitLab
// (https://docs.gitlab.com/security/tokens/#token-prefixes).
var secretShapes = regexp.MustCompile(`eyJ[\w-]{8,}(\.[\w-]*){0,4}|dckr_[po]at_[\w-]+|AKCp[\w-]{8,}|gh[pousr]_\w{16,}|github_pat_\w+|\bgl(pat|dt|rt|cbt|ptt|ft|imt|agent|soat|oas|ffct)-[\w-]{16,}`)

// urlQuery is the query of an address inside a text.
var urlQuery = regexp.MustCompile(`(https?://[^\s?"']*)\?[^\s"']*`)

// redactor takes known secrets out of foreign text, however it is encoded.
type redactor struct{ replacer *strings.Replacer }

// newRedactor knows the given secrets and the credential that request shows.
func newRedactor(request *http.Request, secrets []secret.Text) redactor {
	var pairs []string
	hide := func(value string) {
		const shortest = 4 // a shorter one hides nothing but the message
		if len(value) < shortest {
			return
		}
		for _, form := range []string{
			value, url.QueryEscape(value), url.PathEscape(value),
			base64.StdEncoding.EncodeToString([]byte(value)), base64.RawURLEncoding.EncodeToString([]byte(value)),
		} {
			pairs = append(pairs, form, stars)
		}
	}
	for _, s := range secrets {
		hide(s.Reveal())
	}
	if request != nil {
		if _, password, basic := request.BasicAuth(); basic {
			hide(password)
		}
		_, shown, _ := strings.Cut(request.Header.Get("Authorization"), " ")
		hide(shown)
	}
	return redactor{replacer: strings.NewReplacer(pairs...)}
}

// clean makes a foreign text fit to be shown: no secret, no query string, no
// control character, and not too long.
func (r redactor) clean(text string) string {
	text = r.replacer.Replace(text)
	text = secretShapes.ReplaceAllString(text, stars)
	text = urlQuery.ReplaceAllString(text, "$1")
	return escape(strings.Join(strings.Fields(text), " "))
}

// escape shows what is not printable as Go would write it, and cuts what is
// too long.
func escape(text string) string {
	if len(text) > longestMessage {
		end := longestMessage
		for end > 0 && !utf8.RuneStart(text[end]) {
			end--
		}
		text = text[:end] + "…"
	}
	var b strings.Builder
	for _, c := range text {
		if strconv.IsPrint(c) && c != utf8.RuneError {
			b.WriteRune(c)
		} else {
			b.WriteString(strings.Trim(strconv.QuoteRune(c), "'"))
		}
	}
	return b.String()
}

// Clean makes a foreign text fit to be shown: without the given secrets, tokens
// and query strings, in one line and not too long.
func Clean(text string, hide ...secret.Text) string { return newRedactor(nil, hide).clean(text) }
