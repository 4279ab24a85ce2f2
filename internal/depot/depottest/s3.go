package depottest

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// amazon is S3 in one region: gofakes3 keeps the files, and what it does not
// check is checked before it.
type amazon struct {
	*Cloud
	backend *s3mem.Backend
	inside  http.Handler
}

const (
	amazonRegion = "eu-north-1"
	amazonBucket = "acme-outputs"
	amazonKey    = "AKIATESTACMEOUTPUTS1"
	amazonSecret = "s3cret/key+of+the+test/0123456789abcdefg"
	amazonToken  = "s3ssion-token-of-the-test"
)

// S3 starts it, as BUCKET.s3.REGION.amazonaws.com.
func S3(t *testing.T) *Cloud {
	t.Helper()
	a := newAmazon(t)
	world.serve(t, ".s3."+amazonRegion+".amazonaws.com", a)
	world.serve(t, "s3."+amazonRegion+".amazonaws.com", a)
	world.serve(t, ".s3.us-west-2.amazonaws.com", a) // which knows of the bucket, and where it is
	return a.Cloud
}

// S3Compatible starts one that speaks plain http at an address of its own, as
// those do that one runs oneself.
func S3Compatible(t *testing.T) *Cloud {
	t.Helper()
	a := newAmazon(t)
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	t.Setenv("AWS_ENDPOINT_URL_S3", server.URL)
	return a.Cloud
}

func newAmazon(t *testing.T) *amazon {
	t.Helper()
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": amazonKey, "AWS_SECRET_ACCESS_KEY": amazonSecret, "AWS_SESSION_TOKEN": amazonToken, "AWS_REGION": "",
	} {
		t.Setenv(name, value)
	}
	a := &amazon{backend: s3mem.New()}
	if err := a.backend.CreateBucket(amazonBucket); err != nil {
		t.Fatal(err)
	}
	a.inside = gofakes3.New(a.backend, gofakes3.WithIntegrityCheck(true)).Server()
	a.Cloud = &Cloud{
		Part: 8 << 20,
		Name: "S3", store: a, closed: make(map[string]bool), Secrets: []string{amazonSecret, amazonToken},
		Depot: "s3://" + amazonBucket + "?region=" + amazonRegion, Elsewhere: "s3://acme-missing?region=" + amazonRegion,
		input:  func(key string) string { return "s3://" + amazonBucket + "/" + key + "?region=" + amazonRegion },
		isRead: func(r *http.Request) bool { return r.Method == http.MethodGet },
		isWrite: func(r *http.Request) bool {
			return r.Method == http.MethodPut || r.Method == http.MethodPost
		},
		busy: func(w http.ResponseWriter) {
			amazonError{http.StatusServiceUnavailable, "SlowDown", "Please reduce your request rate.", ""}.answer(w, http.MethodGet)
		},
		Spoil: map[string]func(*testing.T){
			"AWS_ACCESS_KEY_ID":     func(t *testing.T) { t.Setenv("AWS_ACCESS_KEY_ID", "AKIAOTHER") },
			"AWS_SECRET_ACCESS_KEY": func(t *testing.T) { t.Setenv("AWS_SECRET_ACCESS_KEY", "an0ther-s3cret") },
			"AWS_SESSION_TOKEN":     func(t *testing.T) { t.Setenv("AWS_SESSION_TOKEN", "an0ther-s3cret") },
			"AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY": func(t *testing.T) {
				for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"} {
					t.Setenv(name, "")
				}
			},
		},
	}
	return a
}

// amazonError is what S3 refuses with.
// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
type amazonError struct {
	status        int
	code, message string
	more          string // XML
}

func (e amazonError) answer(w http.ResponseWriter, method string) {
	w.Header().Set("Content-Type", "application/xml")
	w.Header().Set("X-Amz-Request-Id", "4442587FB7D0A2F9")
	w.WriteHeader(e.status)
	if method != http.MethodHead { // which has no body, and so no code
		fmt.Fprintf(w, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code><Message>%s</Message>%s<RequestId>4442587FB7D0A2F9</RequestId></Error>",
			e.code, e.message, e.more)
	}
}

