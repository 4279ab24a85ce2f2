package grant

import (
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/secret"
)

func TestWhatToMakeInsteadIsReadyToPasteAtEachRegistry(t *testing.T) {
	readable := []string{"acme/train", "acme/web"}
	for name, test := range map[string]struct {
		host, realm, service, secret string
		advice                       func(*registryCheck, []string) string
		want                         []string
	}{
		"GHCR": {
			"ghcr.io", "https://ghcr.io/token", "ghcr.io", "", genericAdvice,
			[]string{"https://github.com/settings/tokens/new?description=fairlead&scopes=read:packages"},
		},
		"GitLab": {
			"registry.gitlab.com", "https://gitlab.com/jwt/auth", "container_registry", "", genericAdvice,
			[]string{`"scopes":["read_registry"]`, "https://gitlab.com/api/v4/groups/acme/deploy_tokens"},
		},
		"a GitLab of one's own": {
			"registry.acme.example", "https://git.acme.example/jwt/auth", "container_registry", "", genericAdvice,
			[]string{"https://git.acme.example/api/v4/groups/acme/deploy_tokens"},
		},
		"Harbor": {
			"harbor.acme.example", "https://harbor.acme.example/service/token", "harbor-registry", "", genericAdvice,
			[]string{`"namespace":"acme"`, `{"resource":"repository","action":"pull"}`, "https://harbor.acme.example/api/v2.0/robots"},
		},
		"Quay": {
			"quay.io", "https://quay.io/v2/auth", "quay.io", "", genericAdvice,
			[]string{"/organization/acme/robots/fairlead", `'{"role":"read"}'`, "/repository/acme/train/permissions/user/acme+fairlead", "/repository/acme/web/permissions/user/acme+fairlead"},
		},
		"another": {
			"registry.acme.example:5000", "", "", "", genericAdvice,
			[]string{"registry.acme.example:5000/acme/train\nregistry.acme.example:5000/acme/web"},
		},
		"Docker Hub, a person": {
			"docker.io", "https://auth.docker.io/token", "", "dckr_pat_x", hubAdvice,
			[]string{`"scopes":["repo:read"]`, "https://app.docker.com/settings/personal-access-tokens"},
		},
		"Docker Hub, an organisation": {
			"docker.io", "https://auth.docker.io/token", "", "dckr_oat_x", hubAdvice,
			[]string{`{"type":"TYPE_REPO","path":"acme/web","scopes":["scope-image-pull"]}`, "https://hub.docker.com/v2/orgs/acme/access-tokens"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := &registryCheck{
				loginCheck: loginCheck{who: login{user: "acme", secret: secret.New(test.secret)}},
				host:       test.host, challenge: oci.Challenge{Realm: test.realm, Service: test.service},
			}
			got := test.advice(r, readable)
			for _, part := range test.want {
				if !strings.Contains(got, part) {
					t.Errorf("there is no %s in\n%s", part, got)
				}
			}
			if test.secret != "" && strings.Contains(got, test.secret) {
				t.Errorf("it repeats the secret:\n%s", got)
			}
		})
	}
}
