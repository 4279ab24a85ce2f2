package grant

import (
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strings"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/secret"
)

// Paster is a Kind that reads what its cloud gives in one piece.
type Paster interface {
	Kind

	// Pasted says in one sentence what can be pasted.
	Pasted() string

	// Paste finds the kind's fields in what was pasted. The error is an Invalid fault
	// of the field pasted, and repeats nothing of the text.
	Paste(text secret.Text) (Found, error)
}

// Found is what a pasted text holds.
type Found struct {
	Material Material

	// Host is the registry that it is for; "": it does not say.
	Host string
}

// pasteMost bounds what is pasted, in bytes.
const pasteMost = 256 << 10

// Pasted says what can be pasted for a credential of that kind; "": nothing.
func (c *Catalogue) Pasted(name string) string {
	kind, err := c.kind(name)
	if err != nil {
		return ""
	}
	paster, can := kind.(Paster)
	if !can {
		return ""
	}
	return paster.Pasted()
}

// Paste finds the fields of a credential of that kind in what its cloud gives in one
// piece. The error is an Invalid fault, which repeats nothing of the text.
func (c *Catalogue) Paste(name string, text secret.Text) (Found, error) {
	kind, err := c.kind(name)
	if err != nil {
		return Found{}, err
	}
	paster, can := kind.(Paster)
	switch {
	case !can:
		return Found{}, fault.InvalidField("pasted", "paste_unsupported", "there is nothing to paste for a credential of kind %s", kind.Description().Name).
			WithHint("Fill in the fields.")
	case len(text.Reveal()) > pasteMost:
		return Found{}, fault.InvalidField("pasted", "paste_long", "has more than %d KiB", pasteMost>>10).WithHint("Fill in the fields.")
	}
	return paster.Paste(text)
}

func notPasted(what string) *fault.Error {
	return fault.InvalidField("pasted", "paste_unread", "this is not %s", what).WithHint("Paste all of it, or fill in the fields.")
}

// Pasted names the forms that AWS gives a key in.
func (awsECR) Pasted() string {
	return "The CSV file of the access key, the answer of `aws iam create-access-key`, or lines such as AWS_ACCESS_KEY_ID=…"
}

// Paste reads a key in any of AWS's forms.
func (e awsECR) Paste(text secret.Text) (Found, error) {
	values := pastedValues(text.Reveal())
	found := Found{Material: Material{Config: make(map[string]string), Secrets: make(map[string]secret.Text)}}
	take(found.Material.Config, fieldAccessKeyID, values, "awsaccesskeyid", "accesskeyid")
	take(found.Material.Config, fieldRegion, values, "awsregion", "awsdefaultregion", "region")
	takeSecret(found.Material.Secrets, fieldSecretAccessKey, values, "awssecretaccesskey", "secretaccesskey")
	takeSecret(found.Material.Secrets, fieldSessionToken, values, "awssessiontoken", "sessiontoken")
	if found.Material.Config[fieldAccessKeyID] == "" || found.Material.Secrets[fieldSecretAccessKey].IsEmpty() {
		return Found{}, notPasted("an access key as AWS gives it")
	}
	return found, nil
}

// Pasted names the forms that Azure's tools give a service principal in.
func (azure) Pasted() string {
	return "The JSON that `az ad sp create-for-rbac` or `az ad app credential reset` printed, or lines such as AZURE_CLIENT_ID=…"
}

// Paste reads a service principal in any of those forms.
func (azure) Paste(text secret.Text) (Found, error) {
	values := pastedValues(text.Reveal())
	found := Found{Material: Material{Config: make(map[string]string), Secrets: make(map[string]secret.Text)}}
	take(found.Material.Config, fieldTenantID, values, "azuretenantid", "armtenantid", "tenantid", "tenant")
	take(found.Material.Config, fieldClientID, values, "azureclientid", "armclientid", "clientid", "appid")
	takeSecret(found.Material.Secrets, fieldClientSecret, values, "azureclientsecret", "armclientsecret", "clientsecret", "password")
	if found.Material.Config[fieldClientID] == "" || found.Material.Secrets[fieldClientSecret].IsEmpty() {
		return Found{}, notPasted("a service principal as Azure's command line gives it")
	}
	return found, nil
}

