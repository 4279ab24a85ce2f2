package client_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/client"
	"fairlead.dev/fairlead/internal/fault"
)

// answered is the error that a client makes of a server's answer.
func answered(t *testing.T, status int, contentType, body string) *fault.Error {
	t.Helper()
	far := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	defer far.Close()
	c, err := client.New(client.Config{Server: far.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = c.Me(t.Context())
	if err == nil {
		t.Fatal("an error is taken for an answer")
	}
	return fault.From(err)
}

func TestAProblemIsTheFaultThatTheServerHad(t *testing.T) {
	got := answered(t, http.StatusTooManyRequests, "application/problem+json; charset=utf-8", `{
		"detail": "too much. Wait.", "message": "too much", "hint": "Wait.", "kind": "exhausted", "code": "rate",
		"retry_after_seconds": 7, "errors": [{"name": "image", "code": "long", "message": "image: is long"}]}`)
	want := &fault.Error{
		Kind: fault.Exhausted, Code: "rate", Message: "too much", Hint: "Wait.", RetryAfter: 7 * time.Second,
		Fields: []fault.Field{{Name: "image", Code: "long", Message: "image: is long"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("fault (-want +got):\n%s", diff)
	}
}

func TestAnErrorThatIsNotTheServersOwnSaysSo(t *testing.T) {
	for status, want := range map[int]fault.Kind{
		http.StatusUnauthorized: fault.Unauthenticated, http.StatusForbidden: fault.Denied, http.StatusNotFound: fault.NotFound,
		http.StatusConflict: fault.Conflict, http.StatusRequestEntityTooLarge: fault.Exhausted,
		http.StatusBadGateway: fault.Unavailable, http.StatusTeapot: fault.Invalid,
	} {
		for _, body := range []string{"<html>a proxy's page</html>", `{"detail": ""}`, "{"} {
			got := answered(t, status, "application/json", body)
			if got.Kind != want || got.Code != "answer_foreign" || got.Hint == "" {
				t.Errorf("%d with %q is %+v", status, body, got)
			}
		}
	}
	if got := answered(t, http.StatusOK, "text/html", "<html>"); !client.IsUnreachable(got) {
		t.Errorf("a page is %+v", got)
	}
}

func TestAMistakeOfTheServersIsToldWithTheRequestToLookFor(t *testing.T) {
	got := answered(t, http.StatusInternalServerError, "application/problem+json",
		`{"detail": "something went wrong", "message": "something went wrong", "kind": "internal", "code": "internal", "request_id": "abc123"}`)
	if got.Kind != fault.Internal || got.Hint != "Look for the request abc123 there." {
		t.Errorf("it is %+v", got)
	}
}
