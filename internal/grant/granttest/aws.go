package granttest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// AWSOptions say which part of AWS to run. The zero value is the registry of
// account 123456789012 in us-east-1.
type AWSOptions struct {
	Account string // twelve digits
	Region  string

	// Host is the registry's name in images; ACCOUNT.dkr.ecr.REGION.amazonaws.com
	// if empty, with the suffix of the region's partition. With public.ecr.aws it
	// is ECR Public, which has a token service of its own.
	Host string
}

// ECR Public and its API, which is in one region.
// https://docs.aws.amazon.com/general/latest/gr/ecr-public.html
const (
	ecrPublic    = "public.ecr.aws"
	ecrPublicAPI = "api.ecr-public.us-east-1.amazonaws.com"
)

// AWS is ECR with the APIs around it: a registry that takes Basic with ECR's
// tokens, and STS, ECR and IAM, which verify each request's Signature Version 4
// and go by the policies of users, roles and sessions. All its methods are safe
// for concurrent use.
type AWS struct {
	*Registry

	options AWSOptions

	mu       sync.Mutex
	keys     map[string]*awsKey   // by access key id
	users    map[string]*awsUser  // by name
	roles    map[string]*awsRole  // by name
	tokens   map[string]*ecrToken // by the SHA-256 of the password
	web      map[string]string    // web identity tokens to role names
	calls    map[string]int       // by action
	throttle int
	wait     time.Duration // that a throttled request is told to keep
	skew     time.Duration
	life     time.Duration // of ECR tokens
	given    []string
}

// awsKey is an access key: a user's, or a session's with a token.
type awsKey struct {
	id, secret string
	token      string // of a session
	who        awsPrincipal
	created    time.Time
	expires    time.Time // zero: never
}

// awsPrincipal is who asks, and what they may.
type awsPrincipal struct {
	arn     string
	user    string // "" for a role's session
	policy  policy
	session *policy // nil: not narrowed
}

func (p awsPrincipal) may(action, resource string) bool {
	return p.policy.allows(action, resource) && (p.session == nil || p.session.allows(action, resource))
}

type awsUser struct {
	name   string
	policy policy
}

type awsRole struct {
	name       string
	policy     policy
	trusts     []string // ARNs of who may assume it; `*` for everybody
	externalID string
}

type ecrToken struct {
	who     awsPrincipal
	expires time.Time
}

// StartAWS runs the fake until Close.
func StartAWS(options AWSOptions) (*AWS, error) {
	if options.Account == "" {
		options.Account = "123456789012"
	}
	if options.Region == "" {
		options.Region = "us-east-1"
	}
	if options.Host == "" {
		options.Host = options.Account + ".dkr.ecr." + options.Region + "." + awsSuffix(options.Region)
	}
	a := &AWS{
		options: options, keys: make(map[string]*awsKey), users: make(map[string]*awsUser), roles: make(map[string]*awsRole),
		tokens: make(map[string]*ecrToken), web: make(map[string]string), calls: make(map[string]int), life: 12 * time.Hour,
	}
	var err error
	a.Registry, err = start(Options{Kind: Generic, Host: options.Host}, func(*Registry) (cloud, error) { return a, nil })
	if err != nil {
		return nil, err
	}
	return a, nil
}

func awsSuffix(region string) string {
	if strings.HasPrefix(region, "cn-") {
		return "amazonaws.com.cn"
	}
	return "amazonaws.com"
}

func (a *AWS) partition() string {
	switch {
	case strings.HasPrefix(a.options.Region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(a.options.Region, "us-gov-"):
		return "aws-us-gov"
	default:
		return "aws"
	}
}

// The hosts of the APIs: ECR's and STS's for the region, also with FIPS and over
// IPv6 too, and IAM's for the partition.
func (a *AWS) hosts() []string {
	r, suffix := a.options.Region, awsSuffix(a.options.Region)
	iam := "iam." + suffix
	switch a.partition() {
	case "aws-cn":
		iam = "iam.cn-north-1." + suffix
	case "aws-us-gov":
		iam = "iam.us-gov." + suffix
	}
	hosts := []string{
		"api.ecr." + r + "." + suffix, "ecr-fips." + r + "." + suffix, "api.ecr-fips." + r + "." + suffix, "ecr." + r + ".api.aws",
		"sts." + r + "." + suffix, "sts-fips." + r + "." + suffix, "sts." + r + ".api.aws", iam,
	}
	if a.options.Host == ecrPublic {
		hosts = append(hosts, ecrPublicAPI)
	}
	if suffix == "amazonaws.com.cn" {
		hosts = append(hosts, "ecr."+r+".api.amazonwebservices.com.cn", "sts."+r+".api.amazonwebservices.com.cn")
	}
	return hosts
}

// AddIAMUser adds a user whom the policies allow what their statements say, and
// returns an access key of theirs.
func (a *AWS) AddIAMUser(name string, policies ...string) (accessKeyID, secretAccessKey string) {
	u := &awsUser{name: name, policy: mustPolicy(policies)}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.users[name] = u
	k := a.newKey("AKIA", a.userPrincipal(u))
	return k.id, k.secret
}

// SetPolicies replaces a user's policies.
func (a *AWS) SetPolicies(name string, policies ...string) {
	parsed := mustPolicy(policies)
	a.mu.Lock()
	defer a.mu.Unlock()
	u := a.users[name]
	u.policy = parsed
	for _, k := range a.keys {
		if k.who.user == name {
			k.who.policy = parsed
		}
	}
}

// AddRole adds a role that the given ARNs may assume (`*`: everybody whom their
// own policy lets), with the external id unless that is empty.
func (a *AWS) AddRole(name, externalID string, trusts []string, policies ...string) (arn string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.roles[name] = &awsRole{name: name, policy: mustPolicy(policies), trusts: trusts, externalID: externalID}
	return a.roleARN(name)
}

// AddWebIdentity lets who shows the token have a session of a role.
func (a *AWS) AddWebIdentity(token, role string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.web[token] = role
}

// SetKeyAge makes an access key as old as that.
func (a *AWS) SetKeyAge(accessKeyID string, age time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.keys[accessKeyID].created = time.Now().Add(-age)
}

// DeleteKey makes an access key unknown.
func (a *AWS) DeleteKey(accessKeyID string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.keys, accessKeyID)
}

