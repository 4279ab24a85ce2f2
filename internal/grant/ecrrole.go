package grant

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"
	"golang.org/x/sync/singleflight"

	"fairlead.dev/fairlead/internal/diagnosis"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/oci"
)

// awsECRRole is AWS ECR with a role that the worker itself has. The server never
// sees a secret of it.
type awsECRRole struct{ exchange exchange }

const (
	nameAWSECRRole = "aws-ecr-role"
	fieldRoleName  = "role_name"
)

func (awsECRRole) Description() Description {
	return Description{
		Name:  nameAWSECRRole,
		Title: "AWS ECR, the worker's role",
		Help:  "The role that the worker's machine or pod has; no secret is kept.",
		Fields: []Field{
			{
				Name: fieldRegion, Title: "Region",
				Help:    "The registry's region. It need not be given: the image's host name tells it.",
				Example: "us-east-1",
			},
			{
				Name: fieldRoleName, Title: "Role name",
				Help:    "The role to pull with. A worker that has another one assumes it, limited to the one repository. Empty: whichever the worker has.",
				Example: "fairlead-pull",
			},
		},
		Patterns: []string{"123456789012.dkr.ecr.us-east-1.amazonaws.com/*"},
	}
}

func (r awsECRRole) Normalise(in Material) (Material, []string, error) {
	out, err := normalise(r.Description(), in)
	if err != nil {
		return Material{}, nil, err
	}
	var errs []error
	if region := out.Config[fieldRegion]; region != "" && !regionShape.MatchString(region) {
		errs = append(errs, fault.InvalidField(fieldRegion, "region_unknown", "%q is no region", region).WithHint("Write it as us-east-1, or leave it empty."))
	}
	if name := out.Config[fieldRoleName]; name != "" && !roleNameShape.MatchString(name) {
		errs = append(errs, fault.InvalidField(fieldRoleName, "role_name", "%q is no role's name", name).WithHint("Write the name alone, without arn:…:role/."))
	}
	return out, nil, fault.Join(errs...)
}

// roleLife is how long a worker goes by what the server told of a role, before
// it asks whether that is still so.
const roleLife = 10 * time.Minute

func (r awsECRRole) Issue(_ context.Context, request Request) (Grant, error) {
	if _, err := ecrHostOf(request.Image, request.Material, nameAWSECRRole); err != nil {
		return Grant{}, err
	}
	grant := newGrant(request.Image, oci.Anonymous, r.exchange.now(), roleLife)
	grant.Role = &Role{Kind: nameAWSECRRole, Region: request.Material.Config[fieldRegion], Name: request.Material.Config[fieldRoleName]}
	return grant, nil
}

// Check can ask nobody: the role is the worker's.
func (awsECRRole) Check(_ context.Context, request CheckRequest, checkup *Checkup) {
	if len(ecrHosts(request)) == 0 {
		checkup.Warn(AskSecret, "no_ecr_host", "No pattern names an ECR registry in full, so nothing may be covered",
			"ECR's hosts are written as 123456789012.dkr.ecr.us-east-1.amazonaws.com.", "")
		return
	}
	var documents []string
	for _, host := range ecrHosts(request) {
		h, _ := parseECRHost(host)
		if err := checkRegion(h, host, request.Material); err != nil {
			checkup.Failed(AskSecret, err)
			return
		}
		documents = append(documents, leastForRole(host, request.Patterns))
	}
	checkup.Step(Step{
		Question: AskSecret, Result: Unknown,
		Sentence: "There is no secret to check: each worker pulls with a role of its own, and its first pull tells",
		Hint:     "Give the worker's role this policy, and no more.",
		Policy:   strings.Join(documents, "\n"),
	})
}

// RoleIssuer gets grants with a role that this machine has of its own: of the
// environment, a web identity, a container or an EC2 instance, in the order of
// the AWS SDK's default chain. It belongs to a worker. Make it with
// NewRoleIssuer; safe for concurrent use.
type RoleIssuer struct {
	transport *oci.Transport
	now       func() time.Time

	flights singleflight.Group

	mu     sync.Mutex
	chains map[string]aws.CredentialsProvider // by region
	grants map[roleKey]Grant
}

type roleKey struct{ host, region, role, repository string }

// RoleConfig is what a RoleIssuer needs from outside.
type RoleConfig struct {
	Transport *oci.Transport   // required: for ECR and STS
	Now       func() time.Time // time.Now if nil
}

// NewRoleIssuer opens no connection.
func NewRoleIssuer(config RoleConfig) *RoleIssuer {
	if config.Now == nil {
		config.Now = time.Now
	}
	return &RoleIssuer{
		transport: config.Transport, now: config.Now,
		chains: make(map[string]aws.CredentialsProvider), grants: make(map[roleKey]Grant),
	}
}

