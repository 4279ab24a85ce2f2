package grant

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/diagnosis"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/secret"
)

// Catalogue holds every kind of registry credential that there is. It is made
// once for a process and is safe for concurrent use.
type Catalogue struct {
	kinds    []Kind
	byName   map[string]Kind
	exchange exchange
	logger   *slog.Logger
	now      func() time.Time
}

// Config is what the kinds need from outside.
type Config struct {
	Transport *oci.Transport   // required: every call goes through it
	Now       func() time.Time // time.Now if nil
	Logger    *slog.Logger     // one line per exchange at debug level; none if nil

	// Cached says that this server has a pull-through cache, for what checks say of a
	// registry that takes only the secret itself.
	Cached bool

	// IdentityToken is a token of an OpenID Connect provider that says who this
	// server is, for an audience: what keyless credentials are traded for. It is
	// the operator's to give, since what an organisation's admin enters must
	// read no file of the server. For the same reason it is sent by the operator's
	// way alone, whatever proxy, CA and addresses a credential has: an admin could
	// name a machine of their own as the cloud's, and be this server elsewhere.
	// Whoever trusts it trusts every admin of this server: it tells no
	// organisations apart. The error is a fault. It is called concurrently. Nil:
	// the server has no identity, and keyless credentials fail with a sentence
	// that says so.
	IdentityToken func(ctx context.Context, audience string) (secret.Text, error)
}

// NewCatalogue lists the kinds. A further kind is a file of its own and a line
// here.
func NewCatalogue(config Config) *Catalogue {
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	x := exchange{ways: &ways{base: config.Transport}, now: config.Now, cached: config.Cached}
	c := &Catalogue{byName: make(map[string]Kind), exchange: x, logger: config.Logger, now: config.Now}
	c.add(
		generic{x},
		dockerHub{x},
		awsECR{exchange: x, unnarrowed: new(refusals)},
		awsECRRole{x},
		gcp{exchange: x, tokens: new(googleTokens), identity: config.IdentityToken},
		azure{exchange: x, sessions: new(azureSessions), identity: config.IdentityToken},
		jfrog{x},
	)
	return c
}

func (c *Catalogue) add(kinds ...Kind) {
	c.kinds = kinds
	for _, kind := range kinds {
		description := kind.Description()
		for _, name := range append(description.LegacyNames, description.Name) {
			c.byName[name] = kind
		}
	}
}

// Names are the kinds' own names, in the order of a form.
func (c *Catalogue) Names() []string {
	names := make([]string, len(c.kinds))
	for i, kind := range c.kinds {
		names[i] = kind.Description().Name
	}
	return names
}

// Describe tells of every kind, in the order of a form.
func (c *Catalogue) Describe() []Description {
	descriptions := make([]Description, len(c.kinds))
	for i, kind := range c.kinds {
		descriptions[i] = kind.Description()
		descriptions[i].Fields = append(descriptions[i].Fields, reachFields...)
	}
	return descriptions
}

// Kind finds a kind by its own or a legacy name.
func (c *Catalogue) Kind(name string) (Kind, bool) {
	kind, found := c.byName[name]
	return kind, found
}

// legacyDocker is the name under which other clients file both Docker Hub and
// every other registry.
const legacyDocker = "docker"

// Resolve gives a kind's own name for any name of it. What other clients call
// `docker` is docker-hub where all the hosts that the credential is for are
// Docker Hub, and generic otherwise.
func (c *Catalogue) Resolve(name string, hosts ...string) (string, error) {
	if name == legacyDocker && len(hosts) > 0 && !slices.ContainsFunc(hosts, func(host string) bool { return host != image.Hub }) {
		return nameDockerHub, nil
	}
	kind, err := c.kind(name)
	if err != nil {
		return "", err
	}
	return kind.Description().Name, nil
}

// Normalise checks a credential's fields as its kind wants them.
func (c *Catalogue) Normalise(name string, material Material) (normal Material, warnings []string, err error) {
	kind, err := c.kind(name)
	if err != nil {
		return Material{}, nil, err
	}
	return kind.Normalise(material)
}

