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

// unaudited are the routes that change something, or might, and leave no row, each
// with the reason.
var unaudited = map[string]string{
	"POST:keys/rotate/":            "leaves one, of keys that are real: internal/app tests it",
	"POST:cache/readers/":          "changes nothing: it tells a cache who shows a token",
	"POST:invitations/show/":       "changes nothing: it tells what an invitation is to",
	"POST:device-logins/":          "a machine that nobody has decided on may do nothing; what is decided is a row",
	"POST:device-logins/show/":     "changes nothing: it tells what a machine asks",
	"POST:leases/":                 "which worker has an execution is in the execution and its log; the grants that it gets are rows",
	"POST:leases/{lease}/renew/":   "a worker says every three seconds that it is alive",
	"POST:leases/{lease}/events/":  "a batch of the execution's log, which is kept as that",
	"POST:leases/{lease}/image/":   "which image is run is in the execution and its log; what it was pulled with is a row",
	"POST:leases/{lease}/finish/":  "how an execution ended is in the execution and its log",
	"POST:leases/{lease}/release/": "an execution goes back into the queue, as its log says",
}

// step is a request that changes something.
type step struct {
	route    string // as the document has it
	as       string
	body     string
	into     string // the name that the answer's id gets in the house
	status   int
	prepare  func(h *house)
	override func(h *house) *http.Request // instead of body
}