// Issue gets a grant for an image, or gives the one that it got before while
// that is fresh. Every error is a fault; one of code worker_role_missing says
// that this machine has no role.
func (i *RoleIssuer) Issue(ctx context.Context, role Role, ref image.Reference) (Grant, error) {
	h, ok := parseECRHost(ref.Host())
	if !ok {
		return Grant{}, notECR(ref, nameAWSECRRole)
	}
	key := roleKey{host: ref.Host(), region: h.region, role: role.Name}
	if role.Name != "" || h.public {
		key.repository = ref.Repository() // where it is assumed, it is narrowed
	}
	i.mu.Lock()
	known, found := i.grants[key]
	i.mu.Unlock()
	if found && i.now().Before(known.RefreshAt) {
		known.Repository = ref.Repository()
		return known, nil
	}
	// The flight is everybody's who waits for it: it does not end with the one
	// who happened to begin it, and nobody has to wait for its end.
	flight := i.flights.DoChan(key.host+" "+key.role+" "+key.repository, func() (any, error) {
		grant, err := i.issue(context.WithoutCancel(ctx), h, role, ref)
		if err == nil {
			i.keep(key, grant)
		}
		return grant, err
	})
	var result singleflight.Result
	select {
	case result = <-flight:
	case <-ctx.Done():
		return Grant{}, diagnosis.Of(ctx.Err(), diagnosis.Subject{Service: diagnosis.AWS, Image: ref})
	}
	if result.Err != nil {
		return Grant{}, result.Err
	}
	grant := result.Val.(Grant) //nolint:forcetypeassert // the flight returns nothing else
	grant.Repository = ref.Repository()
	return grant, nil
}

// grantsMost is how many grants a worker keeps.
const grantsMost = 1000

func (i *RoleIssuer) keep(key roleKey, grant Grant) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.grants) >= grantsMost {
		clear(i.grants)
	}
	i.grants[key] = grant
}

// roleExchangeMost bounds one exchange, with the SDK's retries.
const roleExchangeMost = 45 * time.Second

func (i *RoleIssuer) issue(ctx context.Context, h ecrHost, role Role, ref image.Reference) (Grant, error) {
	ctx, cancel := context.WithTimeout(ctx, roleExchangeMost)
	defer cancel()
	begin := i.now()
	chain, err := i.chain(ctx, h)
	if err != nil {
		return Grant{}, err
	}
	a, err := newAmazon(ctx, i.transport, h, "", "", chain)
	if err != nil {
		return Grant{}, err
	}
	if _, err := chain.Retrieve(ctx); err != nil {
		return Grant{}, roleMissing(ctx, a, ref, err)
	}
	ends, narrow := time.Time{}, false
	if role.Name != "" {
		if a, ends, narrow, err = i.become(ctx, a, role.Name, ref); err != nil {
			return Grant{}, err
		}
	}
	who := cmp.Or(role.Name, "this worker's role")
	if h.public {
		x := exchange{ways: &ways{base: i.transport}, now: i.now}
		grant, err := x.issueECRPublic(ctx, a, Request{Image: ref}, who)
		grant.Kind = nameAWSECRRole
		return grant, err
	}
	password, expires, err := a.registryToken(ctx)
	if err != nil {
		return Grant{}, a.fault(err, ref, who)
	}
	if !ends.IsZero() && ends.Before(expires) {
		expires = ends
	}
	grant := newGrant(ref, oci.Basic(ecrUser, password), begin, expires.Sub(begin))
	grant.Narrow, grant.Kind = narrow, nameAWSECRRole
	return grant, nil
}

// become is the way as the role of that name: the worker's own, or one that it
// assumes.
func (i *RoleIssuer) become(ctx context.Context, a *amazon, name string, ref image.Reference) (*amazon, time.Time, bool, error) {
	who, err := a.sts().GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return nil, time.Time{}, false, a.fault(err, ref, "this worker's role")
	}
	arn := aws.ToString(who.Arn)
	if strings.Contains(arn, ":assumed-role/"+name+"/") {
		return a, time.Time{}, false, nil
	}
	role := "arn:" + partition(a.host.region) + ":iam::" + aws.ToString(who.Account) + ":role/" + name
	session, ends, narrow, err := assume(ctx, a, role, "", pullPolicy(a.host, ref.Repository()))
	if isAWSCode(err, "AccessDenied") {
		return nil, time.Time{}, false, fault.New(fault.Denied, "worker_role_other",
			"this worker is %s and may not become the role %s that the credential names", arn, name).
			WithHint("Run the worker on a machine with that role, or let the role's trust policy allow this one, or clear the credential's %s.", fieldRoleName).
			WithCause(a.answer(err))
	}
	if err != nil {
		return nil, time.Time{}, false, a.fault(err, ref, arn)
	}
	return session, ends, narrow, nil
}