func (a *amazon) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w, done := a.disturb(w, r)
	if done {
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if refusal := a.check(r, body); refusal != nil {
		refusal.answer(w, r.Method)
		return
	}
	if body, err = plain(r, body); err != nil {
		amazonError{http.StatusBadRequest, "BadDigest", err.Error(), ""}.answer(w, r.Method)
		return
	}
	inside := r.Clone(r.Context())
	inside.Body, inside.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	inside.Header.Set("Content-Length", strconv.Itoa(len(body)))
	if name, _, virtual := strings.Cut(r.Host, ".s3."); virtual {
		inside.URL.Path, inside.URL.RawPath, inside.Host = "/"+name+r.URL.Path, "", "s3"
	}
	if refusal := a.condition(inside); refusal != nil {
		refusal.answer(w, r.Method)
		return
	}
	a.inside.ServeHTTP(w, inside)
}

// condition is what gofakes3 does not know of.
func (a *amazon) condition(r *http.Request) *amazonError {
	asked := r.Header.Get("If-Match")
	if asked == "" || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return nil
	}
	name, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	found, err := a.backend.HeadObject(name, key)
	if err == nil && `"`+hex.EncodeToString(found.Hash)+`"` != asked {
		return &amazonError{http.StatusPreconditionFailed, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold", ""}
	}
	return nil
}

