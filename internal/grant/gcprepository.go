package grant

import (
	"slices"
	"strings"
)

// artifactRepository is a repository of Artifact Registry, which holds any number
// of images; without a name, it is all those of a project in a location.
type artifactRepository struct{ host, project, location, name string }

// legacyLocations are where the repositories of Container Registry's hosts are,
// which have the hosts' own names.
// https://cloud.google.com/artifact-registry/docs/transition/setup-gcr-repo
var legacyLocations = map[string]string{"gcr.io": "us", "us.gcr.io": "us", "eu.gcr.io": "europe", "asia.gcr.io": "asia"}

// parseArtifactPath reads which repository the path of an image or of a pattern
// is in; false where it names no project. A project that is a domain's has the
// domain as a part of its own: example.com/my-project.
func parseArtifactPath(host, path string) (r artifactRepository, ok bool) {
	parts := strings.Split(path, "/")
	r = artifactRepository{host: host, project: parts[0]}
	rest := parts[1:]
	if strings.Contains(parts[0], ".") && len(rest) > 0 {
		r.project, rest = parts[0]+":"+parts[1], rest[1:]
	}
	if !googleHost.MatchString(host) || !googleProject.MatchString(r.project) {
		return artifactRepository{}, false
	}
	if location, legacy := legacyLocations[host]; legacy {
		r.location, r.name = location, host
		return r, true
	}
	r.location = strings.TrimSuffix(host, "-docker.pkg.dev")
	if len(rest) > 0 && !strings.ContainsAny(rest[0], "*?") {
		r.name = rest[0]
	}
	return r, true
}

// artifactRepositories are those that the image and the patterns of a check name.
func artifactRepositories(request CheckRequest) []artifactRepository {
	var all []artifactRepository
	add := func(host, path string) {
		if r, ok := parseArtifactPath(host, path); ok && !slices.Contains(all, r) {
			all = append(all, r)
		}
	}
	if !request.Image.IsZero() {
		add(request.Image.Host(), request.Image.Repository())
	}
	for _, pattern := range request.Patterns {
		add(pattern.Host(), pattern.Path())
	}
	return all
}

// place is the resource that holds the project's repositories of a location.
func (r artifactRepository) place() string {
	return "projects/" + r.project + "/locations/" + r.location
}

// resource is the repository's name in Google's API.
func (r artifactRepository) resource() string { return r.place() + "/repositories/" + r.name }

// image is the name of an image of the repository, with its host.
func (r artifactRepository) image(name string) string {
	prefix := r.host + "/" + strings.ReplaceAll(r.project, ":", "/") + "/"
	if _, legacy := legacyLocations[r.host]; legacy {
		return prefix + name
	}
	return prefix + r.name + "/" + name
}

// binding is a command that gives an account a role on the repository, or takes
// it away.
func (r artifactRepository) binding(verb, email, role string) string {
	return "gcloud artifacts repositories " + verb + "-iam-policy-binding " + r.name +
		" --project=" + r.project + " --location=" + r.location +
		" \\\n  --member=serviceAccount:" + email + " --role=roles/artifactregistry." + role
}
