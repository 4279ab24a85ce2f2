package grant

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"fairlead.dev/fairlead/internal/fault"
)

// generic is any registry with Docker's standard authentication.
type generic struct{ exchange exchange }

const (
	nameGeneric        = "generic"
	fieldUsername      = "username"
	fieldPassword      = "password"
	fieldBasicOnWorker = "basic_on_worker"
)

func (generic) Description() Description {
	return Description{
		Name:        nameGeneric,
		Title:       "Any registry",
		Help:        "A user name and a password or token, for every registry with standard Docker authentication: GHCR, GitLab, Harbor, Quay, Nexus, NGC, self-hosted.",
		LegacyNames: []string{legacyDocker},
		Fields: []Field{
			{
				Name: fieldUsername, Title: "User name", Required: true,
				Help:    "The user, deploy token or robot account.",
				Example: "robot$acme+fairlead",
			},
			{
				Name: fieldPassword, Title: "Password or token", Secret: true, Required: true,
				Help: "Its password or, better, a token that may only read.",
			},
			{
				Name: fieldBasicOnWorker, Title: "Hand the password to the worker", Default: "false", Choices: []string{"false", "true"},
				Help: "Only for a registry without a token service: the worker that pulls then gets the password itself, instead of pulling through the server's cache.",
			},
		},
		Patterns: []string{"ghcr.io/acme/*", "registry.example.org/*"},
	}
}

func (g generic) Normalise(in Material) (Material, []string, error) {
	if choice, given := in.Config[fieldBasicOnWorker]; given {
		in = in.with(fieldBasicOnWorker, strings.ToLower(choice))
	}
	out, err := normalise(g.Description(), in)
	if err != nil {
		return Material{}, nil, err
	}
	if err := checkUser(out.Config[fieldUsername], fieldUsername); err != nil {
		return Material{}, nil, err
	}
	var warnings []string
	if out.Config[fieldBasicOnWorker] == "true" {
		warnings = append(warnings, "Where the registry has no token service, every worker that pulls with this credential gets the password itself.")
	}
	return out, warnings, nil
}

func (g generic) Issue(ctx context.Context, request Request) (Grant, error) {
	if request.Image.IsZero() {
		return Grant{}, fault.InvalidField("image", "image_missing", "a grant is for one image")
	}
	return g.exchange.issue(ctx, request, g.login(request.Material))
}

// Check asks what the credential is good for.
func (g generic) Check(ctx context.Context, request CheckRequest, checkup *Checkup) {
	loginCheck{
		exchange: g.exchange, kind: g, request: request, who: g.login(request.Material), checkup: checkup, advice: genericAdvice,
	}.run(ctx)
}

func (generic) login(material Material) login {
	return login{
		user:          material.Config[fieldUsername],
		secret:        material.Secrets[fieldPassword],
		basicOnWorker: material.Config[fieldBasicOnWorker] == "true",
		basicHint:     "Start the server with --cache, so that workers pull through it and the password stays there; or set the credential's option " + fieldBasicOnWorker + " if workers may have the password.",
	}
}

// genericAdvice is what to make at a registry that may only read, by what its
// host and the address of its token service tell that it is.
func genericAdvice(r *registryCheck, readable []string) string {
	realm, err := url.Parse(r.challenge.Realm)
	if err != nil {
		realm = new(url.URL)
	}
	owner, _, _ := strings.Cut(readable[0], "/")
	switch {
	case r.host == "ghcr.io":
		// https://docs.github.com/packages/working-with-a-github-packages-registry/working-with-the-container-registry
		return "A personal access token (classic) with the scope read:packages and no other:\n" +
			"https://github.com/settings/tokens/new?description=fairlead&scopes=read:packages"
	case realm.Path == "/jwt/auth":
		// https://docs.gitlab.com/api/deploy_tokens/
		return fmt.Sprintf("curl --request POST --header 'PRIVATE-TOKEN: OWNERS-TOKEN' --header 'Content-Type: application/json' \\\n"+
			"  --data '{\"name\":\"fairlead\",\"scopes\":[\"read_registry\"]}' \\\n  %s://%s/api/v4/groups/%s/deploy_tokens", realm.Scheme, realm.Host, url.PathEscape(owner))
	case r.challenge.Service == "harbor-registry":
		// https://goharbor.io/docs/latest/working-with-projects/project-configuration/create-robot-accounts/
		return fmt.Sprintf("curl --user ADMIN --header 'Content-Type: application/json' \\\n"+
			"  --data '{\"name\":\"fairlead\",\"level\":\"project\",\"duration\":365,\"permissions\":[{\"kind\":\"project\",\"namespace\":%q,\"access\":"+
			"[{\"resource\":\"repository\",\"action\":\"list\"},{\"resource\":\"repository\",\"action\":\"pull\"}]}]}' \\\n  https://%s/api/v2.0/robots", owner, r.host)
	case r.host == "quay.io":
		// https://docs.quay.io/api/swagger/
		var b strings.Builder
		fmt.Fprintf(&b, "curl --request PUT --header 'Authorization: Bearer OWNERS-TOKEN' https://quay.io/api/v1/organization/%s/robots/fairlead", owner)
		for _, name := range named(readable) {
			fmt.Fprintf(&b, "\ncurl --request PUT --header 'Authorization: Bearer OWNERS-TOKEN' --json '{\"role\":\"read\"}' \\\n"+
				"  https://quay.io/api/v1/repository/%s/permissions/user/%s+fairlead", name, owner)
		}
		return b.String()
	default:
		return "An account, robot or token that may pull and no more, on:\n" + r.host + "/" + strings.Join(named(readable), "\n"+r.host+"/")
	}
}

// namedMost is how many repositories an advice names.
const namedMost = 20

// named are the first few of the names.
func named(repositories []string) []string { return repositories[:min(len(repositories), namedMost)] }