// HasKey reports whether an access key is known.
func (a *AWS) HasKey(accessKeyID string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.keys[accessKeyID] != nil
}

// Throttle refuses the next n requests to the APIs.
func (a *AWS) Throttle(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.throttle = n
}

// SetRetryAfter is how long a throttled request is told to wait, in whole
// seconds; 0, as at first: it is not told.
func (a *AWS) SetRetryAfter(wait time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.wait = wait
}

// SetClockSkew has AWS's clock differ from ours by that.
func (a *AWS) SetClockSkew(skew time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.skew = skew
}

// SetTokenLife is how long ECR's tokens hold from now on; 12 hours at first.
func (a *AWS) SetTokenLife(life time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.life = life
}

// ExpireTokens ends every token of ECR that was given.
func (a *AWS) ExpireTokens() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, token := range a.tokens {
		token.expires = time.Now().Add(-time.Second)
	}
}

// Calls is how many requests for an action the APIs got, refused ones included:
// GetAuthorizationToken, AssumeRole…
func (a *AWS) Calls(action string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.calls[action]
}

// Given is every secret that the APIs gave out: tokens, and the keys of
// sessions and users.
func (a *AWS) Given() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]string(nil), a.given...)
}

func (a *AWS) userPrincipal(u *awsUser) awsPrincipal {
	return awsPrincipal{arn: "arn:" + a.partition() + ":iam::" + a.options.Account + ":user/" + u.name, user: u.name, policy: u.policy}
}

func (a *AWS) roleARN(name string) string {
	return "arn:" + a.partition() + ":iam::" + a.options.Account + ":role/" + name
}

// newKey makes an access key; a.mu is held.
func (a *AWS) newKey(prefix string, who awsPrincipal) *awsKey {
	k := &awsKey{id: prefix + rand.Text()[:16], secret: rand.Text() + rand.Text()[:14], who: who, created: time.Now()}
	a.keys[k.id] = k
	a.given = append(a.given, k.secret)
	return k
}

// newSession makes the keys of a session; a.mu is held.
func (a *AWS) newSession(who awsPrincipal, life time.Duration) *awsKey {
	k := a.newKey("ASIA", who)
	k.token = "IQoJ" + rand.Text() + rand.Text() + rand.Text()
	k.expires = time.Now().Add(life)
	a.given = append(a.given, k.token)
	return k
}

// newToken makes a token of ECR; it holds no longer than the session that asks.
// a.mu is held.
func (a *AWS) newToken(k *awsKey) (password string, expires time.Time) {
	password = "eyJ" + rand.Text() + rand.Text() + rand.Text()
	expires = time.Now().Add(a.life)
	if !k.expires.IsZero() && k.expires.Before(expires) {
		expires = k.expires
	}
	a.tokens[digestOf(password)] = &ecrToken{who: k.who, expires: expires}
	a.given = append(a.given, password)
	return password, expires
}

func digestOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func (a *AWS) repositoryARN(repository string) string {
	return "arn:" + a.partition() + ":ecr:" + a.options.Region + ":" + a.options.Account + ":repository/" + repository
}

// serveRegistry is the registry itself, in ECR's words.
func (a *AWS) serveRegistry(w http.ResponseWriter, request *http.Request) {
	user, password, _ := request.BasicAuth()
	a.mu.Lock()
	token := a.tokens[digestOf(password)]
	a.mu.Unlock()
	switch {
	case user != "AWS" || token == nil:
		w.Header().Set("WWW-Authenticate", `Basic realm="https://`+a.options.Host+`/",service="ecr.amazonaws.com"`)
		http.Error(w, "Not Authorized", http.StatusUnauthorized)
		return
	case time.Now().After(token.expires):
		refuse(w, http.StatusForbidden, "DENIED", "Your authorization token has expired. Reauthenticate and try again.")
		return
	}
	path := content.FindStringSubmatch(request.URL.Path)
	if path == nil {
		a.serveAs(w, request, "AWS", func(string) []string { return nil }, denied)
		return
	}
	action := "ecr:BatchGetImage"
	if path[2] == "blobs" {
		action = "ecr:GetDownloadUrlForLayer"
	}
	resource := a.repositoryARN(path[1])
	switch {
	case !token.who.may(action, resource):
		refuse(w, http.StatusForbidden, "DENIED", fmt.Sprintf("User: %s is not authorized to perform: %s on resource: %s because no identity-based policy allows the %s action",
			token.who.arn, action, resource, action))
	case !a.hasRepository(path[1]):
		refuse(w, http.StatusNotFound, "NAME_UNKNOWN", fmt.Sprintf("The repository with name '%s' does not exist in the registry with id '%s'", path[1], a.options.Account))
	default:
		a.serveAs(w, request, "AWS", func(string) []string { return []string{"pull"} }, denied)
	}
}
