package bucket

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/storage"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	"gocloud.dev/gcerrors"
	"golang.org/x/oauth2"
	"google.golang.org/api/googleapi"
)

// Trouble is a sort of what can go wrong.
type Trouble int

// The troubles.
const (
	Unreachable Trouble = iota // no answer, or none that is known
	Missing                    // there is no such file
	NoBucket                   // there is no such bucket
	Login                      // the cloud does not know who asks
	Denied                     // it knows who asks, and they may not
	Region                     // the bucket is in another region, or none is named
	Busy                       // it takes no more requests for the moment
	Changed                    // the file is not the one any more that was asked for
)

// Answer is what a cloud's error means.
type Answer struct {
	Trouble Trouble

	// Word is the cloud's own word for it; "" where there is none.
	Word string

	cloud string
}

// Asker is who was refused, for Mend.
type Asker struct {
	Name   string // such as "the server"
	Writes bool
}

// Explain says what an error of this package means.
func Explain(err error) Answer {
	if errors.Is(err, errChanged) {
		return Answer{Trouble: Changed}
	}
	for _, explain := range []func(error) (Answer, bool){explainAmazon, explainGoogle, explainAzure} {
		if answer, is := explain(err); is {
			return answer
		}
	}
	if gcerrors.Code(err) == gcerrors.NotFound { // a directory's
		return Answer{Trouble: Missing}
	}
	return Answer{}
}

// amazonTroubles are what S3's codes mean.
// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
var amazonTroubles = map[string]Trouble{
	"NoSuchKey": Missing, "NotFound": Missing, "NoSuchBucket": NoBucket,
	"InvalidAccessKeyId": Login, "SignatureDoesNotMatch": Login, "ExpiredToken": Login, "InvalidToken": Login, "TokenRefreshRequired": Login,
	"RequestTimeTooSkewed": Login, "InvalidSecurity": Login, "MissingSecurityHeader": Login, "NotSignedUp": Login,
	"AccessDenied": Denied, "Forbidden": Denied, "AllAccessDisabled": Denied, "AccountProblem": Denied,
	"PermanentRedirect": Region, "MovedPermanently": Region, "AuthorizationHeaderMalformed": Region, "IllegalLocationConstraintException": Region,
	"SlowDown": Busy, "ServiceUnavailable": Busy, "RequestLimitExceeded": Busy, "TooManyRequests": Busy,
	"PreconditionFailed": Changed,
}

func explainAmazon(err error) (Answer, bool) {
	answer := Answer{cloud: "s3"}
	api, isAPI := errors.AsType[smithy.APIError](err)
	operation, isOperation := errors.AsType[*smithy.OperationError](err)
	switch {
	case errors.Is(err, errNoRegion):
		answer.Trouble = Region
	case isAPI && !strings.EqualFold(api.ErrorCode(), "UnknownError"):
		answer.Trouble, answer.Word = amazonTroubles[api.ErrorCode()], api.ErrorCode()
	case isOperation && strings.Contains(operation.Error(), "get credentials:"), strings.Contains(err.Error(), "failed to get shared config profile"):
		answer.Trouble = Login // whatever asked for them has an error of its own
	default:
		return answer, isAPI || isOperation
	}
	return answer, true
}

// isWordless reports whether S3 refused without saying why.
func isWordless(err error) bool {
	response, is := errors.AsType[*awshttp.ResponseError](err)
	return is && response.Response != nil && response.Response.Request != nil && response.Response.Request.Method == http.MethodHead &&
		slices.Contains([]int{http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound, http.StatusMovedPermanently}, response.HTTPStatusCode())
}

func explainGoogle(err error) (Answer, bool) {
	answer := Answer{cloud: "gs"}
	api, isAPI := errors.AsType[*googleapi.Error](err)
	token, isToken := errors.AsType[*oauth2.RetrieveError](err)
	_, isAuth := errors.AsType[*auth.Error](err) // of a later library, for the same
	switch {
	case errors.Is(err, ErrGoogleLogin):
		answer.Trouble = Login
	case isToken:
		answer.Trouble, answer.Word = Login, token.ErrorCode
	case isAuth:
		answer.Trouble = Login
	case isAPI:
		answer.Word = http.StatusText(api.Code)
		switch api.Code {
		case http.StatusUnauthorized:
			answer.Trouble = Login
		case http.StatusForbidden:
			answer.Trouble = Denied
		case http.StatusNotFound:
			answer.Trouble = Missing
			if strings.Contains(api.Error(), "bucket does not exist") {
				answer.Trouble = NoBucket
			}
		case http.StatusPreconditionFailed:
			answer.Trouble = Changed
		case http.StatusTooManyRequests, http.StatusServiceUnavailable:
			answer.Trouble = Busy
		}
	case errors.Is(err, storage.ErrBucketNotExist):
		answer.Trouble = NoBucket
	case errors.Is(err, storage.ErrObjectNotExist):
		answer.Trouble = Missing
	default:
		return answer, false
	}
	return answer, true
}

// azureTroubles are what Blob Storage's codes mean.
// https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes
var azureTroubles = map[string]Trouble{
	"BlobNotFound": Missing, "ResourceNotFound": Missing, "ContainerNotFound": NoBucket, "ContainerBeingDeleted": NoBucket, "ContainerDisabled": NoBucket,
	"AuthenticationFailed": Login, "InvalidAuthenticationInfo": Login, "NoAuthenticationInformation": Login, "KeyBasedAuthenticationNotPermitted": Login,
	"ConditionNotMet": Changed, "TargetConditionNotMet": Changed, "ServerBusy": Busy, "OperationTimedOut": Busy,
}