// life is one request of every route that leaves a row, in an order in which each is
// possible.
var life = []step{
	{route: "POST:get-token/", body: `{"username":"ada","password":"password of ada"}`},
	{route: "POST:users/", as: "root", body: `{"username":"zoe","password":"password of zoe"}`},
	{route: "POST:users/{username}/password/", as: "root", body: `{"password":"another password of zoe"}`},
	{route: "POST:users/{username}/identities/", as: "root", body: `{"issuer":"https://login.acme.example","subject":"s-zoe"}`},
	{route: "DELETE:users/{username}/identities/", override: func(h *house) *http.Request {
		return h.request("root", http.MethodDelete, "users/zoe/identities/?issuer=https%3A%2F%2Flogin.acme.example&subject=s-zoe", nil)
	}},
	{route: "DELETE:sessions/{session}/", as: "ada", prepare: func(h *house) { h.startSession() }},
	{route: "DELETE:sessions/", as: "ada", prepare: func(h *house) { h.startSession() }},
	{route: "POST:totp/", as: "ben"},
	{route: "POST:totp/confirm/", as: "ben", body: `{"code":"{code}"}`, prepare: func(h *house) {
		h.beginTOTP()
		h.nameCode(0)
	}},
	{route: "POST:totp/disable/", as: "ben", body: `{"password":"password of ben","code":"{code}"}`, prepare: func(h *house) { h.nameCode(1) }},
	{route: "DELETE:users/{username}/totp/", prepare: func(h *house) { h.beginTOTP() }, override: func(h *house) *http.Request {
		return h.request("root", http.MethodDelete, "users/ben/totp/", nil)
	}},
	{route: "POST:organizations/{organization}/invitations/", as: "ada", body: `{}`, into: "invitation"},
	{route: "DELETE:organizations/{organization}/invitations/{invitation}/", as: "ada"},
	{route: "POST:invitations/accept/", body: `{"token":"{invitation text}","username":"yan","password":"password of yan"}`, prepare: func(h *house) { h.invite() }},
	{route: "POST:invitations/join/", as: "eve", body: `{"token":"{invitation text}"}`, prepare: func(h *house) { h.invite() }},
	{route: "POST:device-logins/deny/", as: "ben", body: `{"user_code":"{user code}"}`, prepare: func(h *house) { h.beginDevice() }},
	{route: "POST:device-logins/approve/", as: "ben", body: `{"user_code":"{user code}"}`, prepare: func(h *house) { h.beginDevice() }},
	{route: "POST:device-logins/token/", body: `{"device_code":"{device code}"}`},
	{route: "POST:organizations/", as: "root", body: `{"name":"other"}`},
	{route: "POST:organizations/{organization}/members/", as: "ada", body: `{"username":"zoe","role":"member"}`},
	{route: "DELETE:organizations/{organization}/members/{username}/", as: "ada"},
	{route: "POST:projects/", as: "ada", body: `{"name":"speech","owner":"acme"}`},
	{route: "PATCH:projects/{project}/", as: "ben", body: `{"default_environment":"` + account.DefaultEnvironmentID + `"}`},
	{route: "POST:projects/{project}/environment_variable/", as: "ben", body: `{"name":"RATE","value":"7"}`},
	{route: "DELETE:projects/{project}/environment_variable/", as: "ben", body: `{"name":"RATE"}`},
	{route: "PUT:projects/{project}/repository/", as: "ben", override: func(h *house) *http.Request {
		h.git.Commit(h.t, "acme/vision", "main", "the first", map[string]string{"valohai.yaml": steps})
		return h.request("ben", http.MethodPut, h.fill("projects/{project}/repository/"), strings.NewReader(`{"url":"`+h.git.URL("acme/vision")+`","token":"`+gitToken+`"}`))
	}},
	{route: "POST:projects/{project}/fetch/", as: "ben"},
	{route: "DELETE:projects/{project}/repository/", as: "ben"},
	{route: "POST:projects/{project}/import-package/", override: func(h *house) *http.Request {
		return h.upload("ben", h.names["project"], tarball(h.t, map[string]string{"valohai.yaml": steps, "x": "y"}))
	}},
	{route: "POST:environments/", as: "root", body: `{"name":"GPUs"}`, into: "environment"},
	{route: "PATCH:environments/{environment}/", as: "root", body: `{"description":"fast"}`},
	{route: "DELETE:environments/{environment}/", as: "root"},
	{route: "POST:check/", as: "ben", body: `{"project":"acme/vision","image":"registry.acme.example/ml/train:v1"}`},
	{route: "POST:cache/grants/", override: func(h *house) *http.Request {
		return h.request("cache", http.MethodPost, "cache/grants/", strings.NewReader(`{"login":{"user":"acme/vision","token":"`+h.tokens["ada"]+`"},"image":"registry.acme.example/ml/train:v1"}`))
	}},
	{route: "POST:executions/", as: "ben", body: `{"project":"{project}","commit":"{commit}","step":"train"}`, into: "execution"},
	{route: "POST:pull-grants/", as: "worker", body: `{"lease":"{lease}"}`, prepare: func(h *house) { h.take() }},
	{route: "POST:leases/{lease}/outputs/", override: func(h *house) *http.Request {
		request := h.request("worker", http.MethodPost, h.fill("leases/{lease}/outputs/?name=model"), strings.NewReader("x"))
		request.Header.Set("Content-Type", "application/octet-stream")
		return request
	}, into: "datum"},
	{route: "POST:executions/{execution}/stop/", as: "ben"},
	{route: "PUT:executions/{execution}/tags/", as: "ben", body: `{"tags":["best"]}`},
	{route: "POST:data/{datum}/purge/", as: "ben", prepare: func(h *house) { h.finish() }},
	{route: "POST:executions/{execution}/copy/", as: "ben"},
	{route: "DELETE:executions/{execution}/", as: "ben"},
	{route: "POST:registry-credentials/", as: "ada", body: `{"type":"docker","name":"second","image_pattern":"registry.acme.example/ml/second","owner":"acme","configuration":{"username":"robot","password":"` + registryPassword + `","version":"1"}}`, into: "credential"},
	{route: "PUT:registry-credentials/{credential}/", as: "ada", body: `{"name":"third"}`},
	{route: "PATCH:registry-credentials/{credential}/", as: "ada", body: `{"name":"second"}`},
	{route: "POST:registry-credentials/{credential}/check/", as: "ada"},
	{route: "POST:registry-credentials/{credential}/rotate/", as: "ada", body: `{"configuration":{"password":"` + registryPassword + `"}}`},
	{route: "DELETE:registry-credentials/{credential}/", as: "ada"},
	{route: "POST:notice-channels/", as: "ada", body: `{"owner":"acme","name":"chat","kind":"webhook","webhook_url":"https://hooks.acme.example/x"}`, into: "channel"},
	{route: "PATCH:notice-channels/{channel}/", as: "ada", body: `{"enabled":false}`},
	{route: "POST:notice-channels/{channel}/test/", as: "ada"},
	{route: "DELETE:notice-channels/{channel}/", as: "ada"},
	{route: "PUT:notice-wishes/me/", as: "ben", body: `{"executions":[]}`},
	{route: "POST:tokens/", as: "ben", body: `{"name":"ci"}`, into: "token"},
	{route: "DELETE:tokens/{token}/", as: "ben"},
	{route: "POST:worker-tokens/", as: "root", body: `{"name":"box"}`, into: "token"},
	{route: "DELETE:worker-tokens/{token}/", as: "root"},
	{route: "POST:cache-tokens/", as: "root", body: `{"name":"far"}`, into: "token"},
	{route: "DELETE:cache-tokens/{token}/", as: "root"},
}

