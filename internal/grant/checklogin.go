package grant

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/diagnosis"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/secret"
)

// loginCheck is the check of registries that speak the distribution
// specification, asked as somebody with a name and a secret.
type loginCheck struct {
	exchange exchange
	kind     Kind
	service  diagnosis.Service // of the registry's token service
	request  CheckRequest
	who      login
	secret   secret.Text // what may be a JWT with an end
	advice   func(host string, repositories []string, user string) string
	checkup  *Checkup
}

// Bounds of a check.
const (
	confirmMost = 10 // repositories that are confirmed to be readable
	endSoon     = 30 * 24 * time.Hour
)

func (c loginCheck) run(ctx context.Context) {
	hosts := literalHosts(c.request)
	if len(hosts) == 0 {
		c.checkup.Unknown(AskSecret, "No pattern names a registry in full, so there is none to ask",
			"Check it with an image: `fairlead registry check NAME --image IMAGE`.")
		return
	}
	transport, err := c.exchange.ways.of(c.request.Material)
	if err != nil {
		c.checkup.Failed(AskSecret, err)
		return
	}
	c.checkup.Report().Identity = c.who.user
	for _, host := range hosts {
		if !c.host(ctx, transport.For(host), host) {
			return
		}
	}
	c.expiry()
	if slices.Contains(hosts, image.Hub) {
		c.limit(ctx, transport.For(image.Hub))
	}
	checkImage(ctx, c.kind, c.request, c.exchange, c.checkup)
}

// literalHosts are the registries that patterns name in full and the image's, at
// most a few.
func literalHosts(request CheckRequest) []string {
	var hosts []string
	add := func(host string) {
		if !slices.Contains(hosts, host) && len(hosts) < registryHosts {
			hosts = append(hosts, host)
		}
	}
	if !request.Image.IsZero() {
		add(request.Image.Host())
	}
	for _, pattern := range request.Patterns {
		if !pattern.HasWildcardHost() {
			add(pattern.Host())
		}
	}
	return hosts
}

// host asks one registry, and reports whether the secret is good there.
func (c loginCheck) host(ctx context.Context, route *oci.Route, host string) bool {
	client := oci.NewClient(route)
	challenges, err := client.Ping(ctx, oci.Anonymous)
	if err != nil {
		c.checkup.Failed(AskSecret, c.fault(err, diagnosis.At(host)))
		return false
	}
	literal := literalRepositories(host, c.request.Patterns)
	if !c.request.Image.IsZero() && c.request.Image.Host() == host {
		literal = append([]string{c.request.Image.Repository()}, literal...)
	}
	switch {
	case len(challenges) == 0:
		c.checkup.Unknown(AskSecret, host+" asks nobody who they are before an image is named, so the secret could not be tried", "Check it with --image.")
		return true
	case challenges[0].Scheme != oci.SchemeBearer:
		return c.basic(ctx, client, host)
	}
	token, err := c.firstToken(ctx, route, challenges[0], host, literal)
	if err != nil {
		c.checkup.Failed(AskSecret, c.fault(err, c.service))
		return false
	}
	c.checkup.Passed(AskSecret, fmt.Sprintf("%s accepts user %q with this secret", host, c.who.user))
	c.checkup.Passed(AskNarrow, "Each grant is asked for one repository, and for pulling alone")
	readable := c.repositories(ctx, client, route, challenges[0], host, token, literal)
	c.rights(ctx, route, challenges[0], host, readable)
	return true
}

// firstToken asks for the right to list, which every service knows; one that
// refuses to speak of it is asked for a repository's or for none.
func (c loginCheck) firstToken(ctx context.Context, route *oci.Route, challenge oci.Challenge, host string, literal []string) (oci.Token, error) {
	scopes := [][]string{{oci.CatalogueScope}}
	if host == image.Hub {
		scopes = nil // which has no list
	}
	if len(literal) > 0 {
		scopes = append(scopes, []string{oci.PullScope(literal[0])})
	} else if scopes == nil {
		scopes = append(scopes, []string{oci.PullScope(hubLimit.Repository())})
	}
	var token oci.Token
	var err error
	for _, asked := range scopes {
		token, err = c.token(ctx, route, challenge, asked...)
		if answer, ok := errors.AsType[*oci.Error](err); err == nil || !ok || answer.Status == http.StatusUnauthorized {
			break
		}
	}
	return token, err
}

func (c loginCheck) token(ctx context.Context, route *oci.Route, challenge oci.Challenge, scopes ...string) (oci.Token, error) {
	return route.FetchToken(ctx, oci.TokenRequest{Challenge: challenge, User: c.who.user, Password: c.who.secret, Scopes: scopes})
}

func (c loginCheck) fault(err error, service diagnosis.Service) *fault.Error {
	return diagnosis.Of(err, diagnosis.Subject{Service: service, Image: c.request.Image, User: c.who.user})
}

