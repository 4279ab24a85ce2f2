package grant

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"fairlead.dev/fairlead/internal/diagnosis"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/secret"
)

// amazon is the way to AWS's APIs for one region and one identity.
type amazon struct {
	host        ecrHost
	credentials aws.CredentialsProvider
	http        *http.Client
	ecrBase     *string // nil: the region's own
	stsBase     *string
	hide        []secret.Text
}

// Bounds of the SDK's own retries: throttling and outages are met with backoff
// and jitter, within the time of one exchange.
const (
	awsAttempts   = 4
	awsMaxBackoff = 2 * time.Second
	awsMaxWait    = 5 * time.Second
)

// awsHosts are the hosts of the APIs that a registry's grants come from.
func awsHosts(ctx context.Context, h ecrHost, ecrBase, stsBase *string) ([]string, error) {
	var hosts []string
	region, fips, dual := aws.String(h.region), aws.Bool(h.fips), aws.Bool(h.dualStack)
	add := func(address url.URL, err error) error {
		if err == nil {
			hosts = append(hosts, address.Host)
		}
		return err
	}
	e, err := ecr.NewDefaultEndpointResolverV2().ResolveEndpoint(ctx, ecr.EndpointParameters{Region: region, UseFIPS: fips, UseDualStack: dual, Endpoint: ecrBase}.WithDefaults())
	if err := add(e.URI, err); err != nil {
		return nil, err
	}
	s, err := sts.NewDefaultEndpointResolverV2().ResolveEndpoint(ctx, sts.EndpointParameters{Region: region, UseFIPS: fips, UseDualStack: dual, Endpoint: stsBase}.WithDefaults())
	if err := add(s.URI, err); err != nil {
		return nil, err
	}
	i, err := iam.NewDefaultEndpointResolverV2().ResolveEndpoint(ctx, iam.EndpointParameters{Region: region, UseFIPS: aws.Bool(false), UseDualStack: aws.Bool(false)}.WithDefaults())
	if err := add(i.URI, err); err != nil {
		return nil, err
	}
	if h.public {
		hosts = append(hosts, "api.ecr-public."+ecrPublicRegion+".amazonaws.com")
	}
	return hosts, nil
}

// newAmazon is the way over a transport.
func newAmazon(ctx context.Context, transport *oci.Transport, h ecrHost, ecrEndpoint, stsEndpoint string, credentials aws.CredentialsProvider, hide ...secret.Text) (*amazon, error) {
	a := &amazon{host: h, credentials: credentials, hide: hide}
	if ecrEndpoint != "" {
		a.ecrBase = &ecrEndpoint
	}
	if stsEndpoint != "" {
		a.stsBase = &stsEndpoint
	}
	hosts, err := awsHosts(ctx, h, a.ecrBase, a.stsBase)
	if err != nil {
		return nil, fault.InvalidField("region", "region_unknown", "AWS has no region %q", h.region).
			WithHint("Check the region in the image's host name.").WithCause(err)
	}
	a.http = &http.Client{Transport: transport.Services(hosts...), CheckRedirect: noRedirects}
	return a, nil
}

// noRedirects: no API of a cloud redirects, and what is sent to one is for
// nobody else.
func noRedirects(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func (a *amazon) with(credentials aws.CredentialsProvider, hide ...secret.Text) *amazon {
	other := *a
	other.credentials = credentials
	other.hide = append(other.hide[:len(other.hide):len(other.hide)], hide...)
	return &other
}

// awsRetryer is the SDK's own, which waits as long as AWS asks for besides, and
// asks no more where that is longer than an exchange has time for.
type awsRetryer struct{ aws.RetryerV2 }

func newAWSRetryer() aws.Retryer {
	return awsRetryer{retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = awsAttempts
		o.Backoff = retry.NewExponentialJitterBackoff(awsMaxBackoff)
	})}
}

// IsErrorRetryable reports whether it is worth while to ask again.
func (r awsRetryer) IsErrorRetryable(err error) bool {
	return awsRetryAfter(err) <= awsMaxWait && r.RetryerV2.IsErrorRetryable(err)
}

// RetryDelay is how long to wait before that.
func (r awsRetryer) RetryDelay(attempt int, err error) (time.Duration, error) {
	delay, failed := r.RetryerV2.RetryDelay(attempt, err)
	return max(delay, awsRetryAfter(err)), failed
}