// Issue trades a credential of that kind for a grant. Every error is a fault.
func (c *Catalogue) Issue(ctx context.Context, name string, request Request) (Grant, error) {
	kind, err := c.kind(name)
	if err != nil {
		return Grant{}, err
	}
	begin := time.Now()
	grant, err := kind.Issue(ctx, request)
	c.log(ctx, kind.Description().Name, request.Image, begin, err)
	if err != nil {
		return Grant{}, err
	}
	grant.Kind = kind.Description().Name
	grant.Reach = reachOf(request.Material)
	return grant, nil
}

// Check asks the registry what a credential of that kind is good for. What
// fails is in the report; the error is for a kind that there is not.
func (c *Catalogue) Check(ctx context.Context, name string, request CheckRequest) (Report, error) {
	kind, err := c.kind(name)
	if err != nil {
		return Report{}, err
	}
	checkup := newCheckup(c.now, request.Tell)
	kind.Check(ctx, request, checkup)
	return checkup.done(), nil
}

// Digest asks a registry for the digest that an image has now, over the way
// that the material's fields say. Every error is a fault.
func (c *Catalogue) Digest(ctx context.Context, ref image.Reference, authorization oci.Authorization, way Material) (string, error) {
	transport, err := c.exchange.ways.of(way)
	if err != nil {
		return "", err
	}
	found, err := oci.NewClient(transport.For(ref.Host())).ResolveManifest(ctx, ref, authorization)
	if err != nil {
		return "", diagnosis.Of(err, diagnosis.Subject{Service: diagnosis.At(ref.Host()), Image: ref})
	}
	return found.Digest.String(), nil
}

// Renew has the registry make a new secret for a credential of that kind, which
// Retire later ends the old one of. Most registries cannot: an Invalid fault.
func (c *Catalogue) Renew(ctx context.Context, name string, material Material) (Material, error) {
	kind, err := c.renewer(name)
	if err != nil {
		return Material{}, err
	}
	return kind.Renew(ctx, material)
}

// Retire ends the old secret after Renew made a fresh one.
func (c *Catalogue) Retire(ctx context.Context, name string, old, fresh Material) error {
	kind, err := c.renewer(name)
	if err != nil {
		return err
	}
	return kind.Retire(ctx, old, fresh)
}

// Renews reports whether the registries of that kind can make a new secret.
func (c *Catalogue) Renews(name string) bool {
	_, err := c.renewer(name)
	return err == nil
}

func (c *Catalogue) renewer(name string) (Renewer, error) {
	kind, err := c.kind(name)
	if err != nil {
		return nil, err
	}
	renewer, can := kind.(Renewer)
	if !can {
		return nil, fault.InvalidField("renew", "renew_unsupported", "a registry of kind %s cannot make a new secret by itself", kind.Description().Name).
			WithHint("Make one at the registry and give it.")
	}
	return renewer, nil
}

// Anonymous gets a grant without a credential, for an image that everybody may
// pull. The registry is a stranger then: no private address is reached for it.
// Every error is a fault; one of code credential_required means that the image
// is not for everybody, or does not exist.
func (c *Catalogue) Anonymous(ctx context.Context, ref image.Reference) (Grant, error) {
	begin := time.Now()
	grant, err := c.exchange.anonymous(ctx, ref)
	c.log(ctx, "anonymous", ref, begin, err)
	return grant, err
}

func (c *Catalogue) kind(name string) (Kind, error) {
	kind, found := c.Kind(name)
	if !found {
		return nil, fault.InvalidField("kind", "kind_unknown", "%q is no kind of registry credential", name).
			WithHint("Use one of %q.", c.Names())
	}
	return kind, nil
}

func (c *Catalogue) log(ctx context.Context, kind string, ref image.Reference, begin time.Time, err error) {
	attributes := []slog.Attr{
		slog.String("kind", kind),
		slog.String("image", ref.String()),
		slog.Duration("took", time.Since(begin)),
	}
	if err != nil {
		attributes = append(attributes, slog.String("code", fault.From(err).Code), slog.String("error", err.Error()))
	}
	c.logger.LogAttrs(ctx, slog.LevelDebug, "exchanged a credential for a pull grant", attributes...)
}
