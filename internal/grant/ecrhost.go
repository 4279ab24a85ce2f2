package grant

import (
	"regexp"
	"strings"
)

// ecrHost is what the name of an ECR registry tells.
// https://docs.aws.amazon.com/AmazonECR/latest/userguide/Registries.html
// https://docs.aws.amazon.com/general/latest/gr/ecr.html
type ecrHost struct {
	account   string // twelve digits; "" where the name does not say
	region    string
	fips      bool
	dualStack bool
	public    bool // public.ecr.aws
}

var (
	ecrClassic   = regexp.MustCompile(`^(\d{12})\.dkr\.ecr(-fips)?\.([a-z]{2,5}(?:-[a-z]+)+-\d{1,2})\.(amazonaws\.com|amazonaws\.com\.cn|amazonaws\.eu|c2s\.ic\.gov|sc2s\.sgov\.gov|cloud\.adc-e\.uk|csp\.hci\.ic\.gov)$`)
	ecrDualStack = regexp.MustCompile(`^(\d{12})\.dkr-ecr(-fips)?\.([a-z]{2,5}(?:-[a-z]+)+-\d{1,2})\.on\.(aws|amazonwebservices\.com\.cn|amazonwebservices\.eu)$`)
	ecrEndpoint  = regexp.MustCompile(`^(?:([a-z0-9-]+)\.)+dkr\.ecr(-fips)?\.([a-z]{2,5}(?:-[a-z]+)+-\d{1,2})\.vpce\.amazonaws\.com(?:\.cn)?$`)
	twelveDigits = regexp.MustCompile(`^\d{12}$`)
)

// ecrPublic is the registry of ECR Public, whose API is in one region alone.
const (
	ecrPublic       = "public.ecr.aws"
	ecrPublicRegion = "us-east-1"
)

// parseECRHost reads the host of an image's name.
func parseECRHost(host string) (ecrHost, bool) {
	if host == ecrPublic {
		return ecrHost{region: ecrPublicRegion, public: true}, true
	}
	for _, form := range []*regexp.Regexp{ecrClassic, ecrDualStack, ecrEndpoint} {
		found := form.FindStringSubmatch(host)
		if found == nil {
			continue
		}
		h := ecrHost{region: found[3], fips: found[2] != "", dualStack: form == ecrDualStack}
		first, _, _ := strings.Cut(host, ".")
		if twelveDigits.MatchString(first) {
			h.account = first
		}
		return h, true
	}
	return ecrHost{}, false
}

// partition is the part of AWS that a region is in: the second part of every
// ARN there.
// https://docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/partitions.html
func partition(region string) string {
	for _, p := range []struct{ prefix, name string }{
		{"cn-", "aws-cn"},
		{"us-gov-", "aws-us-gov"},
		{"us-isob-", "aws-iso-b"},
		{"us-isof-", "aws-iso-f"},
		{"eu-isoe-", "aws-iso-e"},
		{"us-iso-", "aws-iso"},
		{"eusc-", "aws-eusc"},
	} {
		if strings.HasPrefix(region, p.prefix) {
			return p.name
		}
	}
	return "aws"
}

// repositoryARN names a repository; `*` stands for an account that the host does
// not tell.
func (h ecrHost) repositoryARN(repository string) string {
	account := h.account
	if account == "" {
		account = "*"
	}
	return "arn:" + partition(h.region) + ":ecr:" + h.region + ":" + account + ":repository/" + repository
}
