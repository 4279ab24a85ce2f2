package oci_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/diagnosis"
	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/secret"
)

const awkward = "p@ss/w0rd+& ü"

// read makes an Error of an answer to a request that showed the awkward
// password.
func read(status int, body string) *oci.Error {
	request := httptest.NewRequest(http.MethodGet, "https://registry.example.com/v2/acme/train/manifests/v1?sig=hunter2", http.NoBody)
	oci.Basic("robot", secret.New(awkward)).Apply(request)
	recorder := httptest.NewRecorder()
	recorder.WriteHeader(status)
	_, _ = recorder.WriteString(body)
	response := recorder.Result()
	response.Request = request
	return oci.ReadError(response, "acme/train", secret.New("another-secret"))
}

func TestARegistrysWordsNeverRepeatASecret(t *testing.T) {
	basic := base64.StdEncoding.EncodeToString([]byte("robot:" + awkward))
	for _, hidden := range []string{
		awkward, url.QueryEscape(awkward), url.PathEscape(awkward), basic, "another-secret",
		base64.StdEncoding.EncodeToString([]byte(awkward)),
		"eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJyb2JvdCJ9.c2lnbmF0dXJl",
		"dckr_pat_abcdefghijklmnop", "AKCp8abcdefghijklmnop", "ghp_0123456789abcdef0123", "glpat-0123456789abcdefghij",
	} {
		for _, shape := range []string{
			"%s", `{"errors":[{"code":"DENIED","message":"you sent %s"}]}`, `{"errors":[{"code":"%s"}]}`,
			`{"errors":[{"code":"X","detail":"%s"}]}`, `{"details":"%s"}`, `{"error":"%s","error_description":"%s"}`,
			`{"message":"see https://x.example.com/a?token=%s for more"}`,
		} {
			body := strings.ReplaceAll(shape, "%s", hidden)
			e := read(http.StatusForbidden, body)
			f := diagnosis.Of(e, diagnosis.Subject{Service: diagnosis.Registry, Image: train})
			for _, text := range []string{e.Error(), f.Error(), f.Sentence(), fmt.Sprintf("%+v %#v", e, e)} {
				if strings.Contains(text, hidden) {
					t.Errorf("%s is repeated: %s", body, text)
				}
				if strings.Contains(text, "hunter2") {
					t.Errorf("the query is repeated: %s", text)
				}
			}
		}
	}
}

func TestTheAnswerToASuccessIsNotRepeatedSinceItMayBeAToken(t *testing.T) {
	if e := read(http.StatusOK, `opaque-token-of-a-cloud`); strings.Contains(e.Error(), "opaque") {
		t.Errorf("repeated: %v", e)
	}
}

func TestOrdinaryWordsStayReadable(t *testing.T) {
	const words = "no access to global-configuration-of-the-team; ask english-speaking-colleagues"
	if e := read(http.StatusForbidden, words); e.Message != words {
		t.Errorf("message = %q", e.Message)
	}
}

func TestForeignTextCannotBreakALineOrFillAPage(t *testing.T) {
	e := read(http.StatusForbidden, `{"errors":[{"code":"DENIED","message":"a\u001b[31mb\nc\u202e `+strings.Repeat("é", 4000)+`"}]}`)
	if strings.ContainsAny(e.Message, "\x1b\n\u202e") || len(e.Message) > 500 || !utf8.ValidString(e.Message) {
		t.Errorf("message of %d bytes: %q", len(e.Message), e.Message)
	}
	var many []string
	for range 1000 {
		many = append(many, `{"code":"DENIED"}`)
	}
	if e := read(http.StatusForbidden, `{"errors":[`+strings.Join(many, ",")+`]}`); len(e.Codes) > 8 {
		t.Errorf("%d codes were kept", len(e.Codes))
	}
}

func TestAnAddressIsShownWithoutUserQueryAndFragment(t *testing.T) {
	u, err := url.Parse("https://me:hunter2@registry.example.com/v2/a?sig=hunter2#hunter2")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("https://registry.example.com/v2/a", oci.Redact(u)); diff != "" {
		t.Error(diff)
	}
}

func TestAnErrorOfNetHTTPKeepsItsCauseAndLosesItsQuery(t *testing.T) {
	cause := errors.New("broken")
	err := oci.RedactError(fmt.Errorf("asking: %w", &url.Error{Op: "Get", URL: "https://a.example.com/x?sig=hunter2", Err: cause}))
	if !errors.Is(err, cause) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("err = %v", err)
	}
	if got := oci.RedactError(cause); !errors.Is(got, cause) {
		t.Errorf("another error became %v", got)
	}
}

func TestAnAuthorizationPrintsItsSchemeAlone(t *testing.T) {
	for _, a := range []oci.Authorization{oci.Basic("robot", secret.New("hunter2")), oci.Bearer(secret.New("hunter2"))} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
			for _, text := range []string{fmt.Sprintf(verb, a), fmt.Sprintf(verb, struct{ A oci.Authorization }{a})} {
				if strings.Contains(text, "hunter2") || strings.Contains(text, fmt.Sprintf("%x", "hunter2")) || strings.Contains(text, "robot") {
					t.Errorf("%s prints %s", verb, text)
				}
			}
		}
	}
}

func FuzzReadError(f *testing.F) {
	f.Add(`{"errors":[{"code":"DENIED","message":"no","detail":{"a":1}}]}`)
	f.Add(`{"errors":[{"status":401,"message":"Bad Credentials"}],"details":"x"}`)
	f.Add(`{"error":{"code":5},"message":"` + awkward + `"}`)
	f.Add("\xff\xfe<html>")
	f.Fuzz(func(t *testing.T, body string) {
		e := read(http.StatusForbidden, body)
		text := diagnosis.Of(e, diagnosis.Subject{Service: diagnosis.Registry, Image: train}).Error()
		if strings.Contains(text, awkward) {
			t.Errorf("the secret is repeated: %q", text)
		}
		if !utf8.ValidString(text) || strings.ContainsAny(text, "\x00\x1b\r\n") {
			t.Errorf("not fit to be shown: %q", text)
		}
	})
}
