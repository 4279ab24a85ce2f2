package diagnosis

import (
	"regexp"

	"fairlead.dev/fairlead/internal/image"
)

// hosts tell whose registry a host is.
var hosts = []struct {
	is      *regexp.Regexp
	service Service
}{
	{regexp.MustCompile(`\.dkr[.-]ecr(-fips)?\.|^public\.ecr\.aws$`), ECR},
	{regexp.MustCompile(`-docker\.pkg\.dev$|(^|\.)gcr\.io$`), ArtifactRegistry},
	{regexp.MustCompile(`\.azurecr\.(io|cn|us)$`), ACR},
	{regexp.MustCompile(`\.jfrog\.io$`), JFrog},
}

// At is the service that a registry's host name tells; Registry where it tells
// none. The host is as in an image's name.
func At(host string) Service {
	if host == image.Hub {
		return DockerHub
	}
	for _, h := range hosts {
		if h.is.MatchString(host) {
			return h.service
		}
	}
	return Registry
}
