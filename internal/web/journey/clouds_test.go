package journey_test

import (
	"fairlead.dev/fairlead/internal/grant/granttest"
)

// What identities may do at AWS.
const (
	awsPull = `{"Version": "2012-10-17", "Statement": [
		{"Effect": "Allow", "Action": "ecr:GetAuthorizationToken", "Resource": "*"},
		{"Effect": "Allow", "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchCheckLayerAvailability"],
		 "Resource": "arn:aws:ecr:*:*:repository/ml/*"}]}`
	awsChecks = `{"Version": "2012-10-17", "Statement": [
		{"Effect": "Allow", "Action": ["sts:GetFederationToken", "ecr:DescribeRepositories", "iam:ListAccessKeys"], "Resource": "*"}]}`
)

// entry is what an admin types to add the registry of one kind.
type entry struct {
	kind, title string
	pattern     string
	told        string // by its check
	registry    *granttest.Registry

	// fields are labels and what is typed; of a secret one, the label is secret.
	fields map[string]string
	secret string
}

// entries are those of each kind: their registries have started, with an image each.
// The server is told of them.
func (s *server) entries() []entry {
	t := s.t
	t.Helper()
	jfrog := newRegistry(t, granttest.Options{Kind: granttest.JFrog}, granttest.Pull("ml/*"), "ml/infer")

	ecr := granttest.NewAWS(t, granttest.AWSOptions{})
	push(t, ecr.Registry, "ml/label")
	keyID, key := ecr.AddIAMUser("fairlead", awsPull, awsChecks)

	far := granttest.NewAWS(t, granttest.AWSOptions{Account: "210987654321", Region: "eu-west-1"})
	push(t, far.Registry, "ml/export")
	google := granttest.NewGoogle(t, granttest.GoogleOptions{})
	push(t, google.Registry, "my-project/ml/embed")
	json, err := google.AddServiceAccount("fairlead", "my-project", map[string]granttest.GoogleRole{"my-project/ml": granttest.GoogleReader})
	s.check(err)

	azure := granttest.NewAzure(t, granttest.AzureOptions{})
	push(t, azure.Registry, "ml-training")
	client, value := azure.AddApplication(granttest.AcrPull)

	s.reaches(jfrog, ecr.Registry, far.Registry, google.Registry, azure.Registry)
	return []entry{
		{
			kind: "generic", registry: s.registry, title: "Any registry", pattern: "registry.acme.example/ml/*",
			told:   "It can read 1 repository of registry.acme.example that a pattern covers",
			fields: map[string]string{"User name": robot, "Password or token": robotPassword}, secret: "Password or token",
		},
		{
			kind: "docker-hub", registry: s.hub, title: "Docker Hub", pattern: "docker.io/acme/*",
			told:   "accepts",
			fields: map[string]string{"User name": robot, "Access token": robotPassword}, secret: "Access token",
		},
		{
			kind: "aws-ecr", registry: ecr.Registry, title: "AWS ECR, access key", pattern: "123456789012.dkr.ecr.us-east-1.amazonaws.com/ml/*",
			told:   "Each grant is limited to pulling the one repository",
			fields: map[string]string{"Access key ID": keyID, "Secret access key": key}, secret: "Secret access key",
		},
		{
			kind: "aws-ecr-role", registry: far.Registry, title: "AWS ECR, the worker's role", pattern: "210987654321.dkr.ecr.eu-west-1.amazonaws.com/ml/*",
			told: "There is no secret to check: each worker pulls with a role of its own",
		},
		{
			kind: "gcp", registry: google.Registry, title: "Google Artifact Registry", pattern: "us-central1-docker.pkg.dev/my-project/ml/*",
			told:   "accepts",
			fields: map[string]string{"Service account key optional": json}, secret: "Service account key optional",
		},
		{
			kind: "azure", registry: azure.Registry, title: "Azure Container Registry", pattern: "myregistry.azurecr.io/*",
			told:   "It lists 1 repository of myregistry.azurecr.io that a pattern covers",
			fields: map[string]string{"Tenant ID": azure.Tenant(), "Client ID": client, "Client secret optional": value}, secret: "Client secret optional",
		},
		{
			kind: "jfrog", registry: jfrog, title: "JFrog Artifactory", pattern: "acme.jfrog.io/ml/*",
			told:   "It can read 1 repository of acme.jfrog.io that a pattern covers",
			fields: map[string]string{"User name optional": robot, "Access token": robotPassword}, secret: "Access token",
		},
	}
}
