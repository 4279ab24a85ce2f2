package grant

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	ecrtypes "github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"fairlead.dev/fairlead/internal/diagnosis"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/oci"
)

// Bounds of a check.
const (
	ecrPagesMost  = 10
	ecrPageSize   = 100
	probesMost    = 3 // repositories that rights are tried on
	keyOldAfter   = 90 * 24 * time.Hour
	registryHosts = 3 // hosts of patterns that are asked
)

// Check asks AWS what the access key is good for.
func (e awsECR) Check(ctx context.Context, request CheckRequest, checkup *Checkup) {
	hosts := ecrHosts(request)
	if len(hosts) == 0 {
		checkup.Unknown(AskSecret, "No pattern names an ECR registry in full, so there is none to ask",
			"Check it with an image: `fairlead registry check NAME --image IMAGE`.")
		return
	}
	for _, host := range hosts {
		h, _ := parseECRHost(host)
		if err := checkRegion(h, host, request.Material); err != nil {
			checkup.Failed(AskSecret, err)
			return
		}
		a, err := e.way(ctx, request.Material, h)
		if err != nil {
			checkup.Failed(AskSecret, err)
			return
		}
		if !e.checkHost(ctx, a, host, request, checkup) {
			return
		}
	}
	e.checkKey(ctx, request, hosts[0], checkup)
	checkImage(ctx, e, request, e.exchange, checkup)
}

// ecrHosts are the registries that patterns name in full, at most a few, and the
// image's.
func ecrHosts(request CheckRequest) []string {
	var hosts []string
	add := func(host string) {
		if _, ok := parseECRHost(host); ok && !slices.Contains(hosts, host) && len(hosts) < registryHosts {
			hosts = append(hosts, host)
		}
	}
	if !request.Image.IsZero() {
		add(request.Image.Host())
	}
	for _, pattern := range request.Patterns {
		add(pattern.Host())
	}
	return hosts
}

// checkHost asks one registry, and reports whether the key is good there.
func (e awsECR) checkHost(ctx context.Context, a *amazon, host string, request CheckRequest, checkup *Checkup) bool {
	subject := image.Reference{}
	user := request.Material.Config[fieldAccessKeyID]
	who, err := a.sts().GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		checkup.Failed(AskSecret, a.fault(err, subject, user))
		return false
	}
	checkup.Report().Identity = aws.ToString(who.Arn)
	session, narrow, err := e.checkSession(ctx, a, request, host)
	if err != nil {
		checkup.Failed(AskSecret, a.fault(err, subject, user))
		return false
	}
	if a.host.public {
		checkup.Passed(AskSecret, fmt.Sprintf("AWS accepts the access key %s for %s", user, host))
		return true
	}
	if _, _, err := session.registryToken(ctx); err != nil {
		checkup.Failed(AskSecret, session.fault(err, subject, user))
		return false
	}
	checkup.Passed(AskSecret, fmt.Sprintf("AWS accepts the access key %s and gives a token for %s", user, host))
	e.tellNarrow(narrow, narrowing(a.host, aws.ToString(who.Arn)), checkup)

	// What the identity itself may is asked with its own rights, since a
	// session's are narrowed.
	own := a
	if request.Material.Config[fieldRoleARN] != "" {
		if own, _, _, err = assume(ctx, a, request.Material.Config[fieldRoleARN], request.Material.Config[fieldExternalID],
			policyDocument(statement{"Allow", []string{"ecr:*"}, []string{"*"}})); err != nil {
			own = a
		}
	}
	repositories := checkRepositories(ctx, own, host, request.Patterns, checkup)
	if ref := request.Image; !ref.IsZero() && ref.Host() == host && !slices.Contains(repositories, ref.Repository()) {
		repositories = slices.Insert(repositories, 0, ref.Repository())
	}
	checkRights(ctx, own, repositories, leastForKey(a.host, host, request.Patterns, aws.ToString(who.Arn), request.Material.Config), checkup)
	return true
}

// checkSession gets a session as a pull does, for a repository that patterns
// cover.
func (e awsECR) checkSession(ctx context.Context, a *amazon, request CheckRequest, host string) (*amazon, bool, error) {
	e.unnarrowed.forget(request.Material.Config[fieldAccessKeyID])
	if a.host.public {
		return a, false, nil
	}
	ref, err := image.ParseReference(host + "/fairlead-check")
	if err != nil {
		return nil, false, err
	}
	for _, probe := range probes(request) {
		if probe.Host() == host {
			ref = probe
			break
		}
	}
	session, _, narrow, err := e.session(ctx, a, request.Material, ref)
	return session, narrow, err
}

// narrowing lets a user get sessions of fewer rights than its own.
func narrowing(h ecrHost, arn string) statement {
	return statement{"Allow", []string{"sts:GetFederationToken"}, []string{"arn:" + partition(h.region) + ":sts::" + accountOf(arn) + ":federated-user/" + sessionName}}
}

