package grant

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAnECRHostTellsItsAccountRegionAndForm(t *testing.T) {
	const account = "123456789012"
	for name, want := range map[string]ecrHost{
		account + ".dkr.ecr.us-east-1.amazonaws.com":                {account: account, region: "us-east-1"},
		account + ".dkr.ecr-fips.us-gov-west-1.amazonaws.com":       {account: account, region: "us-gov-west-1", fips: true},
		account + ".dkr.ecr.cn-northwest-1.amazonaws.com.cn":        {account: account, region: "cn-northwest-1"},
		account + ".dkr.ecr.eusc-de-east-1.amazonaws.eu":            {account: account, region: "eusc-de-east-1"},
		account + ".dkr.ecr.us-iso-east-1.c2s.ic.gov":               {account: account, region: "us-iso-east-1"},
		account + ".dkr.ecr.us-isob-east-1.sc2s.sgov.gov":           {account: account, region: "us-isob-east-1"},
		account + ".dkr-ecr.eu-west-1.on.aws":                       {account: account, region: "eu-west-1", dualStack: true},
		account + ".dkr-ecr-fips.us-east-2.on.aws":                  {account: account, region: "us-east-2", fips: true, dualStack: true},
		account + ".dkr-ecr.cn-north-1.on.amazonwebservices.com.cn": {account: account, region: "cn-north-1", dualStack: true},
		"vpce-0123-abcd.dkr.ecr.eu-west-1.vpce.amazonaws.com":       {region: "eu-west-1"},
		account + ".dkr.ecr.eu-west-1.vpce.amazonaws.com":           {account: account, region: "eu-west-1"},
		"vpce-0123-abcd.dkr.ecr.cn-north-1.vpce.amazonaws.com.cn":   {region: "cn-north-1"},
		"vpce-0123-abcd.dkr.ecr-fips.us-east-1.vpce.amazonaws.com":  {region: "us-east-1", fips: true},
		"public.ecr.aws": {region: "us-east-1", public: true},
	} {
		got, ok := parseECRHost(name)
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(ecrHost{})); !ok || diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestAHostThatOnlyLooksLikeECRsIsNone(t *testing.T) {
	for _, name := range []string{
		"", "docker.io", "ecr.us-east-1.amazonaws.com", "api.ecr.us-east-1.amazonaws.com",
		"12345678901.dkr.ecr.us-east-1.amazonaws.com", "x123456789012.dkr.ecr.us-east-1.amazonaws.com",
		"123456789012.dkr.ecr.us-east-1.amazonaws.com.evil.example", "123456789012.dkr.ecr.us-east-1.evil.example",
		"123456789012.dkr.ecr.us-east-1.amazonaws.com:8443", "123456789012.dkr.ecr.amazonaws.com",
		"evil.example/123456789012.dkr.ecr.us-east-1.amazonaws.com", "123456789012.dkr-ecr.us-east-1.amazonaws.com",
		"*.dkr.ecr.us-east-1.amazonaws.com", "public.ecr.aws.evil.example",
	} {
		if got, ok := parseECRHost(name); ok {
			t.Errorf("%q is taken for %+v", name, got)
		}
	}
}

// What the parser takes must end in a name that only AWS can hold, since a
// cloud's secret is traded for what is shown there.
func FuzzParseECRHost(f *testing.F) {
	for _, seed := range []string{
		"123456789012.dkr.ecr.us-east-1.amazonaws.com", "123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com",
		"123456789012.dkr-ecr.eu-west-1.on.aws", "vpce-0123.dkr.ecr.eu-west-1.vpce.amazonaws.com", "public.ecr.aws",
		"123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "a.b.dkr.ecr.x-y-1.vpce.amazonaws.com\n",
	} {
		f.Add(seed)
	}
	ends := []string{
		".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu", ".on.aws", ".on.amazonwebservices.com.cn", ".on.amazonwebservices.eu",
		".c2s.ic.gov", ".sc2s.sgov.gov", ".cloud.adc-e.uk", ".csp.hci.ic.gov",
	}
	f.Fuzz(func(t *testing.T, name string) {
		host, ok := parseECRHost(name)
		if !ok || host.public && name == ecrPublic {
			return
		}
		owned := false
		for _, end := range ends {
			owned = owned || strings.HasSuffix(name, end)
		}
		if !owned || !regionShape.MatchString(host.region) || !strings.Contains(name, "."+host.region+".") ||
			strings.ContainsAny(name, "/:@*\n\r \x00") || host.account != "" && !strings.HasPrefix(name, host.account+".") {
			t.Errorf("%q is taken for %+v", name, host)
		}
		if arn := host.repositoryARN("a"); strings.Count(arn, ":") != 5 {
			t.Errorf("%q gives the ARN %s", name, arn)
		}
	})
}
