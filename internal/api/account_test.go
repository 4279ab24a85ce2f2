package api_test

import (
	"net/http"
	"testing"
)

const form = "application/x-www-form-urlencoded"

func TestAccountsAsTheirClientsAskForThem(t *testing.T) {
	h := newHouse(t)
	h.play(t, []scenario{
		{name: "anybody may ask who answers", method: "GET", path: "server/", status: 200, want: []string{`"name":"Fairlead"`, `"version":"1.2.3"`}},
		{name: "a token comes for a form", method: "POST", path: "get-token/", body: "username=ada&password=password+of+ada", contentType: form, status: 200, want: []string{`"token":"flu_`, "no-store"}},
		{name: "a token comes for JSON", method: "POST", path: "get-token/", body: `{"username":"ada","password":"password of ada","name":"laptop"}`, status: 200, want: []string{`"token":"flu_`}},
		{name: "a wrong password is refused without saying which is wrong", method: "POST", path: "get-token/", body: "username=ada&password=something+else", contentType: form, status: 401, want: []string{`"code":"sign_in_refused"`, "the user name or the password is wrong"}, not: []string{"something else"}},
		{name: "an unknown user looks the same", method: "POST", path: "get-token/", body: "username=nobody&password=something+else", contentType: form, status: 401, want: []string{`"code":"sign_in_refused"`, "the user name or the password is wrong"}},
		{name: "missing fields are named one by one", method: "POST", path: "get-token/", contentType: form, status: 400, want: []string{`"username":["is required"]`, `"password":["is required"]`, "application/problem+json"}},
		{name: "an unknown field is named without its value", method: "POST", path: "get-token/", body: `{"username":"ada","pasword":"password of ada"}`, status: 400, want: []string{`"pasword":["is no field of this request"]`}, not: []string{"password of ada"}},
		{name: "broken JSON is told", method: "POST", path: "get-token/", body: `{"username":`, status: 400, want: []string{`"non_field_errors":["the body cannot be read as JSON`}},
		{name: "another type of body is told", method: "POST", path: "get-token/", body: "<a/>", contentType: "text/xml", status: 400, want: []string{`"code":"content_type"`}},

		{name: "without a token it is said how to get one", method: "GET", path: "users/me/", status: 401, want: []string{"fairlead login", `Www-Authenticate:[Bearer realm="fairlead"]`, `"kind":"unauthenticated"`}},
		{name: "a wrong token is refused", method: "GET", path: "users/me/", header: map[string]string{"Authorization": "Token flu_nonsense"}, status: 401, want: []string{`"code":"token_unknown"`}, not: []string{"flu_nonsense"}},
		{name: "a password is no token", method: "GET", path: "users/me/", header: map[string]string{"Authorization": "Basic YWRhOnB3"}, status: 401, want: []string{`"code":"token_missing"`}},
		{name: "Token stands before a token", method: "GET", path: "users/me/", as: "ada", status: 200, want: []string{`"username":"ada"`, `"operator":false`}, not: []string{"argon2"}},
		{name: "so does Bearer", method: "GET", path: "users/me/", header: map[string]string{"Authorization": "Bearer " + h.tokens["ada"]}, status: 200, want: []string{`"username":"ada"`}},
		{name: "a worker is no user", method: "GET", path: "users/me/", as: "worker", status: 403, want: []string{`"code":"not_user"`}},

		{name: "an operator makes users", method: "POST", path: "users/", as: "root", body: `{"username":"cai","password":"password of cai","email":"cai@acme.example"}`, status: 201, want: []string{`"username":"cai"`}, not: []string{"password of cai"}},
		{name: "a form with a flag is read as one", method: "POST", path: "users/", as: "root", body: "username=dan&password=password+of+dan&operator=true", contentType: form, status: 201, want: []string{`"operator":true`}},
		{name: "a name is taken once", method: "POST", path: "users/", as: "root", body: `{"username":"CAI","password":"password of cai"}`, status: 409, want: []string{`"kind":"conflict"`}},
		{name: "nobody else makes users", method: "POST", path: "users/", as: "ada", body: `{"username":"dan","password":"password of dan"}`, status: 403, want: []string{`"code":"not_operator"`}},
		{name: "every mistake is told at once", method: "POST", path: "users/", as: "root", body: `{"username":"a b","password":"short"}`, status: 400, want: []string{`"username":[`, `"password":[`}, not: []string{`short"`}},
		{name: "an operator links an identity of a provider", method: "POST", path: "users/ben/identities/", as: "root", body: `{"issuer":"https://login.acme.example","subject":"s-ben"}`, status: 204},
		{name: "which is one user's", method: "POST", path: "users/ada/identities/", as: "root", body: `{"issuer":"https://login.acme.example","subject":"s-ben"}`, status: 409, want: []string{`"code":"identity_taken"`}},
		{name: "nobody else links one by its name", method: "POST", path: "users/ada/identities/", as: "ada", body: `{"issuer":"https://login.acme.example","subject":"s-ada"}`, status: 403, want: []string{`"code":"not_operator"`}},
		{name: "its user sees it", method: "GET", path: "users/ben/identities/", as: "ben", status: 200, want: []string{`"subject":"s-ben"`, `"last_used_at":null`}},
		{name: "others do not", method: "GET", path: "users/ben/identities/", as: "ada", status: 403},
		{name: "its user takes it away", method: "DELETE", path: "users/ben/identities/?issuer=https%3A%2F%2Flogin.acme.example&subject=s-ben", as: "ben", status: 204},
		{name: "and then it is gone", method: "DELETE", path: "users/ben/identities/?issuer=https%3A%2F%2Flogin.acme.example&subject=s-ben", as: "ben", status: 404, want: []string{`"code":"identity_unknown"`}},
		{name: "a password is changed by its owner", method: "POST", path: "users/ben/password/", as: "ben", body: `{"password":"password of ben"}`, status: 204},
		{name: "but not by a colleague", method: "POST", path: "users/ben/password/", as: "ada", body: `{"password":"password of ben"}`, status: 403},

		{name: "an organisation has a number, a name and a role", method: "GET", path: "organizations/", as: "ben", status: 200, want: []string{`"count":1`, `"name":"acme"`, `"username":"acme"`, `"role":"member"`, `"next":null`}, not: []string{"evil"}},
		{name: "an operator makes organisations", method: "POST", path: "organizations/", as: "root", body: "name=beta", contentType: form, status: 201, want: []string{`"name":"beta"`, `"role":"admin"`}},
		{name: "a member sees the members", method: "GET", path: "organizations/acme/members/", as: "ben", status: 200, want: []string{`"username":"ada","role":"admin"`, `"username":"ben","role":"member"`}},
		{name: "a stranger sees no such organisation", method: "GET", path: "organizations/acme/members/", as: "eve", status: 404, want: []string{`"code":"organization_unknown"`}, not: []string{"ada"}},
		{name: "an operator who belongs to none sees none", method: "GET", path: "organizations/evil/members/", as: "root", status: 404},
		{name: "an admin gives roles", method: "POST", path: "organizations/acme/members/", as: "ada", body: `{"username":"cai","role":"member"}`, status: 201, want: []string{`"username":"cai","role":"member"`}},
		{name: "a role must be one", method: "POST", path: "organizations/acme/members/", as: "ada", body: `{"username":"cai","role":"king"}`, status: 400, want: []string{`"role":[`}},
		{name: "a user must be there", method: "POST", path: "organizations/acme/members/", as: "ada", body: `{"username":"nobody","role":"member"}`, status: 400, want: []string{`"username":[`}},
		{name: "a member gives none", method: "POST", path: "organizations/acme/members/", as: "ben", body: `{"username":"ben","role":"admin"}`, status: 403},
		{name: "a stranger learns nothing of it", method: "POST", path: "organizations/acme/members/", as: "eve", body: `{"username":"eve","role":"admin"}`, status: 404},
		{name: "an admin takes members out", method: "DELETE", path: "organizations/acme/members/cai/", as: "ada", status: 204},

		{name: "a token is made with its text, once", method: "POST", path: "tokens/", as: "ben", body: `{"name":"ci"}`, status: 201, want: []string{`"token":"flu_`, `"expires_at":null`}},
		{name: "a list of tokens has no texts", method: "GET", path: "tokens/?limit=1", as: "ben", status: 200, want: []string{`"count":2`, `"name":"ci"`, `/api/v0/tokens/?limit=1&offset=1`}, not: []string{"flu_"}},
		{name: "its end must be ahead", method: "POST", path: "tokens/", as: "ben", body: `{"name":"old","expires_at":"2020-01-01T00:00:00.000000Z"}`, status: 400, want: []string{`"expires_at":[`}},
		{name: "its end must be a time", method: "POST", path: "tokens/", as: "ben", body: `{"name":"old","expires_at":"tomorrow"}`, status: 400, want: []string{`"expires_at":[`}},
		{name: "null is as good as nothing", method: "POST", path: "tokens/", as: "ben", body: `{"name":"for-ever","expires_at":null}`, status: 201},
		{name: "workers' tokens are the operator's", method: "GET", path: "worker-tokens/", as: "ada", status: 403},
		{name: "who sees them without their texts", method: "GET", path: "worker-tokens/", as: "root", status: 200, want: []string{`"name":"worker-1"`}, not: []string{"flw_"}},
		{name: "and makes them", method: "POST", path: "worker-tokens/", as: "root", body: `{"name":"gpu-box"}`, status: 201, want: []string{`"token":"flw_`}},
		{name: "nobody else ends them", method: "DELETE", path: "worker-tokens/00000000-0000-0000-0000-000000000000/", as: "ada", status: 403},
		{name: "an unknown token is not there", method: "DELETE", path: "tokens/00000000-0000-0000-0000-000000000000/", as: "ada", status: 404},

		{name: "keys are rotated by an operator", method: "POST", path: "keys/rotate/", as: "root", status: 200, want: []string{`"key_id":7`}},
		{name: "and by nobody else", method: "POST", path: "keys/rotate/", as: "ada", status: 403},

		{name: "what is not there is said in JSON", method: "GET", path: "nonsense/", as: "ada", status: 404, want: []string{`"code":"path_unknown"`, "application/problem+json"}},
		{name: "what cannot be done says what can", method: "PUT", path: "projects/", as: "ada", status: 405, want: []string{"Allow:[GET, POST]"}},
	})
}

func TestATokenIsRefusedOnceItIsDeleted(t *testing.T) {
	h := newHouse(t)
	var made struct{ ID, Token string }
	h.call("ben", http.MethodPost, "tokens/", map[string]string{"name": "short"}, &made)
	h.tokens["short"] = made.Token
	h.call("short", http.MethodGet, "users/me/", nil, nil)
	h.call("ben", http.MethodDelete, "tokens/"+made.ID+"/", nil, nil)
	h.play(t, []scenario{{name: "then", as: "short", method: "GET", path: "users/me/", status: 401, want: []string{`"code":"token_unknown"`}}})
}