func (awsECR) tellNarrow(narrow bool, allows statement, checkup *Checkup) {
	if narrow {
		checkup.Passed(AskNarrow, "Each grant is limited to pulling the one repository")
		return
	}
	checkup.Warn(AskNarrow, "not_narrow",
		"STS gives this key no session of fewer rights, so that a worker's grant is good for every repository that the key may read",
		"Allow the user sts:GetFederationToken with this statement; it can only take rights away.",
		indented(policyDocument(allows)))
}

// accountOf is the account in an ARN.
func accountOf(arn string) string {
	if parts := strings.Split(arn, ":"); len(parts) > 4 && parts[4] != "" {
		return parts[4]
	}
	return "*"
}

// checkRepositories lists what patterns cover, where the identity may.
func checkRepositories(ctx context.Context, a *amazon, host string, patterns []image.Pattern, checkup *Checkup) []string {
	input := &ecr.DescribeRepositoriesInput{MaxResults: aws.Int32(ecrPageSize)}
	if a.host.account != "" {
		input.RegistryId = &a.host.account
	}
	var covered []string
	pages := ecr.NewDescribeRepositoriesPaginator(a.ecr(), input)
	for range ecrPagesMost {
		if !pages.HasMorePages() {
			break
		}
		page, err := pages.NextPage(ctx)
		if isAWSCode(err, "AccessDenied") {
			checkup.Unknown(AskRepositories, "The key may not list repositories, which pulls do not need",
				"To have them listed here, allow ecr:DescribeRepositories on "+a.host.repositoryARN("*")+".")
			return literalRepositories(host, patterns)
		}
		if err != nil {
			f := a.fault(err, image.Reference{}, "")
			checkup.Unknown(AskRepositories, "The repositories could not be listed: "+f.Message, f.Hint)
			return literalRepositories(host, patterns)
		}
		for _, repository := range page.Repositories {
			if name := aws.ToString(repository.RepositoryName); coveredBy(patterns, host, name) {
				covered = append(covered, name)
			}
		}
	}
	slices.Sort(covered)
	report := checkup.Report()
	report.Listed = true
	for _, name := range covered {
		if len(report.Repositories) < MostRepositories {
			report.Repositories = append(report.Repositories, host+"/"+name)
		}
	}
	checkup.Passed(AskRepositories, fmt.Sprintf("It lists %s of %s that a pattern covers", counted(len(covered), "repository", "repositories"), host))
	return covered
}

// coveredBy reports whether a pattern covers a repository: some tag of it, where
// the pattern names tags.
func coveredBy(patterns []image.Pattern, host, repository string) bool {
	ref, err := image.ParseReference(host + "/" + repository)
	return err == nil && slices.ContainsFunc(patterns, func(p image.Pattern) bool {
		anyTag, err := image.ParsePattern(p.Host() + "/" + p.Path())
		return err == nil && anyTag.Match(ref)
	})
}

// literalRepositories are those of a host that patterns name without a wildcard.
func literalRepositories(host string, patterns []image.Pattern) []string {
	var names []string
	for _, pattern := range patterns {
		ref, err := image.ParseReference(pattern.Host() + "/" + pattern.Path())
		if err == nil && ref.Host() == host && !slices.Contains(names, ref.Repository()) {
			names = append(names, ref.Repository())
		}
	}
	return names
}

// noImage is a digest that no image has: nobody knows a manifest for it.
var noImage = "sha256:" + strings.Repeat("0", 64)

// checkRights tries whether the identity may do more than read, with requests
// that change nothing: a manifest that is none is not stored, and no image has
// the digest that is to be deleted. AWS decides on the right before it looks at
// either. least is the policy that it should have.
func checkRights(ctx context.Context, a *amazon, repositories []string, least string, checkup *Checkup) {
	if len(repositories) == 0 {
		checkup.Unknown(AskRights, "There is no repository to try on whether the key may do more than read",
			"Name one in a pattern, or check with --image.")
		return
	}
	var may []string
	var doubt error
	clean := 0 // repositories that nothing more may be done with
	for _, repository := range repositories[:min(len(repositories), probesMost)] {
		var failed error
		for _, right := range []struct {
			name string
			try  func(context.Context, *amazon, string) (bool, error)
		}{{"push", tryPush}, {"delete", tryDelete}} {
			has, err := right.try(ctx, a, repository)
			if has {
				may = append(may, right.name)
			}
			failed = cmp.Or(failed, err)
		}
		if len(may) > 0 {
			break
		}
		if failed != nil {
			doubt = failed
			continue
		}
		clean++
	}
	switch {
	case len(may) > 0:
		warnMayMore(checkup, may, indented(least), "Give its user or role this policy instead.")
	case clean == 0:
		f := a.fault(doubt, image.Reference{}, "")
		checkup.Unknown(AskRights, "Whether it may do more than read could not be tried: "+f.Message, f.Hint)
	default:
		checkup.Passed(AskRights, "It may read and do no more")
	}
}

// tryPush asks to store a manifest that is none, under a digest that no manifest
// has: AWS denies it, or may only find fault with it.
func tryPush(ctx context.Context, a *amazon, repository string) (bool, error) {
	_, err := a.ecr().PutImage(ctx, &ecr.PutImageInput{
		RegistryId: account(a), RepositoryName: &repository, ImageManifest: aws.String("{}"), ImageDigest: &noImage,
	})
	return isAllowed(err, "InvalidParameter", "ImageDigestDoesNotMatch", "UnsupportedImageType")
}

