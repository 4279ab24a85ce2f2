package grant

import (
	"context"
	"crypto/rand"
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
// specification, asked as somebody with a name and a secret. It changes nothing
// there.
type loginCheck struct {
	exchange exchange
	kind     Kind
	request  CheckRequest
	who      login
	checkup  *Checkup

	// strict tells that the token service is known to refuse a wrong secret
	// whatever it is asked for. Some give everybody a token, and look at who
	// asks only once that is to be used.
	strict bool

	// lists are further places of a registry's list of repositories, where
	// oci.CataloguePath has none; nil: there are none.
	lists func(*registryCheck) []elsewhere

	// ends reads when a secret ends that says so itself in a way of its own; nil:
	// only a JWT does.
	ends func(secret.Text) (time.Time, bool)

	// advice is what to make at the registry so that the secret may only read,
	// ready to paste.
	advice func(*registryCheck, []string) string
}

// Bounds of a check.
const (
	requestsMost   = 30 // to one registry and its token service
	requestsRights = 5  // of them, for the rights to one repository
	requestsImage  = 6  // of them, for the limit and the image
	confirmMost    = 10 // repositories that are confirmed to be readable
	endSoon        = 30 * 24 * time.Hour
)

func (c loginCheck) run(ctx context.Context) {
	hosts := literalHosts(c.request)
	if len(hosts) == 0 {
		c.checkup.Unknown(AskSecret, "No pattern names a registry in full, so there is none to ask",
			"Check it with an image: `fairlead registry check NAME --image IMAGE`.")
		c.expiry()
		return
	}
	transport, err := c.exchange.ways.of(c.request.Material)
	if err != nil {
		c.checkup.Failed(AskSecret, err)
		return
	}
	c.checkup.Report().Identity = c.who.user
	asked := make([]*registryCheck, len(hosts))
	for i, host := range hosts {
		route := transport.For(host)
		asked[i] = &registryCheck{
			loginCheck: c, host: host, route: route, client: oci.NewClient(route),
			literal: literalAt(host, c.request), left: requestsMost,
		}
		asked[i].run(ctx)
	}
	slices.Sort(c.checkup.Report().Repositories)
	c.expiry()
	for _, r := range asked {
		if r.host == image.Hub && !r.refused {
			r.limit(ctx)
		}
	}
	if at := slices.IndexFunc(asked, func(r *registryCheck) bool { return r.host == c.request.Image.Host() }); at >= 0 && !asked[at].refused {
		checkImage(ctx, c.kind, c.request, c.exchange, c.checkup)
	}
}

// expiry reads the secret's own end, where it is a JWT.
func (c loginCheck) expiry() {
	const again = "Make a new one at the registry and give it with `fairlead registry rotate NAME`."
	ends, says := oci.EndOf(c.who.secret)
	if !says && c.ends != nil {
		ends, says = c.ends(c.who.secret)
	}
	if !says {
		c.checkup.Unknown(AskExpiry, "The registry does not tell when the secret ends", "Give the day (--expires), to be warned before it.")
		return
	}
	c.checkup.Report().ExpiresAt = ends
	switch left := ends.Sub(c.exchange.now()); {
	case left <= 0:
		c.checkup.Failed(AskExpiry, fault.New(fault.Unauthenticated, "secret_expired", "The secret ended %s", ends.Format(time.DateOnly)).WithHint(again))
	case left < endSoon:
		c.checkup.Warn(AskExpiry, "expires_soon", "The secret ends "+ends.Format(time.DateOnly), again, "")
	default:
		c.checkup.Passed(AskExpiry, "The secret ends "+ends.Format(time.DateOnly))
	}
}

// registryCheck asks one registry.
type registryCheck struct {
	loginCheck
	host    string
	route   *oci.Route
	client  *oci.Client
	literal []string // repositories that are known by name

	challenge oci.Challenge
	refused   bool // the secret, or there is nobody to ask
	left      int  // requests that may still be made
}

func (r *registryCheck) run(ctx context.Context) {
	challenges, err := r.challenges(ctx)
	switch {
	case err != nil:
		r.refused = true
		r.checkup.Failed(AskSecret, r.fault(err, diagnosis.At(r.host)))
		return
	case len(challenges) == 0:
		r.checkup.Unknown(AskSecret, r.host+" asks nobody who they are, so the secret could not be tried", "Check it with an image that is not for everybody: `fairlead registry check NAME --image IMAGE`.")
		return
	}
	r.challenge = challenges[0]
	if err := r.login(ctx); err != nil {
		r.refused = true
		r.checkup.Failed(AskSecret, err)
		return
	}
	r.narrow()
	readable := r.repositories(ctx)
	r.rights(ctx, readable)
}

// challenges asks the registry how it wants to be asked, as a pull does.
func (r *registryCheck) challenges(ctx context.Context) ([]oci.Challenge, error) {
	r.left--
	challenges, err := r.client.Ping(ctx, oci.Anonymous)
	if err != nil || len(challenges) > 0 || len(r.literal) == 0 {
		return challenges, err
	}
	r.left--
	_, err = r.client.Tags(ctx, r.literal[0], 1, oci.Anonymous)
	return challengeIn(err), nil
}

func (r *registryCheck) fault(err error, service diagnosis.Service) *fault.Error {
	return diagnosis.Of(err, diagnosis.Subject{Service: service, Image: r.request.Image, User: r.who.user})
}

// login asks whether the secret is accepted, and tells so; what refuses it is
// returned.
func (r *registryCheck) login(ctx context.Context) error {
	accepted := fmt.Sprintf("%s accepts user %q with this secret", r.host, r.who.user)
	if r.challenge.Scheme != oci.SchemeBearer {
		r.left--
		challenges, err := r.client.Ping(ctx, oci.Basic(r.who.user, r.who.secret))
		switch {
		case err != nil:
			return r.fault(err, r.who.subject(r.request.Image).Service)
		case len(challenges) > 0:
			return diagnosis.SecretRefused(r.host, r.request.Image, r.who.user)
		}
		r.checkup.Passed(AskSecret, accepted)
		return nil
	}
	if err := r.firstToken(ctx); err != nil {
		return r.fault(err, r.who.subject(r.request.Image).Service)
	}
	if r.strict || r.refusesStrangers(ctx) {
		r.checkup.Passed(AskSecret, accepted)
		return nil
	}
	if name, shown := r.shownBy(ctx); shown {
		r.checkup.Passed(AskSecret, accepted+", and gives "+name+" to it and not to everybody")
		return nil
	}
	r.checkup.Unknown(AskSecret, r.host+" gives everybody a token, so that the secret could not be tried",
		"Check it with an image that is not for everybody: `fairlead registry check NAME --image IMAGE`.")
	return nil
}

// firstToken asks for no right, as `docker login` does, and where the service
// finds fault with that, for one.
func (r *registryCheck) firstToken(ctx context.Context) error {
	_, err := r.token(ctx, r.who)
	answer, ok := errors.AsType[*oci.Error](err)
	if !ok || answer.Status != http.StatusBadRequest || answer.Has("invalid_grant") || answer.Has("invalid_client") {
		return err
	}
	scope := oci.CatalogueScope
	if len(r.literal) > 0 {
		scope = oci.PullScope(r.literal[0])
	}
	_, err = r.token(ctx, r.who, scope)
	return err
}

// refusesStrangers tries somebody whom nobody knows, so that no account is
// locked for a wrong secret.
func (r *registryCheck) refusesStrangers(ctx context.Context) bool {
	_, err := r.token(ctx, stranger())
	return err != nil
}

// stranger is a user that no registry has.
func stranger() login {
	return login{user: "fairlead-check-" + strings.ToLower(rand.Text()[:8]), secret: secret.New(rand.Text())}
}

// shownBy finds a repository that the credential reads and a stranger does not.
func (r *registryCheck) shownBy(ctx context.Context) (name string, shown bool) {
	for _, name := range r.literal[:min(len(r.literal), 1)] {
		if r.read(ctx, name, r.who) == nil && r.read(ctx, name, stranger()) != nil {
			return name, true
		}
	}
	return "", false
}

// token asks the token service.
func (r *registryCheck) token(ctx context.Context, who login, scopes ...string) (oci.Token, error) {
	r.left--
	if scopes == nil {
		scopes = []string{}
	}
	return r.route.FetchToken(ctx, oci.TokenRequest{Challenge: r.challenge, User: who.user, Password: who.secret, Scopes: scopes})
}

// authorize is what to show the registry for a right, and what the token says
// that it gives, where there is one that can be read.
func (r *registryCheck) authorize(ctx context.Context, who login, scope string) (oci.Authorization, oci.Token, error) {
	if r.challenge.Scheme != oci.SchemeBearer {
		return oci.Basic(who.user, who.secret), oci.Token{}, nil
	}
	token, err := r.token(ctx, who, scope)
	return oci.Bearer(token.Value), token, err
}

// read asks whether somebody can read a repository: by what the token says, and
// by its list of tags. The error is the fault of a pull.
func (r *registryCheck) read(ctx context.Context, name string, who login) error {
	ref, err := image.ParseReference(r.host + "/" + name)
	if err != nil {
		return err
	}
	authorization, token, err := r.authorize(ctx, who, oci.PullScope(name))
	if err != nil {
		return diagnosis.Of(err, who.subject(ref))
	}
	if !token.Grants(name) {
		return diagnosis.NoPullRight(ref, who.user)
	}
	r.left--
	_, err = r.client.Tags(ctx, name, 1, authorization)
	if answer, ok := errors.AsType[*oci.Error](err); ok && token.SaysAccess && !answer.Temporary() && !answer.Has(oci.CodeNameUnknown) {
		return nil // it lists no tags to those who may pull
	}
	if err != nil {
		return diagnosis.Of(err, diagnosis.Subject{Service: diagnosis.At(r.host), Image: ref, User: who.user})
	}
	return nil
}

// narrow tells what a worker gets.
func (r *registryCheck) narrow() {
	switch {
	case r.challenge.Scheme == oci.SchemeBearer:
		r.checkup.Passed(AskNarrow, "Each grant is asked for one repository, and for pulling alone")
	case r.who.basicOnWorker:
		r.checkup.Warn(AskNarrow, "not_narrow", r.host+" has no token service, so that each worker that pulls gets the password itself", "Put a token service in front of the registry, or give an account that may read and no more.", "")
	case r.exchange.cached:
		r.checkup.Passed(AskNarrow, r.host+" has no token service, so workers pull through this server's cache: they get nothing to show to the registry, and the password stays here")
	default:
		r.checkup.Warn(AskNarrow, "basic_only", r.host+" has no token service and takes only the password itself, which is not handed to a worker: pulls will be refused", r.who.basicHint, "")
	}
}