// awsRetryAfter is the wait that AWS asks for; 0: none.
func awsRetryAfter(err error) time.Duration {
	answer, ok := errors.AsType[*smithyhttp.ResponseError](err)
	if !ok || answer.Response == nil {
		return 0
	}
	seconds, err := strconv.Atoi(answer.Response.Header.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(min(seconds, int(time.Hour/time.Second))) * time.Second
}

func fipsState(on bool) aws.FIPSEndpointState {
	if on {
		return aws.FIPSEndpointStateEnabled
	}
	return aws.FIPSEndpointStateDisabled
}

func dualStackState(on bool) aws.DualStackEndpointState {
	if on {
		return aws.DualStackEndpointStateEnabled
	}
	return aws.DualStackEndpointStateDisabled
}

func (a *amazon) ecr() *ecr.Client {
	return ecr.New(ecr.Options{
		Region: a.host.region, Credentials: a.credentials, HTTPClient: a.http, BaseEndpoint: a.ecrBase, Retryer: newAWSRetryer(),
		EndpointOptions: ecr.EndpointResolverOptions{UseFIPSEndpoint: fipsState(a.host.fips), UseDualStackEndpoint: dualStackState(a.host.dualStack)},
	})
}

func (a *amazon) sts() *sts.Client {
	return sts.New(sts.Options{
		Region: a.host.region, Credentials: a.credentials, HTTPClient: a.http, BaseEndpoint: a.stsBase, Retryer: newAWSRetryer(),
		EndpointOptions: sts.EndpointResolverOptions{UseFIPSEndpoint: fipsState(a.host.fips), UseDualStackEndpoint: dualStackState(a.host.dualStack)},
	})
}

func (a *amazon) iam() *iam.Client {
	return iam.New(iam.Options{Region: a.host.region, Credentials: a.credentials, HTTPClient: a.http, Retryer: newAWSRetryer()})
}

// registryToken asks for what the registry takes, and until when it holds.
func (a *amazon) registryToken(ctx context.Context) (password secret.Text, expires time.Time, err error) {
	answer, err := a.ecr().GetAuthorizationToken(ctx, &ecr.GetAuthorizationTokenInput{})
	if err != nil {
		return secret.Text{}, time.Time{}, err
	}
	if len(answer.AuthorizationData) == 0 {
		return secret.Text{}, time.Time{}, errNoECRToken
	}
	data := answer.AuthorizationData[0]
	return decodeECRToken(aws.ToString(data.AuthorizationToken), aws.ToTime(data.ExpiresAt))
}

// ecrUser is whom every ECR token is of.
const ecrUser = "AWS"

var errNoECRToken = fault.New(fault.Unavailable, "token_missing", "AWS answered GetAuthorizationToken without a token").
	WithHint("Try again; the credential was accepted.")

func decodeECRToken(token string, expires time.Time) (secret.Text, time.Time, error) {
	text, err := base64.StdEncoding.DecodeString(token)
	user, password, found := strings.Cut(string(text), ":")
	if err != nil || !found || user != ecrUser || password == "" {
		return secret.Text{}, time.Time{}, errNoECRToken
	}
	return secret.New(password), expires, nil
}

// answer makes an SDK's error one that the diagnosis knows: what AWS said,
// without secrets. What is no answer of AWS stays.
func (a *amazon) answer(err error) error {
	said, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return err
	}
	told := &oci.Error{Method: http.MethodPost, Host: "AWS", Codes: []string{said.ErrorCode()}}
	// InvalidSignature repeats the whole request behind its first sentence.
	message, _, _ := strings.Cut(said.ErrorMessage(), "\n")
	message, _, _ = strings.Cut(message, "The Canonical String")
	told.Message = oci.Clean(message, a.hide...)
	if response, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		told.Status, told.RetryAfter = response.HTTPStatusCode(), awsRetryAfter(err)
		if response.Response != nil {
			if request := response.Response.Request; request != nil {
				told.Host = request.URL.Host
			}
		}
	}
	return told
}

// fault is the diagnosis of an SDK's error.
func (a *amazon) fault(err error, ref image.Reference, user string) *fault.Error {
	return diagnosis.Of(a.answer(err), diagnosis.Subject{Service: diagnosis.AWS, Image: ref, User: user})
}

// isAWSCode reports whether AWS answered with one of the codes.
func isAWSCode(err error, codes ...string) bool {
	said, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return false
	}
	for _, code := range codes {
		if said.ErrorCode() == code || strings.HasPrefix(said.ErrorCode(), code+"Exception") {
			return true
		}
	}
	return false
}
