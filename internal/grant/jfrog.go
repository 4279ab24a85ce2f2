package grant

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"fairlead.dev/fairlead/internal/diagnosis"
	"fairlead.dev/fairlead/internal/fault"
)

// jfrog is an Artifactory with an access token.
// https://jfrog.com/help/r/jfrog-platform-administration-documentation/access-tokens
type jfrog struct{ exchange exchange }

const nameJFrog = "jfrog"

func (jfrog) Description() Description {
	return Description{
		Name:  nameJFrog,
		Title: "JFrog Artifactory",
		Help:  "An access token of a JFrog platform, in the cloud or your own.",
		Fields: []Field{
			{
				Name: fieldUsername, Title: "User name",
				Help:    "The user that the token is of. An access token of the long form says it by itself; a reference token does not.",
				Example: "fairlead",
			},
			{
				Name: fieldAccessToken, Title: "Access token", Secret: true, Required: true,
				Help:    "An access or identity token (eyJ…) or a reference token of 64 characters (cmVmdGtu…), of a user who may only read.",
				Example: "eyJ…",
			},
		},
		Patterns: []string{"mycompany.jfrog.io/*", "mycompany.jfrog.io/docker-local/*"},
	}
}

func (j jfrog) Normalise(in Material) (Material, []string, error) {
	out, err := normalise(j.Description(), in)
	if err != nil {
		return Material{}, nil, err
	}
	token := readJFrogToken(out.Secrets[fieldAccessToken])
	if out.Config[fieldUsername] == "" {
		if token.user == "" {
			return Material{}, nil, fault.InvalidField(fieldUsername, "username_required", "must be given, since %s does not say whose it is", token.form).
				WithHint("Enter the name of the user that it was made for.")
		}
		out.Config[fieldUsername] = token.user
	}
	if err := checkUser(out.Config[fieldUsername], fieldUsername); err != nil {
		return Material{}, nil, err
	}
	return out, token.warnings(out.Config[fieldUsername]), nil
}

func (j jfrog) Issue(ctx context.Context, request Request) (Grant, error) {
	if request.Image.IsZero() {
		return Grant{}, fault.InvalidField("image", "image_missing", "a grant is for one image")
	}
	return j.exchange.issue(ctx, request, j.login(request.Material))
}

// Check asks what the credential is good for.
func (j jfrog) Check(ctx context.Context, request CheckRequest, checkup *Checkup) {
	loginCheck{
		exchange: j.exchange, kind: j, request: request, who: j.login(request.Material), checkup: checkup, strict: true,
		lists: jfrogLists, ends: jfrogEnd, advice: jfrogAdvice,
	}.run(ctx)
}

func (jfrog) login(material Material) login {
	return login{
		user:      material.Config[fieldUsername],
		secret:    material.Secrets[fieldAccessToken],
		service:   diagnosis.JFrogToken,
		basicHint: "Turn on token authentication for this Docker repository in Artifactory.",
	}
}

// Artifactory serves Docker in three forms: REPOSITORY.HOST/IMAGE, HOST:PORT/IMAGE
// and HOST/REPOSITORY/IMAGE.
// https://jfrog.com/help/r/jfrog-artifactory-documentation/get-started-with-artifactory-as-a-docker-registry

// jfrogAPI is the path of one repository's Docker API, which a realm may show.
const jfrogAPI = "/artifactory/api/docker/"

// jfrogLists are the lists of the repositories that names begin with, where they
// do: a platform has no list over all of them.
func jfrogLists(r *registryCheck) []elsewhere {
	var lists []elsewhere
	paths := r.literal
	for _, pattern := range r.request.Patterns {
		if pattern.Host() == r.host {
			paths = append(paths[:len(paths):len(paths)], pattern.Path())
		}
	}
	for _, path := range paths {
		key, _, inPath := strings.Cut(path, "/")
		at := elsewhere{path: jfrogAPI + key + "/v2/_catalog", prefix: key + "/"}
		if inPath && !strings.ContainsAny(key, "*?") && !slices.Contains(lists, at) {
			lists = append(lists, at)
		}
	}
	return lists
}

// jfrogPlace is the host of the platform and the repository that an image is in,
// as far as its name and the realm tell; the repository may be "".
func jfrogPlace(host, realm, image string) (platform, repository string) {
	if u, err := url.Parse(realm); err == nil {
		if rest, found := strings.CutPrefix(u.Path, jfrogAPI); found {
			key, _, _ := strings.Cut(rest, "/")
			return u.Host, key
		}
	}
	key, _, inPath := strings.Cut(image, "/")
	label, platform, _ := strings.Cut(host, ".")
	switch {
	case strings.HasSuffix(platform, ".jfrog.io"): // REPOSITORY.COMPANY.jfrog.io
		return platform, label
	case strings.Contains(host, ":"), !inPath:
		return host, ""
	default:
		return host, key
	}
}

// jfrogAdvice is a permission target that lets the user read the repositories
// alone, and a token with that user's rights.
// https://jfrog.com/help/r/jfrog-rest-apis/create-permission-target
func jfrogAdvice(r *registryCheck, readable []string) string {
	var platform string
	var keys []string
	for _, name := range named(readable) {
		var key string
		platform, key = jfrogPlace(r.host, r.challenge.Realm, name)
		if key = cmp.Or(key, "REPOSITORY"); !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	target, err := json.Marshal(map[string]any{"name": "fairlead-pull", "repo": map[string]any{
		"repositories": keys, "actions": map[string]any{"users": map[string][]string{r.who.user: {"read"}}},
	}})
	if err != nil {
		return ""
	}
	return fmt.Sprintf("curl --request PUT --header 'Authorization: Bearer ADMINS-TOKEN' --header 'Content-Type: application/json' \\\n"+
		"  --data %s \\\n  https://%s/artifactory/api/v2/security/permissions/fairlead-pull\n"+
		"jf access-token-create --url=https://%s --scope=applied-permissions/user --expiry=7776000 %s",
		quoted(string(target)), platform, platform, quoted(r.who.user))
}
