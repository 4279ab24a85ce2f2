package grant

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"fairlead.dev/fairlead/internal/diagnosis"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
)

// dockerHub is Docker Hub with a user's or an organisation's access token.
// https://docs.docker.com/security/access-tokens/
type dockerHub struct{ exchange exchange }

const (
	nameDockerHub    = "docker-hub"
	fieldAccessToken = "access_token"
)

// What Docker Hub's tokens begin with.
const (
	hubPersonal     = "dckr_pat_"
	hubOrganisation = "dckr_oat_"
)

func (dockerHub) Description() Description {
	return Description{
		Name:  nameDockerHub,
		Title: "Docker Hub",
		Help:  "A user or organisation of Docker Hub and an access token.",
		Fields: []Field{
			{
				Name: fieldUsername, Title: "User name", Required: true,
				Help:    "The Docker ID of the user, or the name of the organisation that the token is of; not the mail address.",
				Example: "acme",
			},
			{
				Name: fieldAccessToken, Title: "Access token", Secret: true, Required: true,
				Help:    "A personal or organisation access token that may only read.",
				Example: "dckr_pat_…",
			},
		},
		Patterns: []string{"docker.io/*", "docker.io/myusername/*"},
	}
}

func (h dockerHub) Normalise(in Material) (Material, []string, error) {
	out, err := normalise(h.Description(), in)
	if err != nil {
		return Material{}, nil, err
	}
	user := strings.ToLower(out.Config[fieldUsername])
	if err := checkUser(user, fieldUsername); err != nil {
		return Material{}, nil, err
	}
	if strings.Contains(user, "@") {
		return Material{}, nil, fault.InvalidField(fieldUsername, "username_mail", "%q is a mail address, which Docker Hub's registry does not know", user).
			WithHint("Enter the Docker ID; it is shown at the top right of hub.docker.com.")
	}
	out.Config[fieldUsername] = user
	var warnings []string
	token := out.Secrets[fieldAccessToken].Reveal()
	if !strings.HasPrefix(token, hubPersonal) && !strings.HasPrefix(token, hubOrganisation) {
		warnings = append(warnings, "This looks like a password rather than an access token (dckr_pat_… or dckr_oat_…): it opens the whole account and stops working when two-factor login is turned on.")
	}
	return out, warnings, nil
}

func (h dockerHub) Issue(ctx context.Context, request Request) (Grant, error) {
	if request.Image.Host() != image.Hub {
		return Grant{}, fault.InvalidField("image", "image_not_hub", "%s is not on Docker Hub, and a %s credential is for nothing else", request.Image, nameDockerHub).
			WithHint("Use a credential of kind %s for it.", nameGeneric)
	}
	return h.exchange.issue(ctx, request, h.login(request.Material))
}

// Check asks what the credential is good for.
func (h dockerHub) Check(ctx context.Context, request CheckRequest, checkup *Checkup) {
	loginCheck{
		exchange: h.exchange, kind: h, request: request, who: h.login(request.Material), checkup: checkup, strict: true, advice: hubAdvice,
	}.run(ctx)
}

func (dockerHub) login(material Material) login {
	return login{
		user:      material.Config[fieldUsername],
		secret:    material.Secrets[fieldAccessToken],
		service:   diagnosis.DockerHubToken,
		basicHint: "Docker Hub itself has a token service: check what answers in its place.",
	}
}

// hubAdvice is how to make a token that may only pull, of the sort that there is.
func hubAdvice(r *registryCheck, readable []string) string {
	if !strings.HasPrefix(r.who.secret.Reveal(), hubOrganisation) {
		// https://docs.docker.com/reference/api/hub/latest/#tag/access-tokens
		return "At https://app.docker.com/settings/personal-access-tokens with the permission Read-only, or:\n" +
			"curl --header 'Authorization: Bearer LOGIN-TOKEN' --json '{\"token_label\":\"fairlead\",\"scopes\":[\"repo:read\"]}' \\\n" +
			"  https://hub.docker.com/v2/access-tokens"
	}
	// https://docs.docker.com/reference/api/hub/latest/#tag/org-access-tokens
	type resource struct {
		Type   string   `json:"type"`
		Path   string   `json:"path"`
		Scopes []string `json:"scopes"`
	}
	var resources []resource
	for _, name := range named(readable) {
		resources = append(resources, resource{"TYPE_REPO", name, []string{"scope-image-pull"}})
	}
	body, err := json.Marshal(map[string]any{"label": "fairlead", "resources": resources})
	if err != nil {
		return ""
	}
	return fmt.Sprintf("curl --header 'Authorization: Bearer LOGIN-TOKEN' --json %s \\\n  https://hub.docker.com/v2/orgs/%s/access-tokens", quoted(string(body)), url.PathEscape(r.who.user))
}
