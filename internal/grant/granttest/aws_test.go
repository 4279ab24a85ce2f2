package granttest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// The key of AWS's own examples.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
const exampleSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

func TestASignatureIsWhatAWSsOwnTestSuiteSays(t *testing.T) {
	for target, want := range map[string]string{
		"/":                             "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31", // get-vanilla
		"/?Param2=value2&Param1=value1": "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500", // get-vanilla-query-order-key-case
	} {
		request := httptest.NewRequest(http.MethodGet, "https://example.amazonaws.com"+target, nil)
		request.Header.Set("X-Amz-Date", "20150830T123600Z")
		got := signature4(request, nil, []string{"host", "x-amz-date"}, exampleSecret,
			[]string{"AKIDEXAMPLE", "20150830", "us-east-1", "service", "aws4_request"}, "20150830T123600Z")
		if got != want {
			t.Errorf("%s: %s, want %s", target, got, want)
		}
	}
}

// signed is a request to ECR's API with a key's signature, made as of now but
// for what change does before it is signed.
func signed(a *AWS, key *awsKey, body, service string, at time.Time, headers ...string) *http.Request {
	request := httptest.NewRequest(http.MethodPost, "https://api.ecr.us-east-1.amazonaws.com/", strings.NewReader(body))
	stamp := at.UTC().Format("20060102T150405Z")
	request.Header.Set("X-Amz-Date", stamp)
	request.Header.Set("X-Amz-Target", "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken")
	if key.token != "" {
		request.Header.Set("X-Amz-Security-Token", key.token)
	}
	scope := []string{key.id, stamp[:8], a.options.Region, service, "aws4_request"}
	request.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+strings.Join(scope, "/")+", SignedHeaders="+strings.Join(headers, ";")+
		", Signature="+signature4(request, []byte(body), headers, key.secret, scope, stamp))
	return request
}