// chain is the SDK's default chain, which caches what it finds until shortly
// before it ends.
func (i *RoleIssuer) chain(ctx context.Context, h ecrHost) (aws.CredentialsProvider, error) {
	i.mu.Lock()
	known, found := i.chains[h.region]
	i.mu.Unlock()
	if found {
		return known, nil
	}
	hosts, err := awsHosts(ctx, h, nil, nil)
	if err != nil {
		return nil, fault.InvalidField("region", "region_unknown", "AWS has no region %q", h.region).WithCause(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	config, err := loadChain(ctx,
		awsconfig.WithRegion(h.region),
		awsconfig.WithLogger(logging.Nop{}),
		awsconfig.WithHTTPClient(&http.Client{
			Transport:     machineTransport{machine: machineHosts(), direct: directTransport(), others: i.transport.Services(hosts...)},
			CheckRedirect: noRedirects,
		}),
	)
	if err != nil {
		return nil, fault.New(fault.Unauthenticated, "worker_role_missing", "this worker's AWS settings cannot be read").
			WithHint("Check the AWS_* variables and the files ~/.aws/config and ~/.aws/credentials of the worker.").WithCause(err)
	}
	i.chains[h.region] = config.Credentials
	return config.Credentials, nil
}

// caBundle names a file of certificates to the SDK, which then takes no HTTP
// client but its own. Which certificates are trusted is a setting of the worker.
const caBundle = "AWS_CA_BUNDLE"

// loadChain is the SDK's default chain, whatever caBundle says. It is called by
// one goroutine at a time.
func loadChain(ctx context.Context, options ...func(*awsconfig.LoadOptions) error) (aws.Config, error) {
	if file, set := os.LookupEnv(caBundle); set {
		if err := os.Unsetenv(caBundle); err != nil {
			return aws.Config{}, err
		}
		defer func() { _ = os.Setenv(caBundle, file) }() // it was set before
	}
	return awsconfig.LoadDefaultConfig(ctx, options...)
}

// roleMissing is the fault of a machine that has no role, or whose role's keys
// AWS refuses to renew.
func roleMissing(ctx context.Context, a *amazon, ref image.Reference, err error) error {
	if answer := a.answer(err); answer != err { //nolint:errorlint // the same value, where AWS said nothing
		return a.fault(err, ref, "this worker's role")
	}
	if ctx.Err() != nil {
		return fault.New(fault.Unavailable, "worker_role_missing", "this worker's role did not answer in time").WithCause(oci.RedactError(err))
	}
	return fault.New(fault.Unauthenticated, "worker_role_missing",
		"this worker has no AWS role of its own to pull %s with: its environment, its pod and its machine's metadata service gave none", ref).
		WithHint("Give the machine an instance profile (and run the worker on the machine itself: from a container the metadata service is one hop too far), or the pod a role, or use a credential of kind %s.", nameAWSECR).
		WithCause(oci.RedactError(err))
}

// machineTransport reaches the services of the machine itself, which alone may
// be link-local or on loopback, directly, and all else by the rules.
type machineTransport struct {
	machine []string
	direct  http.RoundTripper
	others  http.RoundTripper
}

// RoundTrip sends the request one way or the other.
func (t machineTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	if slices.Contains(t.machine, request.URL.Host) {
		if strings.HasPrefix(request.URL.Path, "/latest/meta-data/") && request.Header.Get("X-Aws-Ec2-Metadata-Token") == "" {
			return nil, errIMDSv1
		}
		return t.direct.RoundTrip(request)
	}
	return t.others.RoundTrip(request)
}

// errIMDSv1: what the SDK falls back to is answered to whoever can make this
// machine send a request.
var errIMDSv1 = errors.New("the metadata service's first version is not asked")

// machineHosts are the metadata services of EC2, ECS and EKS, and what the
// machine's own environment names in their place.
// https://docs.aws.amazon.com/sdkref/latest/guide/feature-imds-credentials.html
// https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
func machineHosts() []string {
	hosts := []string{"169.254.169.254", "[fd00:ec2::254]", "169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"}
	for _, name := range []string{"AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_CONTAINER_CREDENTIALS_FULL_URI"} {
		if u, err := url.Parse(os.Getenv(name)); err == nil && u.Host != "" {
			hosts = append(hosts, u.Host)
		}
	}
	return hosts
}

// directTransport goes through no proxy: what it reaches is this machine.
func directTransport() http.RoundTripper {
	base, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		panic(errors.New("net/http's default transport is another's"))
	}
	direct := base.Clone()
	direct.Proxy = nil
	return direct
}
