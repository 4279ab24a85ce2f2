package api_test

import (
	"net/http"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/wire"
)

func TestInvitationsAsAdminsAndWhoIsInvitedUseThem(t *testing.T) {
	h := newHouse(t)
	var first, second wire.CreatedInvitation
	h.call("ada", http.MethodPost, "organizations/acme/invitations/", wire.NewInvitation{Email: "zoe@acme.example", Role: "admin"}, &first)
	h.call("ada", http.MethodPost, "organizations/acme/invitations/", wire.NewInvitation{}, &second)
	if first.Link != h.server.URL+"/invitations/"+first.Text+"/" || first.Mailed || first.MailProblem != "" {
		t.Errorf("made %+v", first)
	}
	h.tokens["invitation"], h.tokens["second invitation"] = first.Text, second.Text
	h.names["first"], h.names["first text"], h.names["second"], h.names["second text"] = first.ID, first.Text, second.ID, second.Text
	h.play(t, []scenario{
		{name: "an admin sees those that are open, without their texts", method: "GET", path: "organizations/acme/invitations/?limit=1", as: "ada", status: 200, want: []string{`"count":2`, `"role":"member"`, `"invited_by":"ada"`, "offset=1"}, not: []string{"fli_"}},
		{name: "a member does not", method: "GET", path: "organizations/acme/invitations/", as: "ben", status: 403, want: []string{`"code":"not_admin"`}},
		{name: "a stranger does not know the organisation", method: "GET", path: "organizations/acme/invitations/", as: "eve", status: 404, want: []string{`"code":"organization_unknown"`}},
		{name: "a member invites nobody", method: "POST", path: "organizations/acme/invitations/", as: "ben", body: `{}`, status: 403},
		{name: "every mistake is told at once", method: "POST", path: "organizations/acme/invitations/", as: "ada", body: `{"role":"king","email":"a b","expires_at":"2020-01-01T00:00:00.000000Z"}`, status: 400, want: []string{`"role":[`, `"email":[`, `"expires_at":[`}},

		{name: "whoever has the text sees what it is to", method: "POST", path: "invitations/show/", body: `{"token":"{first text}"}`, status: 200, want: []string{`"organization":"acme"`, `"email":"zoe@acme.example"`, `"role":"admin"`, `"invited_by":"ada"`}, not: []string{"fli_"}},
		{name: "another text is told how to get one", method: "POST", path: "invitations/show/", body: `{"token":"fli_wrong"}`, status: 404, want: []string{`"code":"invitation_unknown"`, "Ask whoever invited you"}, not: []string{"fli_wrong"}},
		{name: "a form does as well", method: "POST", path: "invitations/show/", body: "token=fli_wrong", contentType: form, status: 404, want: []string{`"code":"invitation_unknown"`}},
		{name: "a name that is taken leaves it good", method: "POST", path: "invitations/accept/", body: `{"token":"{first text}","username":"ben","password":"password of zoe"}`, status: 409},
		{name: "nobody makes an operator of themselves", method: "POST", path: "invitations/accept/", body: `{"token":"{first text}","username":"zoe","password":"password of zoe","operator":true}`, status: 400, want: []string{`"operator":["is no field of this request"]`}},
		{name: "it makes a user", method: "POST", path: "invitations/accept/", body: `{"token":"{first text}","username":"zoe","password":"password of zoe"}`, status: 201, want: []string{`"username":"zoe"`, `"email":"zoe@acme.example"`, `"operator":false`}, not: []string{"password of"}},
		{name: "once", method: "POST", path: "invitations/accept/", body: `{"token":"{first text}","username":"yan","password":"password of yan"}`, status: 404, want: []string{`"code":"invitation_unknown"`}},
		{name: "who may sign in and is a member", method: "POST", path: "get-token/", body: `{"username":"zoe","password":"password of zoe"}`, status: 200},
		{name: "with that role", method: "GET", path: "organizations/acme/members/", as: "ben", status: 200, want: []string{`"username":"zoe","role":"admin"`}},

		{name: "a member joins no second time", method: "POST", path: "invitations/join/", as: "ben", body: `{"token":"{second text}"}`, status: 409, want: []string{`"code":"member_already"`}},
		{name: "somebody else does", method: "POST", path: "invitations/join/", as: "eve", body: `{"token":"{second text}"}`, status: 200, want: []string{`"organization":"acme"`, `"username":"eve"`, `"role":"member"`}},
		{name: "once", method: "POST", path: "invitations/join/", as: "root", body: `{"token":"{second text}"}`, status: 404},
		{name: "a used one cannot be revoked", method: "DELETE", path: "organizations/acme/invitations/{second}/", as: "ada", status: 404, want: []string{`"code":"invitation_unknown"`}},
		{name: "a link that no page is behind yet does not come into the log", method: "GET", path: "../../invitations/{first text}/", status: 404},
	})
	var third wire.CreatedInvitation
	h.call("ada", http.MethodPost, "organizations/acme/invitations/", wire.NewInvitation{}, &third)
	h.names["third"], h.names["third text"], h.tokens["third invitation"] = third.ID, third.Text, third.Text
	h.play(t, []scenario{
		{name: "an admin revokes one", method: "DELETE", path: "organizations/acme/invitations/{third}/", as: "ada", status: 204},
		{name: "which is good no more", method: "POST", path: "invitations/show/", body: `{"token":"{third text}"}`, status: 404},
		{name: "all of it is in the trail", method: "GET", path: "audit/", as: "ada", status: 200, want: []string{`"invitation.create"`, `"invitation.accept"`, `"invitation.revoke"`, `"member.set"`}, not: []string{"fli_"}},
	})
}

