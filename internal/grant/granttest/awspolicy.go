package granttest

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// policy is an IAM policy, or several: what is allowed, unless it is denied.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements.html
type policy struct{ statements []policyStatement }

type policyStatement struct {
	effect    string
	actions   []*regexp.Regexp
	resources []*regexp.Regexp
}

// oneOrMore is a text or a list of texts.
type oneOrMore []string

// UnmarshalJSON reads either.
func (o *oneOrMore) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*o = []string{one}
		return nil
	}
	return json.Unmarshal(text, (*[]string)(o))
}

// parsePolicy reads a policy's JSON.
func parsePolicy(text string) (policy, error) {
	var document struct {
		Version   string
		Statement []struct {
			Sid      string
			Effect   string
			Action   oneOrMore
			Resource oneOrMore
		}
	}
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&document); err != nil {
		return policy{}, fmt.Errorf("reading a policy: %w", err)
	}
	if document.Version != "2012-10-17" || len(document.Statement) == 0 {
		return policy{}, fmt.Errorf("a policy of version %q with %d statements", document.Version, len(document.Statement))
	}
	var p policy
	for _, s := range document.Statement {
		if s.Effect != "Allow" && s.Effect != "Deny" || len(s.Action) == 0 || len(s.Resource) == 0 {
			return policy{}, fmt.Errorf("a statement lacks its effect, actions or resources")
		}
		p.statements = append(p.statements, policyStatement{effect: s.Effect, actions: globs(s.Action, "(?i)"), resources: globs(s.Resource, "")})
	}
	return p, nil
}

// mustPolicy reads the policies that a test or a demonstration gives.
func mustPolicy(texts []string) policy {
	var all policy
	for _, text := range texts {
		p, err := parsePolicy(text)
		if err != nil {
			panic(err)
		}
		all.statements = append(all.statements, p.statements...)
	}
	return all
}

// globs are IAM's wildcards: `*` for any characters, `?` for one.
func globs(patterns []string, flags string) []*regexp.Regexp {
	compiled := make([]*regexp.Regexp, len(patterns))
	for i, pattern := range patterns {
		text := regexp.QuoteMeta(pattern)
		text = strings.ReplaceAll(strings.ReplaceAll(text, `\*`, ".*"), `\?`, ".")
		compiled[i] = regexp.MustCompile(flags + "^" + text + "$")
	}
	return compiled
}

// allows reports whether some statement allows an action and none denies it.
func (p policy) allows(action, resource string) bool {
	fits := func(effect string) bool {
		return slices.ContainsFunc(p.statements, func(s policyStatement) bool {
			matches := func(text string) func(*regexp.Regexp) bool {
				return func(glob *regexp.Regexp) bool { return glob.MatchString(text) }
			}
			return s.effect == effect && slices.ContainsFunc(s.actions, matches(action)) && slices.ContainsFunc(s.resources, matches(resource))
		})
	}
	return fits("Allow") && !fits("Deny")
}
