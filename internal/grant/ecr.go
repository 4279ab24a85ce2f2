package grant

import (
	"context"
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecrpublic"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	ststypes "github.com/aws/aws-sdk-go-v2/service/sts/types"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/secret"
)

// awsECR is AWS ECR with an IAM user's access key, by itself or for a role that
// it assumes.
// https://docs.aws.amazon.com/AmazonECR/latest/userguide/registry_auth.html
type awsECR struct {
	exchange exchange

	// unnarrowed remembers whom STS refused a narrowed session.
	unnarrowed *refusals
}

const (
	nameAWSECR           = "aws-ecr"
	fieldAccessKeyID     = "access_key_id"
	fieldSecretAccessKey = "secret_access_key"
	fieldSessionToken    = "session_token"
	fieldRegion          = "region"
	fieldRoleARN         = "role_arn"
	fieldExternalID      = "external_id"
	fieldSTSEndpoint     = "sts_endpoint"
	fieldECREndpoint     = "ecr_endpoint"
)

func (awsECR) Description() Description {
	return Description{
		Name:  nameAWSECR,
		Title: "AWS ECR, access key",
		Help:  "An access key of an IAM user, who may pull or assume a role that may.",
		Fields: []Field{
			{
				Name: fieldAccessKeyID, Title: "Access key ID", Required: true,
				Help:    "The key's name, 20 characters; it is no secret.",
				Example: "AKIAIOSFODNN7EXAMPLE",
			},
			{
				Name: fieldSecretAccessKey, Title: "Secret access key", Secret: true, Required: true,
				Help: "The key's secret, 40 characters, which AWS shows once.",
			},
			{
				Name: fieldSessionToken, Title: "Session token", Secret: true, Advanced: true,
				Help: "Only for a temporary key, whose ID begins with ASIA: it ends within hours.",
			},
			{
				Name: fieldRegion, Title: "Region",
				Help:    "The registry's region. It need not be given: the image's host name tells it.",
				Example: "us-east-1",
			},
			{
				Name: fieldRoleARN, Title: "Role to assume",
				Help:    "A role that the user assumes to pull, in the same account or another.",
				Example: "arn:aws:iam::123456789012:role/fairlead-pull",
			},
			{
				Name: fieldExternalID, Title: "External ID",
				Help: "What the role's trust policy wants besides, where it does.",
			},
			{
				Name: fieldECREndpoint, Title: "ECR endpoint", Advanced: true,
				Help:    "The address of ECR's API, where it is an endpoint of your own network without private DNS.",
				Example: "https://vpce-0123-abcd.api.ecr.us-east-1.vpce.amazonaws.com",
			},
			{
				Name: fieldSTSEndpoint, Title: "STS endpoint", Advanced: true,
				Help: "The same for STS.",
			},
		},
		Patterns: []string{"123456789012.dkr.ecr.us-east-1.amazonaws.com/*"},
	}
}

var (
	accessKeyShape = regexp.MustCompile(`^A[KS]IA[A-Z0-9]{12,124}$`)
	regionShape    = regexp.MustCompile(`^[a-z]{2,5}(-[a-z]+)+-\d{1,2}$`)
	roleARNShape   = regexp.MustCompile(`^arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]{1,512}$`)
	roleNameShape  = regexp.MustCompile(`^[\w+=,.@-]{1,64}$`)
)

func (e awsECR) Normalise(in Material) (Material, []string, error) {
	out, err := normalise(e.Description(), in)
	if err != nil {
		return Material{}, nil, err
	}
	var errs []error
	var warnings []string
	id := out.Config[fieldAccessKeyID]
	temporary := strings.HasPrefix(id, "ASIA")
	switch {
	case !accessKeyShape.MatchString(id):
		errs = append(errs, fault.InvalidField(fieldAccessKeyID, "access_key_id", "is no access key's ID: those begin with AKIA or ASIA, in capitals and digits").
			WithHint("Copy it from IAM, Users, Security credentials."))
	case temporary && out.Secrets[fieldSessionToken].IsEmpty():
		errs = append(errs, fault.InvalidField(fieldSessionToken, "session_token_missing", "is needed for the temporary key %s", id).
			WithHint("Better make a lasting key (AKIA…) of an IAM user who may only pull."))
	case temporary:
		warnings = append(warnings, "This is a temporary key, which ends within hours: make a lasting one of an IAM user who may only pull, or use kind "+nameAWSECRRole+".")
	case !out.Secrets[fieldSessionToken].IsEmpty():
		errs = append(errs, fault.InvalidField(fieldSessionToken, "session_token_needless", "is not for a lasting key (AKIA…)").WithHint("Leave it empty."))
	}
	if region := out.Config[fieldRegion]; region != "" && !regionShape.MatchString(region) {
		errs = append(errs, fault.InvalidField(fieldRegion, "region_unknown", "%q is no region", region).WithHint("Write it as us-east-1, or leave it empty."))
	}
	if role := out.Config[fieldRoleARN]; role != "" && !roleARNShape.MatchString(role) {
		errs = append(errs, fault.InvalidField(fieldRoleARN, "role_arn", "%q is no role's ARN", role).WithHint("Write it as arn:aws:iam::123456789012:role/NAME."))
	}
	if out.Config[fieldExternalID] != "" && out.Config[fieldRoleARN] == "" {
		errs = append(errs, fault.InvalidField(fieldExternalID, "external_id_alone", "is of no use without a role to assume"))
	}
	for _, name := range []string{fieldECREndpoint, fieldSTSEndpoint} {
		errs = append(errs, checkEndpoint(out.Config[name], name))
	}
	return out, warnings, fault.Join(errs...)
}

