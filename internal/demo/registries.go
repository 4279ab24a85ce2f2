package demo

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"

	"fairlead.dev/fairlead/internal/app"
	"fairlead.dev/fairlead/internal/demoimage"
	"fairlead.dev/fairlead/internal/grant/granttest"
	"fairlead.dev/fairlead/internal/secret"
)

// shelf is one private registry with the one identity that may read it, and what
// an admin enters for it.
type shelf struct {
	kind    string // of the credential
	pattern string

	// repository holds the image that the step of that name runs on, which then
	// says output.
	repository   string
	step, output string
	image        demoimage.Options

	// start starts the registry, and fills in what is to be entered.
	start func(*shelf) (*granttest.Registry, error)

	config  map[string]string
	secrets map[string]secret.Text

	registry *granttest.Registry
	aws      *granttest.AWS    // of aws-ecr and aws-ecr-role
	google   *granttest.Google // of gcp
	azure    *granttest.Azure  // of azure
	close    func() error      // nil: there is nothing but the registry to end
}

// shelves has a registry for each kind of credential.
func shelves() []*shelf {
	return []*shelf{
		{
			kind: "generic", pattern: "registry.acme.example/ml/*", repository: "ml/train", step: "train", output: "epoch 3",
			image: demoimage.Options{User: "trainer", Layers: 2, LayerBytes: 2 << 20},
			start: func(s *shelf) (*granttest.Registry, error) {
				return s.login(granttest.Generic, "robot", "password", newPassword())
			},
		},
		{
			kind: "docker-hub", pattern: "docker.io/acme/*", repository: "acme/report", step: "report", output: "accuracy 0.97",
			image: demoimage.Options{Files: map[string][]byte{"etc/motd": []byte("accuracy 0.97\n")}},
			start: func(s *shelf) (*granttest.Registry, error) {
				return s.login(granttest.DockerHub, "acme", "access_token", secret.New("dckr_pat_"+newPassword().Reveal()))
			},
		},
		{
			kind: "jfrog", pattern: "acme.jfrog.io/ml/*", repository: "ml/infer", step: "infer", output: "inferring in /valohai/repository",
			start: func(s *shelf) (*granttest.Registry, error) {
				return s.login(granttest.JFrog, "reader", "access_token", newPassword())
			},
		},
		{
			kind: "aws-ecr", pattern: "123456789012.dkr.ecr.us-east-1.amazonaws.com/ml/*", repository: "ml/label",
			step: "label", output: "labelled 12 images",
			start: startECR,
		},
		{
			kind: "aws-ecr-role", pattern: "210987654321.dkr.ecr.eu-west-1.amazonaws.com/ml/*", repository: "ml/export",
			step: "export", output: "exported",
			start: startECRRole,
		},
		{
			kind: "gcp", pattern: "us-central1-docker.pkg.dev/my-project/ml/*", repository: "my-project/ml/embed",
			step: "embed", output: "embedded",
			start: func(s *shelf) (_ *granttest.Registry, err error) {
				if s.google, err = granttest.StartGoogle(granttest.GoogleOptions{}); err != nil {
					return nil, err
				}
				key, err := s.google.AddServiceAccount("fairlead", "my-project", map[string]granttest.GoogleRole{"my-project/ml": granttest.GoogleReader})
				s.secrets = map[string]secret.Text{"service_account_json": secret.New(key)}
				return s.google.Registry, err
			},
		},
		{
			kind: "azure", pattern: "myregistry.azurecr.io/*", repository: "ml-training",
			step: "evaluate", output: "evaluated",
			start: func(s *shelf) (_ *granttest.Registry, err error) {
				if s.azure, err = granttest.StartAzure(granttest.AzureOptions{}); err != nil {
					return nil, err
				}
				id, value := s.azure.AddApplication(granttest.AcrPull)
				s.config = map[string]string{"tenant_id": s.azure.Tenant(), "client_id": id}
				s.secrets = map[string]secret.Text{"client_secret": secret.New(value)}
				return s.azure.Registry, nil
			},
		},
	}
}

// What the identities of the demo may do at AWS.
const (
	awsPull = `{"Version": "2012-10-17", "Statement": [
		{"Effect": "Allow", "Action": "ecr:GetAuthorizationToken", "Resource": "*"},
		{"Effect": "Allow", "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchCheckLayerAvailability"],
		 "Resource": "arn:aws:ecr:*:*:repository/ml/*"}]}`
	awsChecks = `{"Version": "2012-10-17", "Statement": [
		{"Effect": "Allow", "Action": ["sts:GetFederationToken", "ecr:DescribeRepositories", "iam:ListAccessKeys"], "Resource": "*"}]}`
)

