package courier_test

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/courier"
	"fairlead.dev/fairlead/internal/courier/couriertest"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/secret"
)

func newMailer(t *testing.T, config courier.SMTP) *courier.Mailer {
	t.Helper()
	mailer, err := courier.NewMailer(config)
	if err != nil {
		t.Fatal(err)
	}
	return mailer
}

const password = "mail-hunter2-right0"

func TestMailGoesEncryptedAndLoggedInInEachWay(t *testing.T) {
	for name, way := range map[string]struct {
		options    couriertest.MailOptions
		encryption courier.Encryption
	}{
		"starttls": {couriertest.MailOptions{Username: "fairlead", Password: password}, courier.StartTLS},
		"implicit": {couriertest.MailOptions{Username: "fairlead", Password: password, Implicit: true}, courier.Implicit},
		"loopback": {couriertest.MailOptions{Username: "fairlead", Password: password, Plain: true}, courier.Plain},
	} {
		t.Run(name, func(t *testing.T) {
			box := couriertest.NewMailbox(t, way.options)
			mailer := newMailer(t, courier.SMTP{
				Address: box.Address(), From: "Fairlead <fairlead@acme.example>", Username: "fairlead", Password: secret.New(password),
				Encryption: way.encryption, RootCAs: couriertest.Roots(),
			})
			err := mailer.Send(t.Context(), courier.Mail{
				ID: "one", To: []string{"ada@acme.example"}, Subject: "Grüße", Lines: []string{"First.", "a < b & c"},
				LinkText: "See it", Link: "https://fairlead.example/executions/1/?a=1&b=2",
			})
			if err != nil {
				t.Fatal(err)
			}
			letters := box.Letters()
			if len(letters) != 1 {
				t.Fatalf("%d letters", len(letters))
			}
			got := letters[0]
			if got.From != "fairlead@acme.example" || strings.Join(got.To, " ") != "ada@acme.example" || got.Login != "fairlead" || got.Encrypted != (way.encryption != courier.Plain) {
				t.Errorf("from %s to %v, by %q, encrypted %v", got.From, got.To, got.Login, got.Encrypted)
			}
			if got.Subject() != "Grüße" || got.Header.Get("Message-ID") != "<one@acme.example>" || got.Header.Get("Auto-Submitted") != "auto-generated" {
				t.Errorf("header %v", got.Header)
			}
			if got.Text != "First.\n\na < b & c\n\nSee it: https://fairlead.example/executions/1/?a=1&b=2\n" {
				t.Errorf("text %q", got.Text)
			}
			if !strings.Contains(got.HTML, "<p>a &lt; b &amp; c</p>") || !strings.Contains(got.HTML, `<a href="https://fairlead.example/executions/1/?a=1&amp;b=2">See it</a>`) {
				t.Errorf("HTML %s", got.HTML)
			}
		})
	}
}

func TestNoTextOfANoticeBecomesAHeaderOrMarkup(t *testing.T) {
	box := couriertest.NewMailbox(t, couriertest.MailOptions{})
	mailer := newMailer(t, courier.SMTP{Address: box.Address(), From: "fairlead@acme.example", RootCAs: couriertest.Roots()})
	err := mailer.Send(t.Context(), courier.Mail{
		ID: "two\r\nX-Id: x", To: []string{"ada@acme.example"}, Subject: "hello\r\nBcc: eve@evil.example\r\n\r\nbody\u2028\u0000",
		Lines: []string{"a\r\nX-Injected: yes\r\n.\r\nMAIL FROM:<eve@evil.example>", "<script>alert(1)</script>"},
		Link:  "javascript:alert(1)", LinkText: "x\r\ny",
	})
	if err != nil {
		t.Fatal(err)
	}
	letters := box.Letters()
	if len(letters) != 1 || len(letters[0].To) != 1 {
		t.Fatalf("letters %+v", letters)
	}
	for _, name := range []string{"Bcc", "X-Injected", "X-Id"} {
		if value := letters[0].Header.Get(name); value != "" {
			t.Errorf("there is a header %s: %s", name, value)
		}
	}
	if html := letters[0].HTML; strings.Contains(html, "<script>") || strings.Contains(html, `href="javascript`) {
		t.Errorf("HTML %s", html)
	}
	for _, to := range []string{"ada@acme.example\r\nBcc: eve@evil.example", "ada@acme.example, eve@evil.example", ""} {
		if err := mailer.Send(t.Context(), courier.Mail{To: []string{to}, Subject: "x"}); !fault.Is(err, fault.Invalid) {
			t.Errorf("to %q: %v", to, err)
		}
	}
}

