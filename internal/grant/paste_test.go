package grant_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/grant"
	"fairlead.dev/fairlead/internal/grant/granttest"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/secret"
)

func TestWhatACloudGivesInOnePieceFillsTheFields(t *testing.T) {
	catalogue := grant.NewCatalogue(grant.Config{Transport: granttest.NewTransport(t)})
	for name, test := range map[string]struct {
		kind, text, host string
		config, secrets  map[string]string
	}{
		"AWS's CSV":          {"aws-ecr", "\ufeffAccess key ID,Secret access key\r\nAKIAIOSFODNN7EXAMPLE,s3cr/et+\r\n", "", map[string]string{"access_key_id": "AKIAIOSFODNN7EXAMPLE"}, map[string]string{"secret_access_key": "s3cr/et+"}},
		"AWS's older CSV":    {"aws-ecr", "User name,Access key ID,Secret access key\npuller,AKIAIOSFODNN7EXAMPLE,s3\n", "", map[string]string{"access_key_id": "AKIAIOSFODNN7EXAMPLE"}, map[string]string{"secret_access_key": "s3"}},
		"variables":          {"aws-ecr", "export AWS_ACCESS_KEY_ID=\"ASIA1\"\nexport AWS_SECRET_ACCESS_KEY='s=3'\nexport AWS_SESSION_TOKEN=t==\nAWS_DEFAULT_REGION=us-east-1", "", map[string]string{"access_key_id": "ASIA1", "region": "us-east-1"}, map[string]string{"secret_access_key": "s=3", "session_token": "t=="}},
		"PowerShell's":       {"aws-ecr", "$Env:AWS_ACCESS_KEY_ID=\"AKIA1\"\n$Env:AWS_SECRET_ACCESS_KEY=\"s\"", "", map[string]string{"access_key_id": "AKIA1"}, map[string]string{"secret_access_key": "s"}},
		"a credentials file": {"aws-ecr", "[default]\naws_access_key_id = AKIA1\naws_secret_access_key = s\n", "", map[string]string{"access_key_id": "AKIA1"}, map[string]string{"secret_access_key": "s"}},
		"aws iam":            {"aws-ecr", `{"AccessKey": {"UserName": "p", "AccessKeyId": "AKIA1", "Status": "Active", "SecretAccessKey": "s"}}`, "", map[string]string{"access_key_id": "AKIA1"}, map[string]string{"secret_access_key": "s"}},
		"az ad sp":           {"azure", `{"appId": "a", "displayName": "d", "password": "p~", "tenant": "t"}`, "", map[string]string{"client_id": "a", "tenant_id": "t"}, map[string]string{"client_secret": "p~"}},
		"az --sdk-auth":      {"azure", `{"clientId": "a", "clientSecret": "p~", "subscriptionId": "s", "tenantId": "t"}`, "", map[string]string{"client_id": "a", "tenant_id": "t"}, map[string]string{"client_secret": "p~"}},
		"Azure's variables":  {"azure", "AZURE_CLIENT_ID=a\nAZURE_TENANT_ID=t\nAZURE_CLIENT_SECRET=p\n", "", map[string]string{"client_id": "a", "tenant_id": "t"}, map[string]string{"client_secret": "p"}},
		"config.json":        {"generic", `{"auths": {"ghcr.io": {"auth": "Ym90OnA6dw=="}, "https://index.docker.io/v1/": {"auth": "eDp5"}}}`, "ghcr.io", map[string]string{"username": "bot"}, map[string]string{"password": "p:w"}},
		"Docker Hub's of it": {"docker-hub", `{"auths": {"ghcr.io": {"auth": "Ym90OnA6dw=="}, "https://index.docker.io/v1/": {"auth": "eDp5"}}}`, "docker.io", map[string]string{"username": "x"}, map[string]string{"access_token": "y"}},
		"plain auths":        {"jfrog", `{"auths": {"https://acme.jfrog.io": {"username": "u", "password": "p"}}}`, "acme.jfrog.io", map[string]string{"username": "u"}, map[string]string{"access_token": "p"}},
		"docker login":       {"generic", "docker login -u 'robot$acme+ci' -p \"p w\" registry.example.org:5000", "registry.example.org:5000", map[string]string{"username": "robot$acme+ci"}, map[string]string{"password": "p w"}},
		"no login at all":    {"generic", "$ echo nothing\n", "", nil, nil},
		"echo's pipe":        {"generic", "echo tok | docker login ghcr.io --username=bot --password-stdin", "ghcr.io", map[string]string{"username": "bot"}, map[string]string{"password": "tok"}},
		"a variable's pipe":  {"generic", "echo $CR_PAT | docker login ghcr.io -u bot --password-stdin", "ghcr.io", map[string]string{"username": "bot"}, nil},
		"Docker Hub's line":  {"docker-hub", "docker login -u acme", "docker.io", map[string]string{"username": "acme"}, nil},
		"nothing known":      {"aws-ecr", "hello world hush", "", nil, nil},
		"an ID alone":        {"aws-ecr", "AWS_ACCESS_KEY_ID=AKIA1", "", nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			found, err := catalogue.Paste(test.kind, secret.New(test.text))
			if test.config == nil {
				if f := fault.From(err); f == nil || f.Fields[0].Name != "pasted" || f.Hint == "" || strings.Contains(f.Sentence(), "hush") {
					t.Errorf("got %+v, %v", found, err)
				}
				return
			}
			secrets := make(map[string]string)
			for name, value := range found.Material.Secrets {
				secrets[name] = value.Reveal()
			}
			if err != nil || !maps.Equal(found.Material.Config, test.config) || !maps.Equal(secrets, test.secrets) || found.Host != test.host {
				t.Errorf("got %v %v %q, %v", found.Material.Config, secrets, found.Host, err)
			}
		})
	}
}