func TestARequestIsRefusedForWhateverItsSignatureDoesNotCover(t *testing.T) {
	a := NewAWS(t, AWSOptions{})
	id, _ := a.AddIAMUser("fairlead", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`)
	key := a.keys[id]
	all := []string{"host", "x-amz-date", "x-amz-target"}
	now := time.Now()
	for name, test := range map[string]struct {
		request *http.Request
		body    string
		code    string
	}{
		"as it should be":            {signed(a, key, "{}", "ecr", now, all...), "{}", ""},
		"another body":               {signed(a, key, "{}", "ecr", now, all...), `{"registryIds":["1"]}`, "InvalidSignature"},
		"a header left out":          {signed(a, key, "{}", "ecr", now, "host", "x-amz-date"), "{}", "IncompleteSignature"},
		"for another service":        {signed(a, key, "{}", "s3", now, all...), "{}", "InvalidSignature"},
		"of six minutes ago":         {signed(a, key, "{}", "ecr", now.Add(-6*time.Minute), all...), "{}", "InvalidSignature"},
		"of six minutes from now":    {signed(a, key, "{}", "ecr", now.Add(6*time.Minute), all...), "{}", "InvalidSignature"},
		"of nobody":                  {signed(a, &awsKey{id: "AKIAIOSFODNN7EXAMPLE"}, "{}", "ecr", now, all...), "{}", "UnrecognizedClient"},
		"with another secret":        {signed(a, &awsKey{id: id, secret: exampleSecret}, "{}", "ecr", now, all...), "{}", "InvalidSignature"},
		"without any authorization":  {httptest.NewRequest(http.MethodPost, "https://api.ecr.us-east-1.amazonaws.com/", nil), "", "MissingAuthenticationToken"},
		"with a token of no session": {signed(a, &awsKey{id: id, secret: key.secret, token: "IQoJ"}, "{}", "ecr", now, append(all, "x-amz-security-token")...), "{}", "UnrecognizedClient"},
	} {
		_, refusal := a.verify(test.request, []byte(test.body), "ecr")
		if refusal == nil && test.code != "" || refusal != nil && refusal.code != test.code {
			t.Errorf("%s: %+v, want %q", name, refusal, test.code)
		}
	}
	other := signed(a, key, "{}", "ecr", now, all...)
	other.Host = "sts.us-east-1.amazonaws.com"
	if _, refusal := a.verify(other, []byte("{}"), "ecr"); refusal == nil {
		t.Error("a request for one host was taken at another")
	}
}

func TestASessionOfAKeyEndsAndKnowsItsToken(t *testing.T) {
	a := NewAWS(t, AWSOptions{})
	a.mu.Lock()
	session := a.newSession(awsPrincipal{arn: "arn:aws:sts::123456789012:assumed-role/x/y"}, time.Hour)
	gone := a.newSession(session.who, -time.Hour)
	a.mu.Unlock()
	all := []string{"host", "x-amz-date", "x-amz-security-token", "x-amz-target"}
	if _, refusal := a.verify(signed(a, session, "{}", "ecr", time.Now(), all...), []byte("{}"), "ecr"); refusal != nil {
		t.Errorf("a session that holds: %+v", refusal)
	}
	if _, refusal := a.verify(signed(a, gone, "{}", "ecr", time.Now(), all...), []byte("{}"), "ecr"); refusal == nil || refusal.code != "ExpiredToken" {
		t.Errorf("a session that has ended: %+v", refusal)
	}
}

func TestAPolicyAllowsWhatItNamesAndADenialWins(t *testing.T) {
	allow := mustPolicy([]string{`{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":["ecr:Batch*","ecr:GetAuthorizationToken"],"Resource":["arn:aws:ecr:us-east-1:123456789012:repository/ml/*","*-shared"]},
		{"Effect":"Deny","Action":"ecr:BatchDelete*","Resource":"*"}]}`})
	for _, test := range []struct {
		action, repository string
		want               bool
	}{
		{"ecr:BatchGetImage", "ml/train", true},
		{"ECR:batchgetimage", "ml/a/b", true},
		{"ecr:BatchGetImage", "mlx", false},
		{"ecr:BatchGetImage", "ml-shared", true},
		{"ecr:BatchDeleteImage", "ml/train", false},
		{"ecr:PutImage", "ml/train", false},
	} {
		if got := allow.allows(test.action, "arn:aws:ecr:us-east-1:123456789012:repository/"+test.repository); got != test.want {
			t.Errorf("%s on %s: %t", test.action, test.repository, got)
		}
	}
	nothing := new(policy)
	if (awsPrincipal{policy: allow, session: nothing}).may("ecr:BatchGetImage", "x-shared") {
		t.Error("a session's policy that allows nothing takes nothing away")
	}
	for _, text := range []string{
		`{"Version":"2012-10-17","Statement":[]}`, `{"Version":"2008-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`,
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","NotAction":"*","Resource":"*"}]}`, `nonsense`,
	} {
		if _, err := parsePolicy(text); err == nil {
			t.Errorf("it is taken for a policy: %s", text)
		}
	}
}

func TestAMachinesMetadataIsForWhoAsksForATokenFirstAndFromTheMachineItself(t *testing.T) {
	a := NewAWS(t, AWSOptions{})
	a.AddRole("gpu-box", "", nil)
	m := NewMachine(t, a, "gpu-box")
	do := func(method, path string, headers ...string) (int, string) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), method, m.URL()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(headers); i += 2 {
			request.Header.Set(headers[i], headers[i+1])
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(body)
	}
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	const life, keys = "X-aws-ec2-metadata-token-ttl-seconds", "/latest/meta-data/iam/security-credentials/"
	if status, _ := do(http.MethodGet, keys); status != http.StatusUnauthorized {
		t.Errorf("without a token: %d", status)
	}
	for _, seconds := range []string{"", "0", "21601", "soon"} {
		if status, _ := do(http.MethodPut, "/latest/api/token", life, seconds); status != http.StatusBadRequest {
			t.Errorf("a token for %q seconds: %d", seconds, status)
		}
	}
	if status, _ := do(http.MethodPut, "/latest/api/token", life, "60", "X-Forwarded-For", "10.0.0.1"); status != http.StatusForbidden {
		t.Errorf("by way of a proxy: %d", status)
	}
	status, token := do(http.MethodPut, "/latest/api/token", life, "60")
	if status != http.StatusOK {
		t.Fatalf("a token: %d", status)
	}
	if _, role := do(http.MethodGet, keys, "X-aws-ec2-metadata-token", token); role != "gpu-box" {
		t.Errorf("the role is %q", role)
	}
	if status, found := do(http.MethodGet, keys+"gpu-box", "X-aws-ec2-metadata-token", token); status != http.StatusOK || !strings.Contains(found, `"Expiration"`) {
		t.Errorf("its keys: %d", status)
	}
}
