package courier_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"go/format"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/courier"
)

// verify is the example of docs/notices.md, letter by letter.
func verify(secret string, header http.Header, body []byte) error {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		return err
	}
	sent, err := strconv.ParseInt(header.Get("webhook-timestamp"), 10, 64)
	if err != nil {
		return err
	}
	if age := time.Since(time.Unix(sent, 0)).Abs(); age > 5*time.Minute {
		return errors.New("too old, or from the future")
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%d.%s", header.Get("webhook-id"), sent, body)
	for _, signature := range strings.Fields(header.Get("webhook-signature")) {
		version, text, _ := strings.Cut(signature, ",")
		given, err := base64.StdEncoding.DecodeString(text)
		if version == "v1" && err == nil && hmac.Equal(given, mac.Sum(nil)) {
			return nil
		}
	}
	return errors.New("the signature is wrong")
}

// example is a block of docs/notices.md in a language.
func example(t *testing.T, language string) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/notices.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(page), "```"+language+"\n")
	text, _, ended := strings.Cut(rest, "```")
	if !found || !ended {
		t.Fatalf("docs/notices.md has no example in %s", language)
	}
	return text
}

// webhooks are a genuine one, and what is to be refused.
func webhooks(t *testing.T) map[string]map[string]string {
	t.Helper()
	now := time.Now()
	made := func(at time.Time, body string) map[string]string {
		signature, err := courier.Sign(signing, "msg-1", at, []byte(`{"type":"notice.test"}`))
		if err != nil {
			t.Fatal(err)
		}
		return map[string]string{"webhook-id": "msg-1", "webhook-timestamp": strconv.FormatInt(at.Unix(), 10), "webhook-signature": signature, "body": body}
	}
	genuine, other := made(now, `{"type":"notice.test"}`), made(now, `{"type":"notice.test"}`)
	genuine["webhook-signature"] = "v1,AAAA " + genuine["webhook-signature"]
	other["webhook-id"] = "msg-2"
	return map[string]map[string]string{
		"genuine": genuine, "changed": made(now, `{"type":"other"}`), "old": made(now.Add(-time.Hour), `{"type":"notice.test"}`), "another id": other,
	}
}

func TestTheExampleInGoTakesGenuineWebhooksAlone(t *testing.T) {
	source, err := os.ReadFile("docs_test.go")
	if err != nil {
		t.Fatal(err)
	}
	text := example(t, "go")
	if !strings.Contains(string(source), text) {
		t.Error("the example is not the function verify of this file")
	}
	if formatted, err := format.Source([]byte(text)); err != nil || string(formatted) != text {
		t.Errorf("the example is not formatted: %v", err)
	}
	for name, hook := range webhooks(t) {
		header := make(http.Header)
		for key, value := range hook {
			header.Set(key, value)
		}
		if err := verify(signing.Reveal(), header, []byte(hook["body"])); (err == nil) != (name == "genuine") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheExampleInPythonTakesGenuineWebhooksAlone(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Logf("there is no Python here: its example is compared by its words alone")
		for _, want := range []string{"hmac.compare_digest", "hashlib.sha256", `removeprefix("whsec_")`} {
			if !strings.Contains(example(t, "python"), want) {
				t.Errorf("the example lacks %s", want)
			}
		}
		return
	}
	script := example(t, "python") + "\nimport sys\nverify(sys.argv[1], {'webhook-id': sys.argv[2], 'webhook-timestamp': sys.argv[3], 'webhook-signature': sys.argv[4]}, sys.argv[5].encode())\n"
	for name, hook := range webhooks(t) {
		out, err := exec.CommandContext(t.Context(), python, "-c", script, signing.Reveal(), hook["webhook-id"], hook["webhook-timestamp"], hook["webhook-signature"], hook["body"]).CombinedOutput()
		if (err == nil) != (name == "genuine") || err != nil && !strings.Contains(string(out), "ValueError") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}
