package oidc

import (
	"encoding/json"
	"strings"
	"unicode/utf8"

	"fairlead.dev/fairlead/internal/fault"
)

// Claims are what a provider says of a person. All but Issuer and Subject may be
// empty, and only those two are fit to know somebody by.
type Claims struct {
	Issuer  string
	Subject string // at most 255 bytes

	Username string // preferred_username
	Name     string

	Email         string
	EmailVerified bool

	Groups []string

	// SID is the provider's session, as its logout tokens name it.
	SID string
}

// Bounds of claims. https://openid.net/specs/openid-connect-core-1_0.html#IDToken
const (
	subjectMost = 255
	textMost    = 1024
	groupsMost  = 10_000
)

// parseClaims reads claims. groups that are in no shape that is known are a
// Denied fault, and so are groups that were left out for their number: to take
// them for none would take people's roles.
func parseClaims(claims map[string]json.RawMessage, groupsClaim string) (Claims, error) {
	read := Claims{
		Subject: text(claims, "sub"), Username: text(claims, "preferred_username"), Name: text(claims, "name"),
		Email: text(claims, "email"), EmailVerified: truth(claims["email_verified"]), SID: text(claims, "sid"),
	}
	if groupsClaim == "" {
		return read, nil
	}
	raw, found := lookup(claims, groupsClaim)
	if !found {
		if leftOut(claims, groupsClaim) {
			return Claims{}, fault.New(fault.Denied, "oidc_groups_left_out", "you are in so many groups that the provider did not list them").
				WithHint("The operator has the provider send only the groups that are assigned to Fairlead, or application roles; docs/oidc.md says how.")
		}
		return read, nil
	}
	groups, err := parseGroups(raw)
	if err != nil {
		return Claims{}, fault.New(fault.Denied, "oidc_groups_shape", "the provider's claim %.80q is no list of groups", groupsClaim).
			WithHint("The operator names the claim that is a list of texts: --oidc-groups-claim.")
	}
	read.Groups = groups
	return read, nil
}

// parseGroups reads a list of names, or one name.
func parseGroups(raw json.RawMessage) ([]string, error) {
	var groups []string
	if err := json.Unmarshal(raw, &groups); err != nil {
		var one string
		if err := json.Unmarshal(raw, &one); err != nil {
			return nil, err
		}
		groups = []string{one}
	}
	var kept []string
	for _, group := range groups {
		if group != "" && len(group) <= textMost {
			kept = append(kept, group)
		}
		if len(kept) > groupsMost {
			return nil, fault.New(fault.Exhausted, "oidc_groups_many", "more than %d groups", groupsMost)
		}
	}
	return kept, nil
}

// lookup finds a claim by its name, or else by the path that the dots in it
// make.
func lookup(claims map[string]json.RawMessage, name string) (json.RawMessage, bool) {
	if raw, found := claims[name]; found {
		return raw, string(raw) != "null"
	}
	first, rest, dotted := strings.Cut(name, ".")
	if !dotted {
		return nil, false
	}
	var inner map[string]json.RawMessage
	if json.Unmarshal(claims[first], &inner) != nil {
		return nil, false
	}
	return lookup(inner, rest)
}

// leftOut reports whether the provider says that a claim is elsewhere.
// https://openid.net/specs/openid-connect-core-1_0.html#AggregatedDistributedClaims
// https://learn.microsoft.com/entra/identity-platform/id-token-claims-reference
func leftOut(claims map[string]json.RawMessage, name string) bool {
	var elsewhere map[string]json.RawMessage
	if json.Unmarshal(claims["_claim_names"], &elsewhere) == nil {
		if _, found := elsewhere[name]; found {
			return true
		}
	}
	return name == "groups" && truth(claims["hasgroups"])
}

// text is a claim that is a text of reasonable length; "" for any other.
func text(claims map[string]json.RawMessage, name string) string {
	var value string
	if json.Unmarshal(claims[name], &value) != nil || len(value) > textMost || !utf8.ValidString(value) {
		return ""
	}
	return value
}

// truth is a claim that is true, also where a provider writes that as a text.
func truth(raw json.RawMessage) bool {
	return string(raw) == `true` || string(raw) == `"true"`
}
