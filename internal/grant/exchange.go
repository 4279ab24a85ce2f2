package grant

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"time"

	"fairlead.dev/fairlead/internal/diagnosis"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/secret"
)

// exchange is the distribution specification's own way from a user name and a
// secret to a token, which most kinds share.
// https://distribution.github.io/distribution/spec/auth/token/
type exchange struct {
	ways   *ways
	now    func() time.Time
	cached bool // workers can pull through the server's cache
}

// login is who asks a registry.
type login struct {
	user   string
	secret secret.Text

	// basicOnWorker allows the secret itself to be the grant where the
	// registry takes nothing else.
	basicOnWorker bool

	// basicHint is the next step where that is not allowed.
	basicHint string

	// service is the token service that is asked, if it is one with words of its
	// own, and shown whom its refusals speak of, if that is not user.
	service diagnosis.Service
	shown   string
}

// subject is what a diagnosis is told.
func (w login) subject(ref image.Reference) diagnosis.Subject {
	return diagnosis.Subject{Service: cmp.Or(w.service, diagnosis.TokenService), Image: ref, User: cmp.Or(w.shown, w.user)}
}

// untraded is how long a grant holds that no token service gave out an end
// for: a while, after which the registry is asked again.
const untraded = 5 * time.Minute

// issue gets a grant for a login.
func (x exchange) issue(ctx context.Context, request Request, who login) (Grant, error) {
	who.basicOnWorker = who.basicOnWorker || request.Kept // no worker sees it
	begin := x.now()
	ref := request.Image
	transport, err := x.ways.of(request.Material)
	if err != nil {
		return Grant{}, err
	}
	route := transport.For(ref.Host())
	challenges, err := x.challenges(ctx, route, ref)
	if err != nil {
		return Grant{}, diagnosis.Of(err, diagnosis.Subject{Service: diagnosis.Registry, Image: ref})
	}
	if len(challenges) == 0 {
		return newGrant(ref, oci.Anonymous, begin, untraded), nil
	}
	switch challenges[0].Scheme {
	case oci.SchemeBearer:
		token, err := route.FetchToken(ctx, oci.TokenRequest{
			Challenge: challenges[0], Repository: ref.Repository(), User: who.user, Password: who.secret,
		})
		if err != nil {
			return Grant{}, diagnosis.Of(err, who.subject(ref))
		}
		return tokenGrant(ref, token, begin, diagnosis.NoPullRight(ref, cmp.Or(who.shown, who.user)))
	default:
		return x.basic(ctx, route, ref, who, begin)
	}
}

// anonymous gets a grant for nobody.
func (x exchange) anonymous(ctx context.Context, ref image.Reference) (Grant, error) {
	begin := x.now()
	route := x.ways.base.ForStranger(ref.Host())
	challenges, err := x.challenges(ctx, route, ref)
	if err != nil {
		return Grant{}, diagnosis.Of(err, diagnosis.Subject{Service: diagnosis.Registry, Image: ref})
	}
	if len(challenges) == 0 {
		return newGrant(ref, oci.Anonymous, begin, untraded), nil
	}
	if challenges[0].Scheme != oci.SchemeBearer {
		return Grant{}, diagnosis.CredentialRequired(ref)
	}
	token, err := route.FetchToken(ctx, oci.TokenRequest{Challenge: challenges[0], Repository: ref.Repository()})
	if err != nil {
		return Grant{}, diagnosis.OfAnonymous(err, ref)
	}
	return tokenGrant(ref, token, begin, diagnosis.CredentialRequired(ref))
}

// challenges asks the registry how it wants to be asked. Some answer 200 at
// the root of their API and challenge on the image; none at all means that the
// registry gives the image to everybody.
func (x exchange) challenges(ctx context.Context, route *oci.Route, ref image.Reference) ([]oci.Challenge, error) {
	client := oci.NewClient(route)
	challenges, err := client.Ping(ctx, oci.Anonymous)
	if err != nil || len(challenges) > 0 {
		return challenges, err
	}
	_, err = client.ResolveManifest(ctx, ref, oci.Anonymous)
	if refused := challengeIn(err); len(refused) > 0 {
		return refused, nil
	}
	return nil, err
}

// basic is for a registry that has no token service: the secret itself is the
// only thing that it takes.
func (x exchange) basic(ctx context.Context, route *oci.Route, ref image.Reference, who login, begin time.Time) (Grant, error) {
	if !who.basicOnWorker {
		return Grant{}, diagnosis.BasicOnly(ref, who.basicHint)
	}
	authorization := oci.Basic(who.user, who.secret)
	challenges, err := oci.NewClient(route).Ping(ctx, authorization)
	if err != nil {
		return Grant{}, diagnosis.Of(err, who.subject(ref))
	}
	if len(challenges) > 0 {
		return Grant{}, diagnosis.SecretRefused(ref.APIHost(), ref, who.user)
	}
	return newGrant(ref, authorization, begin, untraded), nil
}

// tokenGrant makes a grant of a token, or gives refused where the token says
// that it grants nothing here.
func tokenGrant(ref image.Reference, token oci.Token, begin time.Time, refused error) (Grant, error) {
	if !token.Grants(ref.Repository()) {
		return Grant{}, refused
	}
	grant := newGrant(ref, oci.Bearer(token.Value), begin, token.Lifetime)
	grant.Narrow = token.OnlyPulls(ref.Repository())
	return grant, nil
}

// newGrant fills in the times. A grant is refreshed after three quarters of
// its life, so that a registry that is down for a moment is not felt.
func newGrant(ref image.Reference, authorization oci.Authorization, begin time.Time, lifetime time.Duration) Grant {
	return Grant{
		Host:          ref.Host(),
		Repository:    ref.Repository(),
		Authorization: authorization,
		IssuedAt:      begin,
		ExpiresAt:     begin.Add(lifetime),
		RefreshAt:     begin.Add(lifetime * 3 / 4),
	}
}

// challengeIn is the challenge that a registry's refusal holds.
func challengeIn(err error) []oci.Challenge {
	if answer, ok := errors.AsType[*oci.Error](err); ok && answer.Status == http.StatusUnauthorized {
		return answer.Challenges
	}
	return nil
}
