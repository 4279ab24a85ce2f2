package granttest

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// awsRefusal is what an API of AWS refuses with; each protocol has words of its
// own for the codes.
type awsRefusal struct {
	code    string
	message string
}

// skewMost is how much a request's time may differ from AWS's.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html
const skewMost = 5 * time.Minute

// verify recomputes a request's signature and finds whose key made it.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
func (a *AWS) verify(request *http.Request, body []byte, service string) (*awsKey, *awsRefusal) {
	scheme, rest, _ := strings.Cut(request.Header.Get("Authorization"), " ")
	if scheme != "AWS4-HMAC-SHA256" {
		return nil, &awsRefusal{"MissingAuthenticationToken", "Request is missing Authentication Token"}
	}
	fields := make(map[string]string)
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		fields[name] = value
	}
	scope := strings.Split(fields["Credential"], "/")
	if len(scope) != 5 || scope[4] != "aws4_request" {
		return nil, &awsRefusal{"IncompleteSignature", "The credential scope cannot be read"}
	}
	a.mu.Lock()
	key, skew := a.keys[scope[0]], a.skew
	a.mu.Unlock()
	if key == nil {
		return nil, &awsRefusal{"UnrecognizedClient", "The security token included in the request is invalid."}
	}
	stamp := request.Header.Get("X-Amz-Date")
	at, err := time.Parse("20060102T150405Z", stamp)
	now := time.Now().Add(skew)
	switch {
	case err != nil || !strings.HasPrefix(stamp, scope[1]):
		return nil, &awsRefusal{"IncompleteSignature", "Date in Credential scope does not match X-Amz-Date"}
	case now.Sub(at) > skewMost:
		return nil, &awsRefusal{"InvalidSignature", "Signature expired: " + stamp + " is now earlier than " + now.Add(-skewMost).UTC().Format("20060102T150405Z")}
	case at.Sub(now) > skewMost:
		return nil, &awsRefusal{"InvalidSignature", "Signature not yet current: " + stamp + " is still later than " + now.Add(skewMost).UTC().Format("20060102T150405Z")}
	case scope[3] != service:
		return nil, &awsRefusal{"InvalidSignature", "Credential should be scoped to correct service: '" + service + "'"}
	case service != "iam" && scope[2] != a.options.Region:
		return nil, &awsRefusal{"InvalidSignature", "Credential should be scoped to a valid region"}
	}
	signed := strings.Split(fields["SignedHeaders"], ";")
	musts := []string{"host"}
	for name := range request.Header {
		if name = strings.ToLower(name); strings.HasPrefix(name, "x-amz-") || name == "content-type" {
			musts = append(musts, name)
		}
	}
	for _, must := range musts {
		if !slices.Contains(signed, must) {
			return nil, &awsRefusal{"IncompleteSignature", "'" + must + "' must be a signed header"}
		}
	}
	sum := sha256.Sum256(body)
	if told := request.Header.Get("X-Amz-Content-Sha256"); told != "" && told != hex.EncodeToString(sum[:]) {
		return nil, &awsRefusal{"InvalidSignature", "The value passed in the X-Amz-Content-SHA256 header does not match the body"}
	}
	if want := signature4(request, body, signed, key.secret, scope, stamp); subtle.ConstantTimeCompare([]byte(want), []byte(fields["Signature"])) != 1 {
		return nil, &awsRefusal{"InvalidSignature", "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."}
	}
	if key.token != request.Header.Get("X-Amz-Security-Token") {
		return nil, &awsRefusal{"UnrecognizedClient", "The security token included in the request is invalid."}
	}
	if !key.expires.IsZero() && time.Now().After(key.expires) {
		return nil, &awsRefusal{"ExpiredToken", "The security token included in the request is expired"}
	}
	return key, nil
}

// signature4 is the signature that the request must have.
func signature4(request *http.Request, body []byte, signed []string, secret string, scope []string, stamp string) string {
	var headers strings.Builder
	for _, name := range signed {
		value := strings.Join(request.Header.Values(name), ",")
		switch name {
		case "host":
			value = request.Host
		case "content-length":
			value = request.Header.Get("Content-Length")
		}
		headers.WriteString(name + ":" + strings.Join(strings.Fields(value), " ") + "\n")
	}
	path := request.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	sum := sha256.Sum256(body)
	canonical := strings.Join([]string{
		request.Method, path, canonicalQuery(request.URL.Query()), headers.String(), strings.Join(signed, ";"), hex.EncodeToString(sum[:]),
	}, "\n")
	sum = sha256.Sum256([]byte(canonical))
	text := strings.Join([]string{"AWS4-HMAC-SHA256", stamp, strings.Join(scope[1:], "/"), hex.EncodeToString(sum[:])}, "\n")
	key := []byte("AWS4" + secret)
	for _, part := range scope[1:] {
		key = hmac256(key, part)
	}
	return hex.EncodeToString(hmac256(key, text))
}

func hmac256(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func canonicalQuery(query url.Values) string {
	return strings.ReplaceAll(query.Encode(), "+", "%20") // sorted by name
}
