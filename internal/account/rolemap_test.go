package account_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/fault"
)

func TestGroupsGiveTheHighestOfTheirRoles(t *testing.T) {
	rules, err := account.ParseRoleMap("oidc-roles", []string{
		"ml=acme:member", "ml-leads = Acme:admin", "/acme/ops=operator", "cn=ml,ou=groups=other:member", "ml=other:member",
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		groups []string
		want   map[string]account.Role
	}{
		{nil, map[string]account.Role{}},
		{[]string{"ML", "ml-lead"}, map[string]account.Role{}},
		{[]string{"ml"}, map[string]account.Role{"acme": account.Member, "other": account.Member}},
		{[]string{"ml", "ml-leads", "ml"}, map[string]account.Role{"acme": account.Admin, "other": account.Member}},
		{[]string{"/acme/ops"}, map[string]account.Role{"": "operator"}},
		{[]string{"cn=ml,ou=groups"}, map[string]account.Role{"other": account.Member}},
	} {
		if diff := cmp.Diff(c.want, rules.Of(c.groups)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", c.groups, diff)
		}
	}
	if diff := cmp.Diff([]string{"acme", "other"}, rules.Organizations()); diff != "" {
		t.Error(diff)
	}
}

func TestARuleThatCannotBeReadIsToldWithWhatIsWrong(t *testing.T) {
	for text, says := range map[string]string{
		"":                   "says not what the group gives",
		"ml":                 "says not what the group gives",
		"=acme:admin":        "names no group",
		"ml=":                "neither ORGANISATION:ROLE nor operator",
		"ml=acme":            "neither ORGANISATION:ROLE nor operator",
		"ml=Operator":        "neither ORGANISATION:ROLE nor operator",
		"ml=acme:owner":      `gives the role "owner"`,
		"ml=acme:operator":   `gives the role "operator"`,
		"ml=:admin":          "no name of an organisation",
		"ml=ac me:admin":     "no name of an organisation",
		"ml=acme:admin:more": `gives the role "admin:more"`,
	} {
		_, err := account.ParseRoleMap("oidc-roles", []string{"good=acme:member", text})
		if f := fault.From(err); f == nil || f.Kind != fault.Invalid || !strings.Contains(f.Message, says) || !strings.Contains(f.Message, "oidc-roles") {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := account.ParseRoleMap("oidc-roles", make([]string, 2000)); !fault.Is(err, fault.Invalid) {
		t.Errorf("two thousand rules: %v", err)
	}
}

// FuzzParseRoleMap reads rules that give nothing to those who are in no group,
// and something to those who are.
func FuzzParseRoleMap(f *testing.F) {
	for _, text := range []string{"ml=acme:admin", "/a/b=operator", "cn=x,dc=y=acme:member", "=:", "a=b=c:admin", " x = y:member "} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		rules, err := account.ParseRoleMap("oidc-roles", []string{text})
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		if len(rules.Of(nil)) > 0 || len(rules.Of([]string{""})) > 0 {
			t.Errorf("%q gives something to those without a group", text)
		}
		group := strings.TrimSpace(text[:strings.LastIndexByte(text, '=')])
		if len(rules.Of([]string{group})) != 1 {
			t.Errorf("%q gives %v", text, rules.Of([]string{group}))
		}
	})
}
