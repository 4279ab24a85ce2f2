package granttest

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/oci"
)

// realm is the address of the token service, as challenges name it.
func (r *Registry) realm() string {
	if own, ok := r.cloud.(interface{ realmPath() string }); ok {
		return "https://" + r.options.RealmHost + own.realmPath()
	}
	return "https://" + r.options.RealmHost + r.options.RealmPath
}

// service is what the registry calls itself in challenges and tokens.
func (r *Registry) service() string {
	if r.options.Kind == DockerHub {
		return "registry.docker.io"
	}
	return r.options.Host
}

// asked is a request to the token service, read.
type asked struct {
	user    string
	verdict verdict
	scopes  []string
	oauth   bool
}

// serveToken is the token service: GET as in
// https://distribution.github.io/distribution/spec/auth/token/ and POST as in
// https://distribution.github.io/distribution/spec/auth/oauth/.
func (r *Registry) serveToken(w http.ResponseWriter, request *http.Request) {
	var a asked
	switch {
	case request.Method == http.MethodPost:
		if !r.readForm(w, request, &a) {
			return
		}
	case request.Method == http.MethodGet && !r.options.PostOnly:
		name, password, _ := request.BasicAuth()
		query := request.URL.Query()
		a = asked{user: name, verdict: r.people.login(name, password), scopes: query["scope"]}
	default:
		refuse(w, http.StatusMethodNotAllowed, "UNSUPPORTED", "The operation is unsupported.")
		return
	}
	scope := strings.Join(a.scopes, " ")
	exchange := Exchange{Method: request.Method, User: a.user, Scope: scope}
	r.ledger.exchange(exchange)
	if r.options.OnExchange != nil {
		r.options.OnExchange(exchange)
	}
	if a.verdict != accepted && r.options.Lax {
		a.user, a.verdict = "", accepted
	}
	if a.verdict != accepted {
		r.refuseLogin(w, a)
		return
	}
	granted, short := r.granted(a.user, strings.Fields(scope))
	switch {
	case short && r.options.Kind != JFrog && r.options.NoRight == Refuse403:
		refuse(w, http.StatusForbidden, oci.CodeDenied, "requested access to the resource is denied")
	case short && r.options.Kind != JFrog && r.options.NoRight == Refuse401:
		refuse(w, http.StatusUnauthorized, oci.CodeUnauthorized, "access to the requested resource is not authorized")
	default:
		r.answerToken(w, a, granted)
	}
}

// readForm reads a POST; it answers the request itself where that cannot be.
func (r *Registry) readForm(w http.ResponseWriter, request *http.Request, a *asked) bool {
	request.Body = http.MaxBytesReader(w, request.Body, 64<<10)
	if err := request.ParseForm(); err != nil {
		refuseOAuth(w, "invalid_request", "the form cannot be read")
		return false
	}
	form := request.PostForm
	a.oauth, a.scopes = true, form["scope"]
	switch form.Get("grant_type") {
	case "password":
		a.user = form.Get("username")
		a.verdict = r.people.login(a.user, form.Get("password"))
		if a.user == "" {
			a.verdict = wrong
		}
	case "refresh_token":
		a.user, a.verdict = r.people.refresh(form.Get("refresh_token"))
	default:
		refuseOAuth(w, "unsupported_grant_type", "use password or refresh_token")
		return false
	}
	return true
}

// granted is what a user gets of the scopes asked for, and whether that is
// less than was asked.
func (r *Registry) granted(user string, scopes []string) (granted []oci.Access, short bool) {
	for _, scope := range scopes {
		if scope == oci.CatalogueScope && user != "" && !r.options.NoCatalogue {
			granted = append(granted, catalogueAccess)
			continue
		}
		repository, actions, ok := parseScope(scope)
		if !ok {
			short = true
			continue
		}
		allowed := r.people.allowed(user, repository, actions)
		short = short || len(allowed) < len(actions)
		if len(allowed) > 0 {
			granted = append(granted, access(repository, allowed...))
		}
	}
	return granted, short
}

func (r *Registry) answerToken(w http.ResponseWriter, a asked, granted []oci.Access) {
	now := time.Now()
	token, err := r.signer.sign(a.user, now, r.options.Lifetime, granted)
	if err != nil {
		refuse(w, http.StatusInternalServerError, "UNKNOWN", "no token could be signed")
		return
	}
	if r.options.Kind == JFrog {
		token = r.signer.hide(token)
	}
	answer := map[string]any{"token": token, "access_token": token, "issued_at": now.UTC().Format(time.RFC3339)}
	if a.oauth {
		delete(answer, "token")
		answer["token_type"] = "Bearer"
	}
	if !r.options.SilentLifetime {
		answer["expires_in"] = int(r.options.Lifetime / time.Second)
	}
	writeJSON(w, http.StatusOK, answer)
}

// refuseLogin answers in the words of the kind of registry.
func (r *Registry) refuseLogin(w http.ResponseWriter, a asked) {
	switch {
	case r.options.Kind == JFrog:
		words := map[verdict]string{
			wrong: "Bad Credentials", wrongUser: "Wrong username was used",
			expired: "Token failed verification: expired", revoked: "Token failed verification: revoked",
		}
		writeJSON(w, http.StatusUnauthorized, map[string]any{"errors": []any{
			map[string]any{"status": http.StatusUnauthorized, "message": words[a.verdict]},
		}})
	case r.options.Kind == DockerHub:
		words := "incorrect username or password"
		if a.verdict == expired {
			words = "personal access token is expired"
		}
		writeJSON(w, http.StatusUnauthorized, map[string]any{"details": words})
	case a.oauth:
		refuseOAuth(w, "invalid_grant", loginWords[a.verdict])
	default:
		refuse(w, http.StatusUnauthorized, oci.CodeUnauthorized, loginWords[a.verdict])
	}
}

// loginWords are the generic registry's words.
var loginWords = map[verdict]string{
	wrong:     "authentication required",
	wrongUser: "authentication required",
	expired:   "the token has expired",
	revoked:   "the token was revoked",
}

// refuse answers with the error body of the distribution specification.
func refuse(w http.ResponseWriter, status int, code, message string) {
	writeJSON(w, status, map[string]any{"errors": []any{map[string]any{"code": code, "message": message}}})
}

// refuseOAuth answers as RFC 6749 says in section 5.2.
func refuseOAuth(w http.ResponseWriter, code, description string) {
	writeJSON(w, http.StatusBadRequest, map[string]any{"error": code, "error_description": description})
}

func writeJSON(w http.ResponseWriter, status int, body map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a client that left learns nothing anyway
}
