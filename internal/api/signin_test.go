package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/wire"
)

func TestSessionsAsTheirClientsAskForThem(t *testing.T) {
	h := newHouse(t)
	var ids []string
	var text secret.Text
	for range 3 {
		session, started, err := h.accounts.StartSession(t.Context(), account.SignIn{
			Username: "ada", Password: secret.New("password of ada"), Agent: "Firefox/150.0", Remote: "192.0.2.9",
		})
		h.must(err)
		ids, text = append(ids, session.ID), started
	}
	h.play(t, []scenario{
		{name: "one's own are listed", as: "ada", method: "GET", path: "sessions/", status: 200, want: []string{`"count":3`, `"agent":"Firefox/150.0"`, `"remote":"192.0.2.9"`, `"ends_at":"20`, `/api/v0/sessions/` + ids[0]}, not: []string{"fls_"}},
		{name: "and nobody else's", as: "eve", method: "GET", path: "sessions/", status: 200, want: []string{`"count":0`}},
		{name: "nor ended", as: "eve", method: "DELETE", path: "sessions/" + ids[0] + "/", status: 404, want: []string{`"code":"session_unknown"`}},
		{name: "a worker has none", as: "worker", method: "GET", path: "sessions/", status: 403, want: []string{`"code":"not_user"`}},
		{name: "a session's text is no token", method: "GET", path: "users/me/", header: map[string]string{"Authorization": "Bearer " + text.Reveal()}, status: 401, want: []string{`"code":"token_unknown"`}, not: []string{"fls_"}},
		{name: "one is ended", as: "ada", method: "DELETE", path: "sessions/" + ids[0] + "/", status: 204},
		{name: "once", as: "ada", method: "DELETE", path: "sessions/" + ids[0] + "/", status: 404},
		{name: "two are left", as: "ada", method: "GET", path: "sessions/", status: 200, want: []string{`"count":2`}},
		{name: "all are ended", as: "ada", method: "DELETE", path: "sessions/", status: 204},
		{name: "none is left", as: "ada", method: "GET", path: "sessions/", status: 200, want: []string{`"count":0`}},
	})
}

func TestAnOperatorsNewPasswordEndsSessionsWhereItIsAskedTo(t *testing.T) {
	h := newHouse(t)
	for range 2 {
		_, _, err := h.accounts.StartSession(t.Context(), account.SignIn{Username: "ada", Password: secret.New("password of ada")})
		h.must(err)
	}
	h.play(t, []scenario{
		{name: "not asked", as: "root", method: "POST", path: "users/ada/password/", body: `{"password":"password of ada"}`, status: 204},
		{name: "they are there", as: "ada", method: "GET", path: "sessions/", status: 200, want: []string{`"count":2`}},
		{name: "asked", as: "root", method: "POST", path: "users/ada/password/", body: `{"password":"password of ada","end_sessions":true}`, status: 204},
		{name: "they are not", as: "ada", method: "GET", path: "sessions/", status: 200, want: []string{`"count":0`}},
	})
}

func TestASecondFactorAsItsClientsAskForIt(t *testing.T) {
	h := newHouse(t)
	var made wire.TOTPEnrolment
	h.call("ada", http.MethodPost, "totp/", nil, &made)
	code := func(steps int) string {
		text, err := totp.GenerateCode(made.Key, time.Now().Add(time.Duration(steps)*30*time.Second))
		h.must(err)
		return text
	}
	h.play(t, []scenario{
		{name: "it is off before a code was shown", as: "ada", method: "GET", path: "totp/", status: 200, want: []string{`"on":false`, `"since":null`}},
		{name: "a wrong code is told", as: "ada", method: "POST", path: "totp/confirm/", body: `{"code":"12345x"}`, status: 400, want: []string{`"code":"code_refused"`, `"errors":[{"name":"code"`}, not: []string{"12345x"}},
		{name: "a worker has none", as: "worker", method: "POST", path: "totp/", status: 403, want: []string{`"code":"not_user"`}},
	})
	var done wire.TOTPConfirmed
	h.call("ada", http.MethodPost, "totp/confirm/", wire.TOTPCode{Code: wire.NewPassword(code(0))}, &done)
	recovery := done.RecoveryCodes
	sign := func(code string) string {
		return `{"username":"ada","password":"password of ada","code":"` + code + `"}`
	}
	h.play(t, []scenario{
		{name: "it is on", as: "ada", method: "GET", path: "totp/", status: 200, want: []string{`"on":true`, `"recovery_codes":10`}, not: []string{made.Key}},
		{name: "no other key is made", as: "ada", method: "POST", path: "totp/", status: 409, want: []string{`"code":"totp_on"`}},
		{name: "the password is not enough", method: "POST", path: "get-token/", body: `{"username":"ada","password":"password of ada"}`, status: 401, want: []string{`"code":"code_required"`}, not: []string{"flu_"}},
		{name: "a wrong password asks for no code", method: "POST", path: "get-token/", body: `{"username":"ada","password":"something else"}`, status: 401, want: []string{`"code":"sign_in_refused"`}},
		{name: "a wrong code is no good", method: "POST", path: "get-token/", body: sign("12345x"), status: 401, want: []string{`"code":"code_refused"`}, not: []string{"12345x"}},
		{name: "the next code is", method: "POST", path: "get-token/", body: sign(code(1)), status: 200, want: []string{`"token":"flu_`}},
		{name: "a recovery code is", method: "POST", path: "get-token/", body: sign(recovery[0]), status: 200, want: []string{`"token":"flu_`}},
		{name: "it was one", as: "ada", method: "GET", path: "totp/", status: 200, want: []string{`"recovery_codes":9`}},
		{name: "turning it off takes the password", as: "ada", method: "POST", path: "totp/disable/", body: `{"password":"something else","code":"` + recovery[1] + `"}`, status: 400, want: []string{`"password":["the password is wrong"]`}},
		{name: "and a code that is good", as: "ada", method: "POST", path: "totp/disable/", body: `{"password":"password of ada","code":"` + recovery[0] + `"}`, status: 400, want: []string{`"code":"code_refused"`, `"errors":[{"name":"code"`}},
		{name: "a colleague does not turn it off", as: "ben", method: "DELETE", path: "users/ada/totp/", status: 403, want: []string{`"code":"not_operator"`}},
		{name: "an operator does", as: "root", method: "DELETE", path: "users/ada/totp/", status: 204},
		{name: "and the password is enough", method: "POST", path: "get-token/", body: `{"username":"ada","password":"password of ada"}`, status: 200},
		{name: "there is nothing to turn off", as: "ada", method: "POST", path: "totp/disable/", body: `{"password":"password of ada","code":"123456"}`, status: 409, want: []string{`"code":"totp_off"`}},
	})
}

func TestWhoGuessesIsToldHowLongToWait(t *testing.T) {
	h := newHouse(t)
	const most = 12 // five are free, and the waits double: a slow machine catches up with none of the later ones
	for range most {
		request := h.request("", http.MethodPost, "get-token/", strings.NewReader(`{"username":"nobody","password":"something else"}`))
		request.Header.Set("Content-Type", "application/json")
		response, err := http.DefaultClient.Do(request)
		h.must(err)
		h.must(response.Body.Close())
		if response.StatusCode == http.StatusTooManyRequests {
			if response.Header.Get("Retry-After") == "" {
				t.Error("it is not said how long to wait")
			}
			return
		}
	}
	t.Errorf("%d guesses were let in", most)
}