// startECR starts ECR with an IAM user who may pull.
func startECR(s *shelf) (*granttest.Registry, error) {
	aws, err := granttest.StartAWS(granttest.AWSOptions{})
	if err != nil {
		return nil, err
	}
	id, key := aws.AddIAMUser("fairlead", awsPull, awsChecks)
	s.aws = aws
	s.config = map[string]string{"access_key_id": id}
	s.secrets = map[string]secret.Text{"secret_access_key": secret.New(key)}
	return aws.Registry, nil
}

// startECRRole starts ECR of another account, and the metadata service of a
// machine whose role may pull from it: this one, for as long as the demo runs.
func startECRRole(s *shelf) (*granttest.Registry, error) {
	aws, err := granttest.StartAWS(granttest.AWSOptions{Account: "210987654321", Region: "eu-west-1"})
	if err != nil {
		return nil, err
	}
	aws.AddRole("gpu-box", "", nil, awsPull)
	machine, err := aws.StartMachine("gpu-box")
	if err != nil {
		return nil, errors.Join(err, aws.Close())
	}
	restore, err := setEnvironment(map[string]string{
		"AWS_EC2_METADATA_SERVICE_ENDPOINT": machine.URL(), "AWS_EC2_METADATA_DISABLED": "",
		"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "", "AWS_ROLE_ARN": "",
		"AWS_WEB_IDENTITY_TOKEN_FILE": "", "AWS_CONTAINER_CREDENTIALS_FULL_URI": "", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
	})
	s.aws = aws
	s.close = func() error { return errors.Join(restore(), machine.Close()) }
	return aws.Registry, err
}

// setEnvironment sets variables of this process and returns what sets them back.
func setEnvironment(values map[string]string) (restore func() error, err error) {
	before := make(map[string]string)
	for name, value := range values {
		if old, set := os.LookupEnv(name); set {
			before[name] = old
		}
		if value == "" {
			err = errors.Join(err, os.Unsetenv(name))
		} else {
			err = errors.Join(err, os.Setenv(name, value))
		}
	}
	return func() error {
		var errs []error
		for name := range values {
			if old, set := before[name]; set {
				errs = append(errs, os.Setenv(name, old))
			} else {
				errs = append(errs, os.Unsetenv(name))
			}
		}
		return errors.Join(errs...)
	}, err
}

// login starts a registry with a user who has a name and a secret.
func (s *shelf) login(kind granttest.Kind, user, field string, password secret.Text) (*granttest.Registry, error) {
	registry, err := granttest.Start(granttest.Options{Kind: kind})
	if err != nil {
		return nil, err
	}
	registry.AddUser(user, password.Reveal(), granttest.Pull(s.repository))
	s.config = map[string]string{"username": user}
	s.secrets = map[string]secret.Text{field: password}
	return registry, nil
}

const tag = "v1"

// open starts the registry and pushes its image.
func (s *shelf) open(ctx context.Context) (err error) {
	if s.registry, err = s.start(s); err != nil {
		return fmt.Errorf("starting the registry of kind %s: %w", s.kind, err)
	}
	image, err := demoimage.New(s.image)
	if err != nil {
		return fmt.Errorf("making the image of %s: %w", s.repository, err)
	}
	if _, err := s.registry.Push(ctx, s.repository, tag, image); err != nil {
		return fmt.Errorf("pushing the image of %s: %w", s.repository, err)
	}
	return nil
}

// configuration is what an admin enters.
func (s *shelf) configuration() map[string]string {
	all := maps.Clone(s.config)
	if all == nil {
		all = make(map[string]string)
	}
	for name, value := range s.secrets {
		all[name] = value.Reveal()
	}
	return all
}

func (s *shelf) name() string { return s.registry.Host() + "/" + s.repository + ":" + tag }

// settings tell the server how to reach the registry, as an admin with private
// endpoints would.
func (s *shelf) settings(dir string, config *app.RegistryConfig) error {
	for i, rule := range s.registry.Rules() {
		file := filepath.Join(dir, fmt.Sprintf("%s-%d.pem", s.kind, i))
		if err := os.WriteFile(file, rule.CA, 0o600); err != nil {
			return fmt.Errorf("writing the certificates of a registry: %w", err)
		}
		config.Addresses = append(config.Addresses, rule.Host+"="+rule.Address)
		config.CAs = append(config.CAs, rule.Host+"="+file)
	}
	return nil
}

func closeShelves(all []*shelf) error {
	var errs []error
	for _, s := range all {
		if s.registry != nil {
			errs = append(errs, s.registry.Close())
		}
		if s.close != nil {
			errs = append(errs, s.close())
		}
	}
	return errors.Join(errs...)
}