func TestEveryKindThatCanBePastedSaysWhat(t *testing.T) {
	catalogue := grant.NewCatalogue(grant.Config{Transport: granttest.NewTransport(t)})
	var can []string
	for _, name := range catalogue.Names() {
		if catalogue.Pasted(name) != "" {
			can = append(can, name)
		}
	}
	if want := []string{"generic", "docker-hub", "aws-ecr", "azure", "jfrog"}; !slices.Equal(can, want) {
		t.Errorf("got %v, want %v", can, want)
	}
	if _, err := catalogue.Paste("gcp", secret.New("{}")); !fault.Is(err, fault.Invalid) {
		t.Error(err)
	}
}

func TestTheLeastRightsAreTheSameBeforeASecretIsSavedAsACheckAdvises(t *testing.T) {
	catalogue := grant.NewCatalogue(grant.Config{Transport: granttest.NewTransport(t)})
	patterns := []image.Pattern{
		image.MustParsePattern("123456789012.dkr.ecr.us-east-1.amazonaws.com/acme/*"), image.MustParsePattern("acmecorp.azurecr.io/*"),
		image.MustParsePattern("public.ecr.aws/acme/*"), image.MustParsePattern("us-central1-docker.pkg.dev/my-project/ml/*"), image.MustParsePattern("ghcr.io/acme/*"),
	}
	for kind, wants := range map[string][]string{
		"aws-ecr":      {`"arn:aws:ecr:us-east-1:123456789012:repository/acme/*"`, `"sts:GetFederationToken"`, `arn:aws:sts::*:federated-user/`},
		"aws-ecr-role": {`"arn:aws:ecr:us-east-1:123456789012:repository/acme/*"`},
		"azure":        {"az role assignment create --assignee CLIENT_ID --role AcrPull --scope $(az acr show --name acmecorp "},
		"gcp":          {"add-iam-policy-binding ml --project=my-project --location=us-central1", "serviceAccount:SERVICE_ACCOUNT"},
		"generic":      {""},
	} {
		got := catalogue.Policy(kind, map[string]string{"client_id": "; rm -rf /", "service_account_email": "$(reboot)"}, patterns)
		for _, want := range wants {
			if !strings.Contains(got, want) || want == "" && got != "" || strings.Contains(got, "rm -rf") || strings.Contains(got, "reboot") {
				t.Errorf("%s: there is no %s in\n%s", kind, want, got)
			}
		}
	}
}

func FuzzPaste(f *testing.F) {
	for _, text := range []string{"a,b\nc,d", `{"a":{"b":"c"}}`, "docker login -u x -p y z", `{"auths":{"h":{"auth":"eDp5"}}}`, "echo 'x | docker login --password-stdin -u", "export A='"} {
		f.Add(text)
	}
	catalogue := grant.NewCatalogue(grant.Config{Transport: granttest.NewTransport(f)})
	f.Fuzz(func(t *testing.T, text string) {
		for _, kind := range catalogue.Names() {
			found, err := catalogue.Paste(kind, secret.New(text))
			if err != nil && !fault.Is(err, fault.Invalid) {
				t.Error(err)
			}
			if err == nil && len(found.Material.Config) == 0 {
				t.Errorf("%s was found nothing in, and it is no error", text)
			}
		}
	})
}