func TestWhatGoesWrongWithMailIsSaidWithoutThePassword(t *testing.T) {
	box := couriertest.NewMailbox(t, couriertest.MailOptions{Username: "fairlead", Password: password})
	config := courier.SMTP{Address: box.Address(), From: "fairlead@acme.example", Username: "fairlead", Password: secret.New("wrong-" + password), RootCAs: couriertest.Roots()}
	right := config
	right.Password = secret.New(password)
	untrusting := right
	untrusting.RootCAs = nil
	nobody := right
	nobody.Address = "127.0.0.1:1"
	box.Refuse("gone@acme.example")
	for name, want := range map[string]struct {
		config courier.SMTP
		to     string
		code   string
		kind   fault.Kind
	}{
		"a wrong password":  {config, "ada@acme.example", "mail_failed", fault.Unavailable},
		"a refused address": {right, "gone@acme.example", "mail_refused", fault.Invalid},
		"no trust":          {untrusting, "ada@acme.example", "smtp_certificate", fault.Unavailable},
		"nobody there":      {nobody, "ada@acme.example", "smtp_unreachable", fault.Unavailable},
	} {
		err := newMailer(t, want.config).Send(t.Context(), courier.Mail{To: []string{want.to}, Subject: "x", Lines: []string{"x"}})
		if f := fault.From(err); f == nil || f.Code != want.code || f.Kind != want.kind || strings.Contains(err.Error(), "right0") {
			t.Errorf("%s: %v", name, err)
		}
	}
	box.SetIll(true)
	if err := newMailer(t, right).Send(t.Context(), courier.Mail{To: []string{"ada@acme.example"}, Subject: "x", Lines: []string{"x"}}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("try again later: %v", err)
	}
	if letters := box.Letters(); len(letters) != 0 {
		t.Errorf("%d letters arrived", len(letters))
	}
}

func TestMailIsNotSentInTheClearWhereEncryptionIsWanted(t *testing.T) {
	box := couriertest.NewMailbox(t, couriertest.MailOptions{Plain: true})
	err := newMailer(t, courier.SMTP{Address: box.Address(), From: "fairlead@acme.example"}).
		Send(t.Context(), courier.Mail{To: []string{"ada@acme.example"}, Subject: "x", Lines: []string{"x"}})
	if !fault.Is(err, fault.Unavailable) || len(box.Letters()) != 0 {
		t.Errorf("%v, %d letters", err, len(box.Letters()))
	}
}

