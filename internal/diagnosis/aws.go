package diagnosis

import (
	"net/http"
	"regexp"

	"fairlead.dev/fairlead/internal/fault"
)

// performs finds the action and what it is to be done to in AWS's words.
var performs = regexp.MustCompile(`not authorized to perform: (?P<action>[\w:-]+)(?: on resource: (?P<resource>\S+))?`)

// awsRows are ECR's and its APIs'.
// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/CommonErrors.html
// https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html
var awsRows = []Row{
	{
		Services: []Service{AWS}, Codes: []string{"UnrecognizedClientException", "InvalidClientTokenId", "InvalidAccessKeyId"},
		Kind: fault.Unauthenticated, Code: "aws_key_unknown",
		Sentence: "AWS does not know the access key {user}: it was deleted or deactivated, or is not copied whole",
		Hint:     "Look at the user's keys in IAM, and give one that is active with `fairlead registry rotate NAME`.",
	},
	{
		Services: []Service{AWS}, Codes: []string{"InvalidSignatureException", "SignatureDoesNotMatch", "RequestExpired", "RequestTimeTooSkewed"},
		Says: regexp.MustCompile(`(?i)signature (expired|not yet current)|request has expired|too skewed`),
		Kind: fault.Unauthenticated, Code: "clock_skew",
		Sentence: "AWS refused the request for its time: the clock of this machine differs from AWS's by more than five minutes",
		Hint:     hintClock,
	},
	{
		Services: []Service{AWS}, Codes: []string{"InvalidSignatureException", "SignatureDoesNotMatch"},
		Kind: fault.Unauthenticated, Code: "secret_refused",
		Sentence: "AWS knows the access key {user}, but the secret access key does not belong to it",
		Hint:     "Give the secret again with `fairlead registry rotate NAME`; AWS shows it once, so make another key if in doubt.",
	},
	{
		Services: []Service{AWS}, Codes: []string{"ExpiredToken", "ExpiredTokenException"},
		Kind: fault.Unauthenticated, Code: "secret_expired",
		Sentence: "AWS says that the temporary key {user} has expired",
		Hint:     "Use a lasting key (AKIA…) of a user who may only pull, or the worker's own role (kind aws-ecr-role).",
	},
	{
		Services: []Service{AWS}, Codes: []string{"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}, Says: performs,
		Kind: fault.Denied, Code: "aws_action_denied",
		Sentence: "AWS accepts {user}, which is not allowed the action {action} that it takes",
		Hint:     "Allow {action} in the policy of the user or role; docs/registries/aws-ecr.md has the policy to paste.",
	},
	{
		Services: []Service{AWS}, Codes: []string{"AccessDenied", "AccessDeniedException"},
		Kind: fault.Denied, Code: "aws_action_denied",
		Sentence: "AWS accepts {user} and does not allow what it takes",
		Hint:     "Compare the policy of the user or role with the one in docs/registries/aws-ecr.md.",
	},
	{
		Services: []Service{AWS}, Codes: []string{"Throttling", "ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded", "RequestThrottled"},
		Kind: fault.Exhausted, Code: "cloud_throttled",
		Sentence: "AWS takes no more requests of this account for the moment",
		Hint:     "It passes by itself; grants that hold are used meanwhile.",
	},
	{
		Services: []Service{AWS}, Codes: []string{"LimitExceeded", "LimitExceededException"},
		Kind: fault.Conflict, Code: "aws_keys_full",
		Sentence: "the user of {user} has two access keys already, and AWS allows no third",
		Hint:     "Delete the one that nobody uses in IAM, and try again.",
	},
	{
		Services: []Service{AWS}, Codes: []string{"NoSuchEntity", "NoSuchEntityException"},
		Kind: fault.NotFound, Code: "aws_unknown",
		Sentence: "AWS does not know what it was asked about",
		Hint:     "Check the names of the user and the role in the credential.",
	},
	{
		Services: []Service{AWS}, Codes: []string{"RegionDisabledException", "OptInRequired"},
		Kind: fault.Denied, Code: "aws_region_closed",
		Sentence: "the AWS account has not turned on the region that {image} is in",
		Hint:     "Turn it on in the account's settings, for STS too.",
	},
	{
		Services: []Service{ECR}, Statuses: []int{http.StatusForbidden, http.StatusUnauthorized}, Says: regexp.MustCompile(`(?i)authorization token has expired`),
		Kind: fault.Unauthenticated, Code: "grant_expired",
		Sentence: "{host} says that the token it was shown for {image} has expired",
		Hint:     "Run it again; if it stays so, check the clocks of the server and of the worker.",
	},
	{
		Services: []Service{ECR}, Statuses: []int{http.StatusForbidden}, Says: performs,
		Kind: fault.Denied, Code: "access_denied",
		Sentence: "{host} knows who asks for {image}, who is not allowed the action {action} there",
		Hint:     "Allow {action} on {resource} in the policy of the user or role, and for another account's registry in the repository's own policy too.",
	},
	{
		Services: []Service{ECR}, Codes: []string{"NAME_UNKNOWN"},
		Kind: fault.NotFound, Code: "repository_not_found",
		Sentence: "{host} has no repository for {image}",
		Hint:     "Check the spelling of the name, the account and the region in the host, and that the repository was created: ECR creates none by itself.",
	},
	{
		Services: []Service{ECR}, Statuses: []int{http.StatusUnauthorized},
		Kind: fault.Unauthenticated, Code: "unauthorized",
		Sentence: "{host} does not take the token that it was shown for {image}",
		Hint:     "Check that the credential is for the account and region in the image's host.",
	},
}