func explainAzure(err error) (Answer, bool) {
	answer := Answer{cloud: "azblob"}
	api, isAPI := errors.AsType[*azcore.ResponseError](err)
	_, isToken := errors.AsType[*azidentity.AuthenticationFailedError](err)
	switch {
	case isToken, strings.Contains(err.Error(), "DefaultAzureCredential"), strings.Contains(err.Error(), "decode account key"):
		answer.Trouble = Login
	case isAPI:
		var known bool
		answer.Word = api.ErrorCode
		if answer.Trouble, known = azureTroubles[api.ErrorCode]; known {
			break
		}
		switch api.StatusCode {
		case http.StatusUnauthorized:
			answer.Trouble = Login
		case http.StatusForbidden:
			answer.Trouble = Denied
		case http.StatusNotFound:
			answer.Trouble = Missing
		case http.StatusPreconditionFailed:
			answer.Trouble = Changed
		case http.StatusTooManyRequests, http.StatusServiceUnavailable:
			answer.Trouble = Busy
		}
	default:
		return answer, false
	}
	return answer, true
}

// Said is the cloud's word in brackets, for the end of a sentence.
func (a Answer) Said() string {
	if a.Word == "" {
		return ""
	}
	return " (" + a.Word + ")"
}

// Mend is the next step, as a sentence that names the setting.
func (a Answer) Mend(who Asker) string {
	switch a.Trouble {
	case Login:
		if a.Word == "RequestTimeTooSkewed" {
			return fmt.Sprintf("Set the clock of %s's machine.", who.Name)
		}
		return fmt.Sprintf("Mend %s.", a.login(who.Name))
	case Denied:
		return fmt.Sprintf("Let the login of %s %s.", who.Name, rights[a.cloud][who.Writes])
	case Region:
		return fmt.Sprintf("Write the bucket's region into its address, as s3://BUCKET?region=REGION, or set AWS_REGION in the environment of %s.", who.Name)
	case NoBucket:
		if a.cloud == "azblob" {
			return fmt.Sprintf("Check the container's name, and AZURE_STORAGE_ACCOUNT in the environment of %s.", who.Name)
		}
		return "Check the bucket's name."
	case Busy:
		return "Try again in a while."
	default:
		return ""
	}
}

// login names the settings that a cloud is logged in to with, as they are used
// now.
func (a Answer) login(who string) string {
	in := " in the environment of " + who
	switch a.cloud {
	case "s3":
		setting := map[string]string{
			"InvalidAccessKeyId": "AWS_ACCESS_KEY_ID", "SignatureDoesNotMatch": "AWS_SECRET_ACCESS_KEY",
			"ExpiredToken": "AWS_SESSION_TOKEN", "InvalidToken": "AWS_SESSION_TOKEN",
		}[a.Word]
		if setting == "" {
			setting = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
		}
		return setting + in + ", or the profile or role that it logs in with"
	case "gs":
		return "the file that GOOGLE_APPLICATION_CREDENTIALS names" + in + ", or the service account of its machine"
	default:
		for _, setting := range []string{"AZURE_STORAGE_KEY", "AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGEBLOB_CONNECTIONSTRING"} {
			if os.Getenv(setting) != "" {
				return setting + in
			}
		}
		return "AZURE_STORAGE_ACCOUNT and AZURE_STORAGE_KEY" + in + ", or the identity of its machine"
	}
}

// rights are what a login must be let do, by cloud, for who only reads and for
// who writes.
var rights = map[string]map[bool]string{
	"s3": {
		false: "do s3:GetObject there, and s3:ListBucket",
		true:  "do s3:GetObject, s3:PutObject, s3:DeleteObject and s3:AbortMultipartUpload there, and s3:ListBucket",
	},
	"gs":     {false: "read there (roles/storage.objectViewer)", true: "write there (roles/storage.objectUser)"},
	"azblob": {false: "read there (Storage Blob Data Reader), and its address in", true: "write there (Storage Blob Data Contributor), and its address in"},
}

// hushed is an error that shows nothing secret of itself, and is the same to
// errors.Is.
type hushed struct {
	error
	text string
}

func (h *hushed) Error() string { return h.text }
func (h *hushed) Unwrap() error { return h.error }

// queryInText finds what follows a URL's question mark, where a signature is.
var queryInText = regexp.MustCompile(`([a-z0-9]+://[^\s"?]+)\?[^\s"]*`)

// textMost is what of a foreign error is shown.
const textMost = 600

// Hush takes from an error's text what may be a secret. Azure tells the
// signatures that it was sent, in its answer's body; a network's error shows the
// whole URL.
func Hush(err error) error {
	if err == nil {
		return nil
	}
	if _, is := errors.AsType[*hushed](err); is {
		return err
	}
	text := queryInText.ReplaceAllString(err.Error(), "$1?…")
	if api, is := errors.AsType[*azcore.ResponseError](err); is {
		text = fmt.Sprintf("%d %s", api.StatusCode, api.ErrorCode)
		if api.RawResponse != nil && api.RawResponse.Request != nil {
			request := api.RawResponse.Request
			text = fmt.Sprintf("%s %s%s: %s", request.Method, request.URL.Host, request.URL.EscapedPath(), text)
		}
	}
	if len(text) > textMost {
		text = strings.ToValidUTF8(text[:textMost], "") + "…"
	}
	return &hushed{error: err, text: text}
}