func TestAMachineIsSignedInByWhoApprovesIt(t *testing.T) {
	h := newHouse(t)
	begin := func(name string) {
		var begun wire.DeviceLogin
		h.call("", http.MethodPost, "device-logins/", wire.NewDeviceLogin{Name: "login-laptop"}, &begun)
		if begun.VerificationURI != h.server.URL+"/device/" || begun.Interval != 5 || begun.ExpiresIn < 590 || begun.ExpiresIn > 600 {
			t.Errorf("begun %+v", begun)
		}
		h.names[name], h.names[name+" code"] = begun.UserCode, begun.DeviceCode
		h.tokens[name] = begun.DeviceCode
	}
	begin("first")
	begin("second")
	begin("third")
	h.play(t, []scenario{
		{name: "a machine needs a name", method: "POST", path: "device-logins/", body: `{"name":""}`, status: 400, want: []string{`"name":[`}},
		{name: "it waits", method: "POST", path: "device-logins/token/", body: `{"device_code":"{first code}"}`, status: 400, want: []string{`"code":"authorization_pending"`}},
		{name: "and no faster than it was told", method: "POST", path: "device-logins/token/", body: `{"device_code":"{first code}"}`, status: 429, want: []string{`"code":"slow_down"`, "Retry-After:[10]"}},
		{name: "an unknown code looks like one that is over", method: "POST", path: "device-logins/token/", body: `{"device_code":"fld_wrong"}`, status: 404, want: []string{`"code":"expired_token"`}, not: []string{"fld_wrong"}},
		{name: "who approves sees what is asked", method: "POST", path: "device-logins/show/", as: "ben", body: `{"user_code":"{second}"}`, status: 200, want: []string{`"name":"login-laptop"`, `"remote":"127.0.0.1"`}, not: []string{"fld_"}},
		{name: "a code that is none is told", method: "POST", path: "device-logins/show/", as: "ben", body: `{"user_code":"AAAA"}`, status: 400, want: []string{`"user_code":[`}},
		{name: "a code that nobody shows is not there", method: "POST", path: "device-logins/approve/", as: "ben", body: `{"user_code":"BBBB-BBBB"}`, status: 404, want: []string{`"code":"user_code_unknown"`}},
		{name: "a worker approves nothing", method: "POST", path: "device-logins/approve/", as: "worker", body: `{"user_code":"{second}"}`, status: 403, want: []string{`"code":"not_user"`}},
		{name: "a user does", method: "POST", path: "device-logins/approve/", as: "ben", body: `{"user_code":"{second}"}`, status: 204},
		{name: "once", method: "POST", path: "device-logins/deny/", as: "ben", body: `{"user_code":"{second}"}`, status: 404},
		{name: "or denies", method: "POST", path: "device-logins/deny/", as: "ben", body: `{"user_code":"{third}"}`, status: 204},
		{name: "which the machine is told", method: "POST", path: "device-logins/token/", body: `{"device_code":"{third code}"}`, status: 403, want: []string{`"code":"access_denied"`}},
	})
	var got wire.GotToken
	h.call("", http.MethodPost, "device-logins/token/", map[string]string{"device_code": h.names["second code"]}, &got)
	if !strings.HasPrefix(got.Token, "flu_") {
		t.Fatalf("the token begins with %.4q", got.Token)
	}
	h.tokens["machine"] = got.Token
	h.play(t, []scenario{
		{name: "its token is the user's", method: "GET", path: "users/me/", as: "machine", status: 200, want: []string{`"username":"ben"`}},
		{name: "and fetched once", method: "POST", path: "device-logins/token/", body: `{"device_code":"{second code}"}`, status: 404, want: []string{`"code":"expired_token"`}},
		{name: "its name is in the list of tokens", method: "GET", path: "tokens/", as: "ben", status: 200, want: []string{`"name":"login-laptop"`}},
		{name: "operators see it in the trail", method: "GET", path: "audit/", as: "root", status: 200, want: []string{`"device.approve"`, `"device.deny"`, `"user.sign-in"`}, not: []string{"fld_"}},
	})
}