// checkEndpoint checks the address of an API that an admin entered.
func checkEndpoint(text, field string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" {
		return fault.InvalidField(field, "endpoint_address", "is no https address of a host").WithHint("Write it as https://HOST.")
	}
	return nil
}

// way is the way to AWS's APIs for a registry.
func (e awsECR) way(ctx context.Context, m Material, h ecrHost) (*amazon, error) {
	transport, err := e.exchange.ways.of(m)
	if err != nil {
		return nil, err
	}
	key, token := m.Secrets[fieldSecretAccessKey], m.Secrets[fieldSessionToken]
	return newAmazon(ctx, transport, h, m.Config[fieldECREndpoint], m.Config[fieldSTSEndpoint],
		credentials.NewStaticCredentialsProvider(m.Config[fieldAccessKeyID], key.Reveal(), token.Reveal()), key, token)
}

func (e awsECR) Issue(ctx context.Context, request Request) (Grant, error) {
	h, err := ecrHostOf(request.Image, request.Material, nameAWSECR)
	if err != nil {
		return Grant{}, err
	}
	a, err := e.way(ctx, request.Material, h)
	if err != nil {
		return Grant{}, err
	}
	user := request.Material.Config[fieldAccessKeyID]
	begin := e.exchange.now()
	if h.public {
		return e.exchange.issueECRPublic(ctx, a, request, user)
	}
	session, ends, narrow, err := e.session(ctx, a, request.Material, request.Image)
	if err != nil {
		return Grant{}, a.fault(err, request.Image, user)
	}
	password, expires, err := session.registryToken(ctx)
	if err != nil {
		return Grant{}, session.fault(err, request.Image, user)
	}
	if !ends.IsZero() && ends.Before(expires) {
		expires = ends
	}
	grant := newGrant(request.Image, oci.Basic(ecrUser, password), begin, expires.Sub(begin))
	grant.Narrow = narrow
	return grant, nil
}

// ecrHostOf reads the registry out of an image's name, and holds it against the
// region of a credential of that kind.
func ecrHostOf(ref image.Reference, m Material, kind string) (ecrHost, error) {
	h, ok := parseECRHost(ref.Host())
	if !ok {
		return ecrHost{}, notECR(ref, kind)
	}
	return h, checkRegion(h, ref.String(), m)
}

// checkRegion holds a registry, or an image there, against a credential's
// region. ECR Public is the same from everywhere.
func checkRegion(h ecrHost, name string, m Material) error {
	if region := m.Config[fieldRegion]; region != "" && region != h.region && !h.public {
		return fault.InvalidField(fieldRegion, "region_differs", "%s is in the region %s, and the credential is for %s", name, h.region, region).
			WithHint("Leave the credential's region empty, or narrow its pattern.")
	}
	return nil
}

func notECR(ref image.Reference, kind string) error {
	return fault.InvalidField("image", "image_not_ecr", "%s is not on AWS ECR, and a credential of kind %s is for nothing else", ref, kind).
		WithHint("ECR's hosts are written as 123456789012.dkr.ecr.us-east-1.amazonaws.com. Use a credential of another kind for this image.")
}

// issueECRPublic is for ECR Public, which has a token service of the usual sort
// behind AWS's own.
func (x exchange) issueECRPublic(ctx context.Context, a *amazon, request Request, user string) (Grant, error) {
	client := ecrpublic.New(ecrpublic.Options{Region: ecrPublicRegion, Credentials: a.credentials, HTTPClient: a.http, Retryer: newAWSRetryer()})
	answer, err := client.GetAuthorizationToken(ctx, &ecrpublic.GetAuthorizationTokenInput{})
	if err != nil {
		return Grant{}, a.fault(err, request.Image, user)
	}
	if answer.AuthorizationData == nil {
		return Grant{}, errNoECRToken
	}
	password, _, err := decodeECRToken(aws.ToString(answer.AuthorizationData.AuthorizationToken), aws.ToTime(answer.AuthorizationData.ExpiresAt))
	if err != nil {
		return Grant{}, err
	}
	return x.issue(ctx, request, login{user: ecrUser, secret: password, basicHint: "ECR Public itself has a token service: check what answers in its place."})
}