// check recomputes the signature.
// https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
func (a *amazon) check(r *http.Request, body []byte) *amazonError {
	const skewMost = 15 * time.Minute
	scheme, rest, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if a.gives(r) {
		return nil
	}
	if scheme != "AWS4-HMAC-SHA256" {
		return &amazonError{http.StatusForbidden, "AccessDenied", "Access Denied", ""}
	}
	fields := make(map[string]string)
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		fields[name] = value
	}
	scope := strings.Split(fields["Credential"], "/")
	stamp := r.Header.Get("X-Amz-Date")
	at, err := time.Parse("20060102T150405Z", stamp)
	switch {
	case len(scope) != 5 || scope[3] != "s3" || scope[4] != "aws4_request" || err != nil || !strings.HasPrefix(stamp, scope[1]):
		return &amazonError{http.StatusBadRequest, "AuthorizationHeaderMalformed", "The authorization header is malformed", ""}
	case scope[0] != amazonKey:
		return &amazonError{http.StatusForbidden, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.", "<AWSAccessKeyId>" + scope[0] + "</AWSAccessKeyId>"}
	case scope[2] != amazonRegion:
		return &amazonError{
			http.StatusBadRequest, "AuthorizationHeaderMalformed",
			"The authorization header is malformed; the region '" + scope[2] + "' is wrong; expecting '" + amazonRegion + "'", "<Region>" + amazonRegion + "</Region>",
		}
	case time.Since(at).Abs() > skewMost:
		return &amazonError{http.StatusForbidden, "RequestTimeTooSkewed", "The difference between the request time and the current time is too large.", ""}
	}
	signed := strings.Split(fields["SignedHeaders"], ";")
	for name := range r.Header {
		if name = strings.ToLower(name); strings.HasPrefix(name, "x-amz-") && !slices.Contains(signed, name) {
			return &amazonError{http.StatusForbidden, "AccessDenied", "There were headers present in the request which were not signed", "<HeadersNotSigned>" + name + "</HeadersNotSigned>"}
		}
	}
	told, sum := r.Header.Get("X-Amz-Content-Sha256"), sha256.Sum256(body)
	switch {
	case told == "":
		return &amazonError{http.StatusBadRequest, "InvalidRequest", "Missing required header for this request: x-amz-content-sha256", ""}
	case told != hex.EncodeToString(sum[:]) && told != "UNSIGNED-PAYLOAD" && told != "STREAMING-UNSIGNED-PAYLOAD-TRAILER":
		return &amazonError{http.StatusBadRequest, "XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match what was computed.", ""}
	}
	canonical := amazonCanonical(r, signed, told)
	hash := sha256.Sum256([]byte(canonical))
	text := strings.Join([]string{"AWS4-HMAC-SHA256", stamp, strings.Join(scope[1:], "/"), hex.EncodeToString(hash[:])}, "\n")
	key := []byte("AWS4" + amazonSecret)
	for _, part := range slices.Concat(scope[1:], []string{text}) {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	if subtle.ConstantTimeCompare([]byte(hex.EncodeToString(key)), []byte(fields["Signature"])) != 1 {
		var escaped bytes.Buffer
		_ = xml.EscapeText(&escaped, []byte(canonical)) // a buffer takes everything
		return &amazonError{
			http.StatusForbidden, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided. Check your key and signing method.",
			"<SignatureProvided>" + fields["Signature"] + "</SignatureProvided><CanonicalRequest>" + escaped.String() + "</CanonicalRequest>",
		}
	}
	switch {
	case r.Header.Get("X-Amz-Security-Token") != amazonToken:
		return &amazonError{http.StatusBadRequest, "InvalidToken", "The provided token is malformed or otherwise invalid.", "<Token-0>" + r.Header.Get("X-Amz-Security-Token") + "</Token-0>"}
	case a.forbids(r):
		return &amazonError{http.StatusForbidden, "AccessDenied", "Access Denied", ""}
	}
	return nil
}

// amazonCanonical is the request as it is signed.
func amazonCanonical(r *http.Request, signed []string, payload string) string {
	var headers strings.Builder
	for _, name := range signed {
		value := strings.Join(r.Header.Values(name), ",")
		switch name {
		case "host":
			value = r.Host
		case "content-length":
			value = strconv.FormatInt(r.ContentLength, 10)
		}
		headers.WriteString(name + ":" + strings.Join(strings.Fields(value), " ") + "\n")
	}
	path, query, _ := strings.Cut(r.RequestURI, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		return ""
	}
	return strings.Join([]string{
		r.Method, path, strings.ReplaceAll(values.Encode(), "+", "%20"), headers.String(), strings.Join(signed, ";"), payload,
	}, "\n")
}

// plain is a body without the frames of aws-chunked, and with its checksum
// compared.
// https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html
func plain(r *http.Request, body []byte) ([]byte, error) {
	told := r.Header.Get("X-Amz-Checksum-Crc32")
	if r.Header.Get("X-Amz-Content-Sha256") == "STREAMING-UNSIGNED-PAYLOAD-TRAILER" {
		frames, content := bufio.NewReader(bytes.NewReader(body)), new(bytes.Buffer)
		for {
			line, err := frames.ReadString('\n')
			if err != nil {
				return nil, err
			}
			size, err := strconv.ParseInt(strings.TrimSpace(line), 16, 64)
			if err != nil {
				return nil, err
			}
			if size == 0 {
				break
			}
			if _, err := io.CopyN(content, frames, size); err != nil {
				return nil, err
			}
			if _, err := frames.Discard(len("\r\n")); err != nil {
				return nil, err
			}
		}
		trailer, err := frames.ReadString('\n')
		if err != nil {
			return nil, err
		}
		name, value, _ := strings.Cut(strings.TrimSpace(trailer), ":")
		if name != r.Header.Get("X-Amz-Trailer") || name != "x-amz-checksum-crc32" || r.Header.Get("X-Amz-Decoded-Content-Length") != strconv.Itoa(content.Len()) {
			return nil, fmt.Errorf("a trailer that is not known: %s", trailer)
		}
		body, told = content.Bytes(), value
		r.Header.Del("Content-Encoding")
	}
	if told == "" {
		return body, nil
	}
	sum := base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(body)))
	if sum != told {
		return nil, fmt.Errorf("the CRC32 you specified did not match the calculated checksum")
	}
	return body, nil
}

func (a *amazon) put(key string, content []byte, encoding string) {
	about := map[string]string{"Last-Modified": time.Now().UTC().Format(http.TimeFormat)}
	if encoding != "" {
		about["Content-Encoding"] = encoding
	}
	if _, err := a.backend.PutObject(amazonBucket, key, about, bytes.NewReader(content), int64(len(content)), nil); err != nil {
		panic(err)
	}
}

func (a *amazon) get(key string) ([]byte, bool) {
	found, err := a.backend.GetObject(amazonBucket, key, nil)
	if err != nil {
		return nil, false
	}
	content, err := io.ReadAll(found.Contents)
	return content, err == nil
}

// unfinished asks for the list of uploads, as one who looks for what costs money.
func (a *amazon) unfinished() int {
	answer := httptest.NewRecorder()
	a.inside.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/"+amazonBucket+"?uploads", http.NoBody))
	return strings.Count(answer.Body.String(), "<UploadId>")
}