func take(into map[string]string, field string, values map[string]string, names ...string) {
	for _, name := range names {
		if value := values[name]; value != "" {
			into[field] = value
			return
		}
	}
}

func takeSecret(into map[string]secret.Text, field string, values map[string]string, names ...string) {
	for _, name := range names {
		if value := values[name]; value != "" {
			into[field] = secret.New(value)
			return
		}
	}
}

// pastedValues finds named values in JSON, in a CSV file of a head and a row, or in
// lines NAME=VALUE. The names come without what is no letter and no digit, in small
// letters, so that awsAccessKeyId, AWS_ACCESS_KEY_ID and "Access key ID" are found as
// one would say them.
func pastedValues(text string) map[string]string {
	text = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(text), "\ufeff"))
	values := make(map[string]string)
	var document map[string]any
	if json.Unmarshal([]byte(text), &document) == nil {
		flatten(document, values)
		return values
	}
	if rows, err := csv.NewReader(strings.NewReader(text)).ReadAll(); err == nil && len(rows) == 2 && len(rows[0]) > 1 {
		for i, name := range rows[0] {
			values[plainName(name)] = strings.TrimSpace(rows[1][i])
		}
		return values
	}
	for line := range strings.Lines(text) {
		name, value, found := strings.Cut(strings.TrimSpace(line), "=")
		if !found {
			continue
		}
		name = strings.TrimSpace(name)
		for _, word := range []string{"export ", "set ", "SET ", "$Env:", "$env:"} {
			name = strings.TrimSpace(strings.TrimPrefix(name, word))
		}
		values[plainName(name)] = unquoted(value)
	}
	return values
}

// flatten takes the texts of a document and of what is one level inside it.
func flatten(document map[string]any, values map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(document)) {
		switch value := document[name].(type) {
		case string:
			values[plainName(name)] = strings.TrimSpace(value)
		case map[string]any:
			for inner, text := range value {
				if text, is := text.(string); is {
					values[plainName(inner)] = strings.TrimSpace(text)
				}
			}
		}
	}
}

func plainName(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + ('a' - 'A')
		default:
			return -1
		}
	}, name)
}

func unquoted(value string) string {
	value = strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), ";"))
	if len(value) > 1 && (value[0] == '"' || value[0] == '\'') && value[len(value)-1] == value[0] {
		return value[1 : len(value)-1]
	}
	return value
}

// pastedLogin is what Docker's own tools are told of a registry.
const pastedLogin = "The line `docker login …` that the registry shows, or a config.json that `docker login` wrote."

// Pasted names the forms of Docker's tools.
func (generic) Pasted() string   { return pastedLogin }
func (dockerHub) Pasted() string { return pastedLogin }
func (jfrog) Pasted() string     { return pastedLogin }

// Paste reads a login at any registry.
func (generic) Paste(text secret.Text) (Found, error) {
	return pastedFor(text, fieldPassword, isElsewhere)
}

// Paste reads a login at Docker Hub.
func (dockerHub) Paste(text secret.Text) (Found, error) {
	return pastedFor(text, fieldAccessToken, func(host string) bool { return host == image.Hub })
}

// Paste reads a login at an Artifactory.
func (jfrog) Paste(text secret.Text) (Found, error) {
	return pastedFor(text, fieldAccessToken, isElsewhere)
}

func isElsewhere(host string) bool { return host != image.Hub }

// dockerLogin is a login at a registry.
type dockerLogin struct{ host, user, password string }

