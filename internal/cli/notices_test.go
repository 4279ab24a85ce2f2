package cli_test

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"fairlead.dev/fairlead/internal/courier/couriertest"
	"fairlead.dev/fairlead/internal/grant/granttest"
)

// mailPassword logs in at the mail server of the stories, revokedPassword at the
// registry until it is revoked; no story may ever print them.
const (
	mailPassword    = "mail-hunter2-right0"
	revokedPassword = "soon-to-be-revoked-right0"
)

// told are where the mail and the webhooks of one story arrive, and the registry
// whose user loses their secret.
type told struct {
	box      *couriertest.Mailbox
	receiver *couriertest.Receiver
	registry *granttest.Registry
}

// listen begins to take mail and webhooks: it sets SMTP and HOOK to where, and
// writes their authority and the mail server's password into files.
func listen(t *testing.T, registry *granttest.Registry) func(ts *testscript.TestScript, neg bool, args []string) {
	registry.AddUser("alerts", revokedPassword, granttest.Pull("ml/*"))
	return func(ts *testscript.TestScript, _ bool, _ []string) {
		s := ts.Value("told").(*told)
		s.box = couriertest.NewMailbox(t, couriertest.MailOptions{Username: "fairlead", Password: mailPassword})
		s.receiver, s.registry = couriertest.NewReceiver(t), registry
		ts.Setenv("SMTP", s.box.Address())
		ts.Setenv("HOOK", s.receiver.URL())
		ts.Check(os.WriteFile(ts.MkAbs("notice-ca.pem"), couriertest.CA(), 0o600))
		ts.Check(os.WriteFile(ts.MkAbs("mail-password"), []byte(mailPassword+"\n"), 0o600))
		ts.Check(os.WriteFile(ts.MkAbs("revoked"), []byte(revokedPassword+"\n"), 0o600))
	}
}

// revoke ends the secret of the registry's user alerts.
func revoke(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Value("told").(*told).registry.SetState("alerts", granttest.Revoked)
}

// trust has the receiver check with the secret that is in a file's JSON.
func trust(ts *testscript.TestScript, _ bool, args []string) {
	var channel struct{ Secret string }
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &channel))
	ts.Value("told").(*told).receiver.Trust(channel.Secret)
}

// deaf has the receiver be down, or with "no" be back.
func deaf(ts *testscript.TestScript, _ bool, args []string) {
	receiver := ts.Value("told").(*told).receiver
	if len(args) > 0 {
		receiver.Answer(nil)
		return
	}
	receiver.Answer(func(w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) })
}

// again waits until a webhook that matches has come twice, with one id.
func again(ts *testscript.TestScript, _ bool, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), arrivesMost)
	defer cancel()
	body, seen := regexp.MustCompile(args[0]), make(map[string]int)
	_, ok := ts.Value("told").(*told).receiver.Wait(ctx, func(h couriertest.Hook) bool {
		if body.Match(h.Body) {
			seen[h.ID+h.Header.Get("Webhook-Timestamp")]++
		}
		ids := make(map[string]int)
		for key := range seen {
			ids[key[:36]]++
		}
		return body.Match(h.Body) && len(ids) == 1 && ids[h.ID] > 1
	})
	if !ok {
		ts.Fatalf("it did not come again: %v", seen)
	}
}

// arrivesMost is how long a story waits for a notice: longer than a server waits
// that was killed in the middle of an attempt.
const arrivesMost = 3 * time.Minute

// letter waits for mail to an address with a subject and a text.
func letter(ts *testscript.TestScript, _ bool, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), arrivesMost)
	defer cancel()
	subject, text := regexp.MustCompile(args[1]), regexp.MustCompile(args[2])
	got, ok := ts.Value("told").(*told).box.Wait(ctx, func(l couriertest.Letter) bool {
		return l.To[0] == args[0] && subject.MatchString(l.Subject()) && text.MatchString(l.Text)
	})
	if !ok {
		ts.Fatalf("no such mail arrived: %+v", ts.Value("told").(*told).box.Letters())
	}
	if !got.Encrypted || got.Login != "fairlead" {
		ts.Fatalf("it came in the clear or without a login: %+v", got)
	}
}

// hook waits for a webhook whose body matches, and wants its signature right.
func hook(ts *testscript.TestScript, _ bool, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), arrivesMost)
	defer cancel()
	body := regexp.MustCompile(args[0])
	got, ok := ts.Value("told").(*told).receiver.Wait(ctx, func(h couriertest.Hook) bool { return body.Match(h.Body) })
	if !ok || got.Err != nil {
		ts.Fatalf("no such webhook arrived, or it is not signed right (%v): %+v", got.Err, ts.Value("told").(*told).receiver.Hooks())
	}
	ts.Check(os.WriteFile(filepath.Join(ts.Getenv("WORK"), "hook.json"), got.Body, 0o600))
}