// sessionLife is how long a session, and with it the grant, holds: the shortest
// that a pull of a large image has room in, and what a chained role has at most.
// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
const sessionLife = time.Hour

// sessionName is how Fairlead's sessions are called in CloudTrail.
const sessionName = "fairlead"

// session is who asks for the registry's token: a session that may pull the one
// repository and nothing else, where STS gives one. ends is zero for a key of
// its own.
func (e awsECR) session(ctx context.Context, a *amazon, m Material, ref image.Reference) (s *amazon, ends time.Time, narrow bool, err error) {
	policy := pullPolicy(a.host, ref.Repository())
	if role := m.Config[fieldRoleARN]; role != "" {
		return assume(ctx, a, role, m.Config[fieldExternalID], policy)
	}
	id := m.Config[fieldAccessKeyID]
	if strings.HasPrefix(id, "ASIA") || e.unnarrowed.has(id, e.exchange.now()) {
		return a, time.Time{}, false, nil // STS gives a session nothing narrower
	}
	answer, err := a.sts().GetFederationToken(ctx, &sts.GetFederationTokenInput{
		Name: aws.String(sessionName), Policy: &policy, DurationSeconds: aws.Int32(int32(sessionLife / time.Second)),
	})
	if isAWSCode(err, "AccessDenied", "PackedPolicyTooLarge") {
		e.unnarrowed.add(id, e.exchange.now())
		return a, time.Time{}, false, nil
	}
	if err != nil {
		return a, time.Time{}, false, err
	}
	s, ends = a.as(answer.Credentials)
	return s, ends, true, nil
}

// assume gets a session of a role, limited by policy. Where even that is too
// long for STS, the role's own rights are what the session has.
func assume(ctx context.Context, a *amazon, role, externalID, policy string) (s *amazon, ends time.Time, narrow bool, err error) {
	input := &sts.AssumeRoleInput{
		RoleArn: &role, RoleSessionName: aws.String(sessionName), Policy: &policy, DurationSeconds: aws.Int32(int32(sessionLife / time.Second)),
	}
	if externalID != "" {
		input.ExternalId = &externalID
	}
	answer, err := a.sts().AssumeRole(ctx, input)
	narrow = true
	if isAWSCode(err, "PackedPolicyTooLarge") {
		input.Policy, narrow = nil, false
		answer, err = a.sts().AssumeRole(ctx, input)
	}
	if err != nil {
		return a, time.Time{}, false, err
	}
	s, ends = a.as(answer.Credentials)
	return s, ends, narrow, nil
}

// as is the way with a session's keys.
func (a *amazon) as(keys *ststypes.Credentials) (*amazon, time.Time) {
	key, token := secret.New(aws.ToString(keys.SecretAccessKey)), secret.New(aws.ToString(keys.SessionToken))
	return a.with(credentials.NewStaticCredentialsProvider(aws.ToString(keys.AccessKeyId), key.Reveal(), token.Reveal()), key, token),
		aws.ToTime(keys.Expiration)
}

// What a pull needs of ECR.
// https://docs.aws.amazon.com/AmazonECR/latest/userguide/repository-policy-examples.html
var pullActions = []string{"ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchCheckLayerAvailability"}

const tokenAction = "ecr:GetAuthorizationToken"

// statement is one of an IAM policy.
type statement struct {
	Effect   string
	Action   []string
	Resource []string
}

func policyDocument(statements ...statement) string {
	text, err := json.Marshal(struct {
		Version   string
		Statement []statement
	}{"2012-10-17", statements})
	if err != nil {
		panic(err) // texts alone
	}
	return string(text)
}

// pullPolicy allows to pull the repositories, and nothing else.
func pullPolicy(h ecrHost, repositories ...string) string {
	return policyDocument(pullStatements(h, repositories...)...)
}

func pullStatements(h ecrHost, repositories ...string) []statement {
	var resources []string
	for _, repository := range repositories {
		resources = append(resources, h.repositoryARN(repository))
	}
	return []statement{
		{"Allow", []string{tokenAction}, []string{"*"}},
		{"Allow", slices.Clone(pullActions), resources},
	}
}

// refusalLife is how long STS is not asked again for a narrowed session of whom
// it refused one.
const refusalLife = 10 * time.Minute

// refusals remember for a while whom something was refused.
type refusals struct {
	mu    sync.Mutex
	until map[string]time.Time
}

func (r *refusals) has(who string, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return now.Before(r.until[who])
}

func (r *refusals) add(who string, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.until == nil {
		r.until = make(map[string]time.Time)
	}
	for other, until := range r.until {
		if !now.Before(until) {
			delete(r.until, other)
		}
	}
	r.until[who] = now.Add(refusalLife)
}

// forget has STS asked again at once.
func (r *refusals) forget(who string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.until, who)
}
