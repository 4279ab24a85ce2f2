package oci

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/secret"
)

// Error is a registry's or token service's refusal: everything its answer
// says, made fit to be shown. It holds no secret and no query string.
type Error struct {
	Method     string
	Host       string
	Path       string
	Repository string

	Status     int
	Codes      []string // of the answer's body: DENIED, MANIFEST_UNKNOWN, invalid_grant…
	Message    string   // what the answer says, escaped and cut
	HTML       bool     // the answer is a page, not a registry's
	Challenges []Challenge
	RateLimit  *RateLimit // nil: the answer speaks of none
	RetryAfter time.Duration
}

// Codes of the distribution specification that decisions are made on.
// https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#error-codes
const (
	CodeDenied          = "DENIED"
	CodeUnauthorized    = "UNAUTHORIZED"
	CodeManifestUnknown = "MANIFEST_UNKNOWN"
	CodeNameUnknown     = "NAME_UNKNOWN"
	CodeBlobUnknown     = "BLOB_UNKNOWN"
	CodeTooManyRequests = "TOOMANYREQUESTS"
)

// mostCodes is how many codes of one answer are kept; registries give one.
const mostCodes = 8

// Error is one line for the operator.
func (e *Error) Error() string {
	s := fmt.Sprintf("%s %s%s: %d %s", e.Method, e.Host, e.Path, e.Status, http.StatusText(e.Status))
	if len(e.Codes) > 0 {
		s += " " + strings.Join(e.Codes, ",")
	}
	if e.Message != "" {
		s += ": " + e.Message
	}
	return s
}

// Has reports whether the answer's body holds that code.
func (e *Error) Has(code string) bool { return slices.Contains(e.Codes, code) }

// Temporary reports whether the same request may well succeed later.
func (e *Error) Temporary() bool {
	switch e.Status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests,
		http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	default:
		return e.Has(CodeTooManyRequests)
	}
}

// InsufficientScope reports whether the registry knows the token and says that
// it does not grant enough.
func (e *Error) InsufficientScope() bool {
	return slices.ContainsFunc(e.Challenges, func(c Challenge) bool { return c.Error == insufficientScope })
}

// ReadError makes an Error of an answer that is not what was asked for. It
// reads at most 64 KiB of the body and leaves it to the caller to close. What
// the request showed, and the given secrets, are taken out of the answer's
// words. Repository is for the message; it may be empty.
func ReadError(response *http.Response, repository string, hide ...secret.Text) *Error {
	const mostRead = 64 << 10
	e := &Error{
		Repository: repository,
		Status:     response.StatusCode,
		Challenges: ParseChallenges(response.Header),
		RetryAfter: retryAfter(response.Header.Get("Retry-After"), time.Now()),
	}
	if request := response.Request; request != nil {
		e.Method, e.Host, e.Path = request.Method, request.URL.Host, escape(request.URL.Path)
	}
	if limit, found := ParseRateLimit(response.Header); found {
		e.RateLimit = &limit
	}
	body, _ := io.ReadAll(io.LimitReader(response.Body, mostRead)) // a part is better than nothing
	e.HTML = isHTML(response.Header, body)
	redact := newRedactor(response.Request, hide)
	codes, message := readErrorBody(body)
	for _, code := range codes[:min(len(codes), mostCodes)] {
		e.Codes = append(e.Codes, redact.clean(code))
	}
	if !e.HTML && e.Status >= http.StatusBadRequest { // what a success says may be a token
		e.Message = redact.clean(message)
	}
	return e
}

func isHTML(header http.Header, body []byte) bool {
	return strings.HasPrefix(header.Get("Content-Type"), "text/html") ||
		strings.HasPrefix(http.DetectContentType(body), "text/html")
}

// errorBody is every shape that registries and token services answer with:
// the distribution specification's, JFrog's with a numeric status, Docker
// Hub's `details`, and OAuth 2.0's.
type errorBody struct {
	Errors []struct {
		Code    any    `json:"code"`
		Message string `json:"message"`
		Detail  any    `json:"detail"`
	} `json:"errors"`
	Details     string `json:"details"`
	Detail      string `json:"detail"`
	Message     string `json:"message"`
	Error       any    `json:"error"`
	Description string `json:"error_description"`
}

// readErrorBody gives the codes and the words of a body; a body that is no
// JSON is all words.
func readErrorBody(body []byte) (codes []string, message string) {
	var parsed errorBody
	if err := json.Unmarshal(body, &parsed); err != nil {
		return nil, string(body)
	}
	var words []string
	for _, e := range parsed.Errors {
		if code, ok := e.Code.(string); ok && code != "" {
			codes = append(codes, code)
		}
		words = append(words, e.Message)
		if detail, ok := e.Detail.(string); ok {
			words = append(words, detail)
		}
	}
	if code, ok := parsed.Error.(string); ok {
		codes = append(codes, code)
	}
	words = append(words, parsed.Description, parsed.Details, parsed.Detail, parsed.Message)
	words = slices.DeleteFunc(words, func(s string) bool { return s == "" })
	return codes, strings.Join(words, "; ")
}

// Said is the registry's own words in brackets, where there are any.
func (e *Error) Said() string {
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