// pastedFor is the login at the one registry that fits.
func pastedFor(text secret.Text, field string, fits func(host string) bool) (Found, error) {
	logins, known := dockerConfig(text.Reveal())
	if !known {
		login, is := loginLine(text.Reveal())
		if !is {
			return Found{}, notPasted("a line of `docker login`, nor Docker's config.json")
		}
		logins = []dockerLogin{login}
	}
	logins = slices.DeleteFunc(logins, func(l dockerLogin) bool { return !fits(l.host) })
	if len(logins) != 1 {
		return Found{}, fault.InvalidField("pasted", "paste_many", "holds logins at %d registries of this kind, and a credential is one", len(logins)).
			WithHint("Leave the one in that is meant, or fill in the fields.")
	}
	login := logins[0]
	found := Found{Host: login.host, Material: Material{Config: make(map[string]string), Secrets: make(map[string]secret.Text)}}
	if login.user != "" {
		found.Material.Config[fieldUsername] = login.user
	}
	if login.password != "" {
		found.Material.Secrets[field] = secret.New(login.password)
	}
	return found, nil
}

// dockerConfig reads the logins of a config.json, by host.
func dockerConfig(text string) (logins []dockerLogin, is bool) {
	var config struct {
		Auths map[string]struct {
			Auth     string `json:"auth"`
			Username string `json:"username"`
			Password string `json:"password"`
		} `json:"auths"`
	}
	if json.Unmarshal([]byte(text), &config) != nil || len(config.Auths) == 0 {
		return nil, false
	}
	for _, at := range slices.Sorted(maps.Keys(config.Auths)) {
		auth := config.Auths[at]
		login := dockerLogin{host: hostOfLogin(at), user: auth.Username, password: auth.Password}
		if both, err := base64.StdEncoding.DecodeString(auth.Auth); err == nil && auth.Auth != "" {
			login.user, login.password, _ = strings.Cut(strings.TrimRight(string(both), "\x00"), ":")
		}
		if login.host != "" {
			logins = append(logins, login)
		}
	}
	return logins, true
}

// hostOfLogin is the registry's host of what a login calls it.
func hostOfLogin(at string) string {
	if !strings.Contains(at, "://") {
		at = "https://" + at
	}
	parsed, err := url.Parse(at)
	if err != nil {
		return ""
	}
	switch host := strings.ToLower(parsed.Host); host {
	case "index.docker.io", "registry-1.docker.io":
		return image.Hub
	default:
		return host
	}
}

// loginLine reads a line of docker login, podman login and the like, also one that the
// password comes to by a pipe from echo.
func loginLine(text string) (login dockerLogin, is bool) {
	words := shellWords(text)
	at := slices.Index(words, "login")
	if at < 1 {
		return dockerLogin{}, false
	}
	login.host = image.Hub
	for i := at + 1; i < len(words); i++ {
		name, value, given := strings.Cut(words[i], "=")
		switch name {
		case "-u", "--username", "-p", "--password":
			if !given && i+1 < len(words) {
				i++
				value = words[i]
			}
			if strings.HasSuffix(name, "u") || strings.HasSuffix(name, "username") {
				login.user = value
			} else {
				login.password = value
			}
		case "--password-stdin":
			if before := slices.Index(words[:at], "|"); before > 1 && words[0] == "echo" {
				login.password = words[before-1]
			}
		default:
			if !strings.HasPrefix(name, "-") {
				login.host = hostOfLogin(words[i])
			}
		}
	}
	if strings.HasPrefix(login.password, "$") { // a variable, and not what is in it
		login.password = ""
	}
	return login, login.host != "" && login.user != ""
}

// shellWords splits a line as a shell does, as far as logins need it: by white space,
// with quotes, and with a pipe as a word of its own.
func shellWords(text string) []string {
	var words []string
	var word strings.Builder
	quote := rune(0)
	started := false
	end := func() {
		if started {
			words = append(words, word.String())
			word.Reset()
			started = false
		}
	}
	for _, r := range strings.ReplaceAll(text, "\\\n", " ") {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '"' || r == '\'':
			quote, started = r, true
		case r == ' ' || r == '\t' || r == '\n' || r == '\r':
			end()
		case r == '|':
			end()
			words = append(words, "|")
		default:
			word.WriteRune(r)
			started = true
		}
	}
	end()
	return words
}