// tryDelete asks to delete what nobody has.
func tryDelete(ctx context.Context, a *amazon, repository string) (bool, error) {
	_, err := a.ecr().BatchDeleteImage(ctx, &ecr.BatchDeleteImageInput{
		RegistryId: account(a), RepositoryName: &repository, ImageIds: []ecrtypes.ImageIdentifier{{ImageDigest: &noImage}},
	})
	return isAllowed(err)
}

// isAllowed reads from an answer whether AWS allows an action: it does where it
// carried the request out or found the given faults with it, and does not where
// it says so. Any other answer, of a missing repository too, tells neither and is
// returned.
func isAllowed(err error, faults ...string) (bool, error) {
	switch {
	case err == nil || isAWSCode(err, faults...):
		return true, nil
	case isAWSCode(err, "AccessDenied"):
		return false, nil
	default:
		return false, err
	}
}

func account(a *amazon) *string {
	if a.host.account == "" {
		return nil
	}
	return &a.host.account
}

// policyRepositories are the paths of patterns, as IAM writes them: its `*` and
// `?` mean what a pattern's do, or more.
func policyRepositories(host string, patterns []image.Pattern) []string {
	var paths []string
	for _, pattern := range patterns {
		if pattern.Host() == host && !slices.Contains(paths, pattern.Path()) {
			paths = append(paths, pattern.Path())
		}
	}
	if len(paths) == 0 {
		paths = append(paths, "*")
	}
	return paths
}

// warnMayMore tells that a credential may do more than it needs.
func warnMayMore(checkup *Checkup, may []string, policy, hint string) {
	code := "may_" + may[0]
	checkup.Warn(AskRights, code, "It may "+strings.Join(may, " and ")+" too, which no pull needs", hint, policy)
}

// indented is a JSON document for people.
func indented(document string) string {
	var parsed any
	if json.Unmarshal([]byte(document), &parsed) != nil {
		return document
	}
	text, err := json.MarshalIndent(json.RawMessage(document), "", "  ")
	if err != nil {
		return document
	}
	return string(text)
}

// checkKey asks how old the access key is; IAM gives keys no end.
func (e awsECR) checkKey(ctx context.Context, request CheckRequest, host string, checkup *Checkup) {
	h, _ := parseECRHost(host)
	a, err := e.way(ctx, request.Material, h)
	if err != nil {
		return
	}
	id := request.Material.Config[fieldAccessKeyID]
	if strings.HasPrefix(id, "ASIA") {
		checkup.Warn(AskExpiry, "expires_soon", "The key is temporary and ends within hours", "Use a lasting key (AKIA…) of a user who may only pull.", "")
		return
	}
	answer, err := a.iam().ListAccessKeys(ctx, &iam.ListAccessKeysInput{})
	if err != nil {
		checkup.Unknown(AskExpiry, "The key has no end; IAM does not tell this user how old it is",
			"To be warned of an old key, allow iam:ListAccessKeys on the user itself, or give a day (--expires).")
		return
	}
	for _, key := range answer.AccessKeyMetadata {
		if aws.ToString(key.AccessKeyId) != id {
			continue
		}
		created := aws.ToTime(key.CreateDate)
		checkup.Report().CreatedAt = created
		tellAge(checkup, e.exchange.now(), created, "access key", "`fairlead registry rotate NAME --renew` has AWS make another and deletes this one.")
		return
	}
	checkup.Unknown(AskExpiry, "The key has no end", "")
}

// tellAge tells how old a secret without an end is.
func tellAge(checkup *Checkup, now, created time.Time, what, hint string) {
	age := now.Sub(created)
	sentence := fmt.Sprintf("The %s has no end and was made %s, %d days ago", what, created.UTC().Format(time.DateOnly), int(age/(24*time.Hour)))
	if age > keyOldAfter {
		checkup.Warn(AskExpiry, "key_old", sentence, hint, "")
		return
	}
	checkup.Passed(AskExpiry, sentence)
}

// checkImage tries the image of a check, where there is one, as a pull does.
func checkImage(ctx context.Context, kind Kind, request CheckRequest, x exchange, checkup *Checkup) {
	ref := request.Image
	if ref.IsZero() {
		return
	}
	grant, err := kind.Issue(ctx, Request{Image: ref, Material: request.Material, Kept: x.cached})
	if err != nil {
		checkup.Failed(AskImage, err)
		return
	}
	transport, err := x.ways.of(request.Material)
	if err != nil {
		checkup.Failed(AskImage, err)
		return
	}
	found, err := oci.NewClient(transport.For(ref.Host())).ResolveManifest(ctx, ref, grant.Authorization)
	if err != nil {
		checkup.Failed(AskImage, diagnosis.Of(err, diagnosis.Subject{Service: diagnosis.At(ref.Host()), Image: ref}))
		return
	}
	checkup.Passed(AskImage, fmt.Sprintf("%s can be pulled: it is %s", ref, found.Digest))
}