// basic is for a registry without a token service.
func (c loginCheck) basic(ctx context.Context, client *oci.Client, host string) bool {
	authorization := oci.Basic(c.who.user, c.who.secret)
	challenges, err := client.Ping(ctx, authorization)
	switch {
	case err != nil:
		c.checkup.Failed(AskSecret, c.fault(err, c.service))
		return false
	case len(challenges) > 0:
		c.checkup.Failed(AskSecret, diagnosis.SecretRefused(host, c.request.Image, c.who.user))
		return false
	}
	c.checkup.Passed(AskSecret, fmt.Sprintf("%s accepts user %q with this secret", host, c.who.user))
	if c.who.basicOnWorker {
		c.checkup.Warn(AskNarrow, "not_narrow", host+" has no token service, so that each worker that pulls gets the password itself", c.who.basicHint, "")
	} else {
		c.checkup.Warn(AskNarrow, "basic_only", host+" has no token service and takes only the password itself, which is not handed to a worker: pulls will be refused", c.who.basicHint, "")
	}
	names, err := client.Repositories(ctx, authorization)
	if err != nil {
		c.checkup.Unknown(AskRepositories, host+" does not list its repositories", "")
		return true
	}
	c.tell(host, covered(c.request.Patterns, host, names), true)
	return true
}

// repositories lists what can be read and is covered by a pattern, and returns
// the names on the registry.
func (c loginCheck) repositories(ctx context.Context, client *oci.Client, route *oci.Route, challenge oci.Challenge, host string, token oci.Token, literal []string) []string {
	candidates, listed := literal, false
	if host != image.Hub {
		if names, err := client.Repositories(ctx, oci.Bearer(token.Value)); err == nil {
			candidates, listed = append(covered(c.request.Patterns, host, names), literal...), true
		}
	}
	slices.Sort(candidates)
	candidates = slices.Compact(candidates)
	var readable []string
	for i, name := range candidates {
		if i >= confirmMost {
			readable = append(readable, name) // what it lists it mostly gives
			continue
		}
		token, err := c.token(ctx, route, challenge, oci.PullScope(name))
		if err == nil && token.Grants(name) {
			readable = append(readable, name)
		}
	}
	switch {
	case len(readable) > 0 || listed:
		c.tell(host, readable, listed)
	case len(literal) > 0:
		c.checkup.Failed(AskRepositories, diagnosis.NoPullRight(mustRef(host, literal[0]), c.who.user))
	default:
		c.checkup.Unknown(AskRepositories, host+" does not list its repositories", "Check it with an image: `fairlead registry check NAME --image IMAGE`.")
	}
	return readable
}

func mustRef(host, repository string) image.Reference {
	ref, err := image.ParseReference(host + "/" + repository)
	if err != nil {
		panic(err) // it was read out of a reference
	}
	return ref
}

func (c loginCheck) tell(host string, readable []string, listed bool) {
	report := c.checkup.Report()
	report.Listed = report.Listed || listed
	for _, name := range readable {
		if len(report.Repositories) < MostRepositories {
			report.Repositories = append(report.Repositories, host+"/"+name)
		}
	}
	if len(readable) == 0 {
		c.checkup.Warn(AskRepositories, "nothing_readable", "Of the repositories that "+host+" lists, a pattern covers none that can be read",
			"Check the patterns, and the right to read at the registry.", "")
		return
	}
	c.checkup.Passed(AskRepositories, fmt.Sprintf("It can read %s of %s that a pattern covers", counted(len(readable), "repository", "repositories"), host))
}

// covered are the names that a pattern covers.
func covered(patterns []image.Pattern, host string, names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !coveredBy(patterns, host, name) })
}

// rights asks for more than reading, and looks at what the token service would
// give; the token is not used.
func (c loginCheck) rights(ctx context.Context, route *oci.Route, challenge oci.Challenge, host string, readable []string) {
	if len(readable) == 0 {
		c.checkup.Unknown(AskRights, "There is no repository to ask for more than reading on", "Name one in a pattern, or check with --image.")
		return
	}
	name := readable[0]
	token, err := c.token(ctx, route, challenge, "repository:"+name+":pull,push,delete")
	if err != nil || !token.SaysAccess {
		c.checkup.Unknown(AskRights, host+" does not tell whether the secret may do more than read", "Look at its scopes or rights at the registry.")
		return
	}
	var may []string
	for _, action := range []string{"push", "delete"} {
		if actions := token.Actions(name); slices.Contains(actions, action) || slices.Contains(actions, "*") {
			may = append(may, action)
		}
	}
	if len(may) == 0 {
		c.checkup.Passed(AskRights, "It may read and do no more")
		return
	}
	warnMayMore(c.checkup, may, c.advice(host, readable, c.who.user), "Give Fairlead a secret that may only read.")
}

