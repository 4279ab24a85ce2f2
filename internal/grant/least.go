package grant

import (
	"strings"

	"fairlead.dev/fairlead/internal/image"
)

// Adviser is a Kind that knows, before there is a secret, which rights it needs.
type Adviser interface {
	Kind

	// Policy is a document to paste at the registry: the least rights that serve the
	// patterns, in the words of a check. config are the open fields as far as they are
	// known; what is not stands as a word in capitals. "": the patterns do not tell.
	Policy(config map[string]string, patterns []image.Pattern) string
}

// Policy is the least rights that a credential of that kind needs, ready to paste at
// the registry; "" where the kind has no such document.
func (c *Catalogue) Policy(name string, config map[string]string, patterns []image.Pattern) string {
	kind, err := c.kind(name)
	if err != nil {
		return ""
	}
	adviser, advises := kind.(Adviser)
	if !advises {
		return ""
	}
	return adviser.Policy(config, patterns)
}

// literalECR are the ECR registries that patterns name in full.
func literalECR(patterns []image.Pattern) []string { return ecrHosts(CheckRequest{Patterns: patterns}) }

// Policy is for the user that the key is of.
func (awsECR) Policy(config map[string]string, patterns []image.Pattern) string {
	var documents []string
	for _, host := range literalECR(patterns) {
		h, _ := parseECRHost(host)
		if h.public { // which everybody may read
			continue
		}
		documents = append(documents, indented(leastForKey(h, host, patterns, "", config)))
	}
	return strings.Join(documents, "\n")
}

// Policy is for the workers' role.
func (awsECRRole) Policy(_ map[string]string, patterns []image.Pattern) string {
	var documents []string
	for _, host := range literalECR(patterns) {
		documents = append(documents, leastForRole(host, patterns))
	}
	return strings.Join(documents, "\n")
}

// leastForKey lets a user pull what patterns name of a registry, and get sessions that
// may do less. arn is who the user is; "": not known.
func leastForKey(h ecrHost, host string, patterns []image.Pattern, arn string, config map[string]string) string {
	least := pullStatements(h, policyRepositories(host, patterns)...)
	if config[fieldRoleARN] == "" { // a role is limited when it is assumed
		least = append(least, narrowing(h, arn))
	}
	return policyDocument(least...)
}

func leastForRole(host string, patterns []image.Pattern) string {
	h, _ := parseECRHost(host)
	return indented(pullPolicy(h, policyRepositories(host, patterns)...))
}

// Policy lets the service account read each repository that patterns name.
func (gcp) Policy(config map[string]string, patterns []image.Pattern) string {
	email := emailOf(Material{Config: config})
	if !googleEmail.MatchString(email) { // it becomes a word of a command
		email = "SERVICE_ACCOUNT"
	}
	var commands []string
	for _, r := range artifactRepositories(CheckRequest{Patterns: patterns}) {
		if r.name == "" {
			r.name = "REPOSITORY"
		}
		commands = append(commands, r.binding("add", email, "reader"))
	}
	return strings.Join(commands, "\n")
}

// Policy lets the application pull from each registry that patterns name.
func (azure) Policy(config map[string]string, patterns []image.Pattern) string {
	client := config[fieldClientID]
	if !guid.MatchString(client) { // it becomes a word of a command
		client = "CLIENT_ID"
	}
	var commands []string
	for _, host := range literalHosts(CheckRequest{Patterns: patterns}) {
		if acrHost.MatchString(host) {
			commands = append(commands, acrRoles(host, client, nil))
		}
	}
	return strings.Join(commands, "\n")
}