// startSession signs a browser of ada's in.
func (h *house) startSession() {
	h.t.Helper()
	session, text, err := h.accounts.StartSession(h.t.Context(), account.SignIn{Username: "ada", Password: secret.New("password of ada")})
	h.must(err)
	h.names["session"], h.tokens["session"] = session.ID, text.Reveal()
}

// beginTOTP makes the key of a second factor of ben's.
func (h *house) beginTOTP() {
	h.t.Helper()
	var made wire.TOTPEnrolment
	h.call("ben", http.MethodPost, "totp/", nil, &made)
	h.tokens["key"] = made.Key
}

// nameCode has {code} be the code that the key gives so many steps from now.
func (h *house) nameCode(steps int) {
	h.t.Helper()
	code, err := totp.GenerateCode(h.tokens["key"], time.Now().Add(time.Duration(steps)*30*time.Second))
	h.must(err)
	h.names["code"] = code
}

// invite makes an invitation to acme.
func (h *house) invite() {
	h.t.Helper()
	var made wire.CreatedInvitation
	h.call("ada", http.MethodPost, "organizations/acme/invitations/", wire.NewInvitation{}, &made)
	h.names["invitation text"], h.tokens["invitation"] = made.Text, made.Text
}

// beginDevice has a machine ask to be signed in.
func (h *house) beginDevice() {
	h.t.Helper()
	var begun wire.DeviceLogin
	h.call("", http.MethodPost, "device-logins/", wire.NewDeviceLogin{Name: "laptop"}, &begun)
	h.names["user code"], h.names["device code"], h.tokens["device"] = begun.UserCode, begun.DeviceCode, begun.DeviceCode
}

func TestEveryRouteThatChangesSomethingLeavesARow(t *testing.T) {
	h := newHouse(t)
	h.furnish()
	h.names["organization"], h.names["username"] = "acme", "zoe"
	head := func() int64 {
		chain, _, err := h.audit.ReadChain(t.Context(), 0, 0)
		h.must(err)
		return chain.Head.ID
	}
	tested := make(map[string]bool)
	for _, step := range life {
		tested[step.route] = true
		if step.prepare != nil {
			step.prepare(h)
		}
		before := head()
		method, path, _ := strings.Cut(step.route, ":")
		var request *http.Request
		if step.override != nil {
			request = step.override(h)
		} else {
			request = h.request(step.as, method, h.fill(path), strings.NewReader(h.fill(step.body)))
		}
		if request.Header.Get("Content-Type") == "" && request.ContentLength > 0 {
			request.Header.Set("Content-Type", "application/json")
		}
		var answer struct {
			ID string `json:"id"`
		}
		into := any(&answer)
		if step.into == "" {
			into = nil
		}
		h.read(request, step.status, into)
		if step.into != "" {
			h.names[step.into] = answer.ID
		}
		if head() == before {
			t.Errorf("%s leaves no row of the audit trail, and is not on the list of those that need none", step.route)
		}
	}
	var d document
	h.call("", http.MethodGet, "openapi.json", nil, &d)
	known := make(map[string]bool)
	for path, operations := range d.Paths {
		for method := range operations {
			route := strings.ToUpper(method) + ":" + strings.TrimPrefix(path, wire.Base)
			known[route] = true
			if method != "get" && !tested[route] && unaudited[route] == "" {
				t.Errorf("%s is not in the life above: say how it is called, or why it leaves no row of the audit trail", route)
			}
		}
	}
	for route := range unaudited {
		if !known[route] || tested[route] {
			t.Errorf("%s is on the list of those that leave no row, and is no route, or leaves one", route)
		}
	}
	// Whatever was done, no row holds a secret.
	_, text := h.export("root", "")
	_, ofAcme := h.export("ada", "")
	h.noSecretIn(t, text+ofAcme)
	if strings.Contains(text+ofAcme, gitToken) || strings.Contains(text+ofAcme, "hooks.acme.example/x") {
		t.Error("a row holds a secret")
	}
}