// expiry reads the secret's own end, where it is a JWT.
func (c loginCheck) expiry() {
	ends, ok := oci.EndOf(c.secret)
	switch left := ends.Sub(c.exchange.now()); {
	case !ok:
		c.checkup.Unknown(AskExpiry, "The registry does not tell when the secret ends", "Give the day with --expires, to be warned before it.")
	case left <= 0:
		c.checkup.Report().ExpiresAt = ends
		c.checkup.Failed(AskExpiry, fault.New(fault.Unauthenticated, "secret_expired", "The secret ended %s", ends.Format(time.DateOnly)).
			WithHint("Make a new one at the registry and give it with `fairlead registry rotate NAME`."))
	case left < endSoon:
		c.checkup.Report().ExpiresAt = ends
		c.checkup.Warn(AskExpiry, "expires_soon", "The secret ends "+ends.Format(time.DateOnly), "Make a new one at the registry and give it with `fairlead registry rotate NAME`.", "")
	default:
		c.checkup.Report().ExpiresAt = ends
		c.checkup.Passed(AskExpiry, "The secret ends "+ends.Format(time.DateOnly))
	}
}

// hubLimit is the image that Docker Hub has for asking how much may be pulled.
// https://docs.docker.com/docker-hub/usage/pulls/
var hubLimit = image.MustParseReference("docker.io/ratelimitpreview/test:latest")

// limit asks how much may still be pulled from Docker Hub.
func (c loginCheck) limit(ctx context.Context, route *oci.Route) {
	client := oci.NewClient(route)
	challenges, err := client.Ping(ctx, oci.Anonymous)
	if err != nil || len(challenges) == 0 {
		c.checkup.Unknown(AskLimit, "Docker Hub did not tell how much may still be pulled", "")
		return
	}
	token, err := c.token(ctx, route, challenges[0], oci.PullScope(hubLimit.Repository()))
	if err != nil {
		c.checkup.Unknown(AskLimit, "Docker Hub did not tell how much may still be pulled", "")
		return
	}
	limit, found, err := client.RateLimit(ctx, hubLimit, oci.Bearer(token.Value))
	switch {
	case err != nil:
		c.checkup.Unknown(AskLimit, "Docker Hub did not tell how much may still be pulled", "")
	case !found:
		c.checkup.Passed(AskLimit, "Docker Hub sets this account no limit")
	default:
		c.checkup.Report().RateLimit = &limit
		sentence := "Docker Hub: " + limit.String()
		if limit.Remaining*10 < limit.Limit {
			c.checkup.Warn(AskLimit, "limit_near", sentence, "Use a credential of a paid account, or a pull-through cache.", "")
			return
		}
		c.checkup.Passed(AskLimit, sentence)
	}
}

// probes are images to ask with: the one that is to be tried, or else the
// repositories that patterns name without a wildcard.
func probes(request CheckRequest) []image.Reference {
	if !request.Image.IsZero() {
		return []image.Reference{request.Image}
	}
	var refs []image.Reference
	for _, pattern := range request.Patterns {
		if ref, err := image.ParseReference(pattern.Host() + "/" + pattern.Path()); err == nil {
			refs = append(refs, ref)
		}
	}
	return refs
}

// genericAdvice is what to make at a registry that its host tells, so that the
// secret may only read.
func genericAdvice(host string, repositories []string, _ string) string {
	switch {
	case host == "ghcr.io":
		return "A personal access token (classic) with the scope read:packages and no other."
	case host == "registry.gitlab.com" || strings.Contains(host, "gitlab"):
		return "A deploy token of the project or group with the scope read_registry and no other."
	case host == "quay.io":
		return "A robot account with the permission Read on: " + strings.Join(repositories, ", ")
	default:
		return "An account or robot that may pull and no more (Harbor: Pull repository) on: " + strings.Join(repositories, ", ")
	}
}

func hubAdvice(_ string, _ []string, _ string) string {
	return "A personal access token with the permission Read-only, or an organisation access token with Image pull on the repositories:\nhttps://app.docker.com/settings/personal-access-tokens"
}

func jfrogAdvice(host string, repositories []string, user string) string {
	keys := make([]string, 0, len(repositories))
	for _, name := range repositories {
		key, _, _ := strings.Cut(name, "/")
		if !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	return fmt.Sprintf(`curl -X PUT https://%s/artifactory/api/v2/security/permissions/fairlead-pull \
  -H 'Content-Type: application/json' -H 'Authorization: Bearer ADMIN-TOKEN' \
  -d '{"name":"fairlead-pull","repo":{"repositories":["%s"],"actions":{"users":{"%s":["read"]}}}}'`, host, strings.Join(keys, `","`), user)
}