func TestSettingsOfAMailServerThatMakeNoSenseAreRefusedByName(t *testing.T) {
	for field, config := range map[string]courier.SMTP{
		"smtp-address":  {Address: "mail.acme.example", From: "a@acme.example"},
		"smtp-from":     {Address: "mail.acme.example:25", From: "nobody"},
		"smtp-tls":      {Address: "mail.acme.example:25", From: "a@acme.example", Encryption: "ssl"},
		"smtp-username": {Address: "mail.acme.example:25", From: "a@acme.example", Username: "a"},
	} {
		if _, err := courier.NewMailer(config); !fault.Is(err, fault.Invalid) || fault.From(err).Fields[0].Name != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	insecure := courier.SMTP{Address: "mail.acme.example:25", From: "a@acme.example", Username: "a", Password: secret.New("x"), Encryption: courier.Plain}
	if _, err := courier.NewMailer(insecure); !fault.Is(err, fault.Invalid) {
		t.Errorf("a password in the clear: %v", err)
	}
	none := newMailer(t, courier.SMTP{})
	if err := none.Send(t.Context(), courier.Mail{To: []string{"ada@acme.example"}}); none.IsConfigured() || fault.From(err).Code != "smtp_missing" {
		t.Errorf("without a mail server: %v, %v", none.IsConfigured(), err)
	}
}

// newSecret is of the form that channels have.
var signing = secret.New("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=")

func newHooks() *courier.Hooks {
	return courier.NewHooks(courier.HooksConfig{Dial: new(net.Dialer).DialContext, RootCAs: couriertest.Roots()})
}

func TestAWebhookIsSignedSoThatItsReceiverCanCheckIt(t *testing.T) {
	receiver := couriertest.NewReceiver(t)
	receiver.Trust(signing.Reveal())
	err := newHooks().Send(t.Context(), courier.Hook{ID: "msg-1", URL: receiver.URL(), Secret: signing, At: time.Now(), Body: []byte(`{"type":"notice.test"}`)})
	if err != nil {
		t.Fatal(err)
	}
	hooks := receiver.Hooks()
	if len(hooks) != 1 || hooks[0].Err != nil || hooks[0].ID != "msg-1" || hooks[0].Header.Get("Content-Type") != "application/json" {
		t.Errorf("arrived %+v", hooks)
	}
	// The example of the specification's own libraries.
	got, err := courier.Sign(secret.New("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; err != nil || got != want {
		t.Errorf("signed %s (%v), want %s", got, err, want)
	}
}

func TestWhatGoesWrongWithAWebhookIsSaidWithoutItsAddressOrAnswer(t *testing.T) {
	receiver := couriertest.NewReceiver(t)
	receiver.Trust(signing.Reveal())
	send := func(url string, body []byte) error {
		return newHooks().Send(t.Context(), courier.Hook{ID: "msg-1", URL: url, Secret: signing, At: time.Now(), Body: body})
	}
	for name, want := range map[string]struct {
		answer func(w http.ResponseWriter)
		code   string
		kind   fault.Kind
		retry  time.Duration
	}{
		"a fault": {func(w http.ResponseWriter) { http.Error(w, "s3cret", http.StatusInternalServerError) }, "webhook_refused", fault.Unavailable, 0},
		"gone":    {func(w http.ResponseWriter) { w.WriteHeader(http.StatusGone) }, "webhook_gone", fault.NotFound, 0},
		"a redirect": {func(w http.ResponseWriter) {
			w.Header().Set("Location", "/hook?x")
			w.WriteHeader(http.StatusTemporaryRedirect)
		}, "webhook_redirected", fault.Unavailable, 0},
		"too many": {func(w http.ResponseWriter) {
			w.Header().Set("Retry-After", "120")
			w.WriteHeader(http.StatusTooManyRequests)
		}, "webhook_refused", fault.Unavailable, 2 * time.Minute},
	} {
		receiver.Answer(want.answer)
		before := len(receiver.Hooks())
		err := send(receiver.URL()+"/T0PSECRET", []byte("{}"))
		f := fault.From(err)
		if f == nil || f.Code != want.code || f.Kind != want.kind || f.RetryAfter != want.retry {
			t.Errorf("%s: %+v", name, f)
		}
		if err != nil && (strings.Contains(err.Error(), "T0PSECRET") || strings.Contains(err.Error(), "s3cret")) {
			t.Errorf("%s: it tells too much: %v", name, err)
		}
		if got := len(receiver.Hooks()) - before; got != 1 {
			t.Errorf("%s: asked %d times", name, got)
		}
	}
	for name, err := range map[string]error{
		"http":      send("http://127.0.0.1/T0PSECRET", nil),
		"a login":   send("https://a:b@127.0.0.1/", nil),
		"too large": send(receiver.URL(), make([]byte, 1<<20)),
	} {
		if !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := send("https://127.0.0.1:1/T0PSECRET", nil); fault.From(err).Code != "webhook_unreachable" || strings.Contains(err.Error(), "T0PSECRET") {
		t.Errorf("nobody there: %v", err)
	}
	untrusting := courier.NewHooks(courier.HooksConfig{Dial: new(net.Dialer).DialContext})
	if err := untrusting.Send(t.Context(), courier.Hook{ID: "x", URL: receiver.URL(), Secret: signing, At: time.Now()}); fault.From(err).Code != "webhook_certificate" {
		t.Errorf("no trust: %v", err)
	}
	refusing := courier.NewHooks(courier.HooksConfig{Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, fault.New(fault.Denied, "webhook_address_forbidden", "no")
	}})
	if err := refusing.Send(t.Context(), courier.Hook{ID: "x", URL: receiver.URL(), Secret: signing, At: time.Now()}); fault.From(err).Code != "webhook_address_forbidden" {
		t.Errorf("a guarded address: %v", err)
	}
}
