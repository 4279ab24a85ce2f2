package web

import (
	"fmt"
	"strings"

	"fairlead.dev/fairlead/internal/account"
)

// navGroup is a part of the navigation.
type navGroup struct {
	Title string
	Links []navLink
}

type navLink struct {
	Title, To string
	Here      bool
}

// nav is the way to every page that the actor may open.
func (v *visit) nav() []navGroup {
	if v.actor.IsZero() {
		return nil
	}
	groups := []navGroup{{"Work", []navLink{{Title: "Executions", To: "/executions/"}, {Title: "Projects", To: "/projects/"}, {Title: "Explain", To: "/explain/"}}}}
	if o := v.organization; o != nil {
		at := v.organizationPath()
		links := []navLink{{Title: "Members", To: at + "members/"}}
		if v.isAdmin() {
			links = []navLink{
				{Title: "Registries", To: at + "registries/"}, links[0], {Title: "Audit", To: at + "audit/"}, {Title: "Settings", To: at + "settings/"},
			}
		}
		groups = append(groups, navGroup{o.Organization.Name, links})
	}
	installation := []navLink{{Title: "Environments", To: "/environments/"}}
	if v.actor.Operator {
		installation = append(installation, navLink{Title: "Workers", To: "/workers/"}, navLink{Title: "Cache", To: "/cache/"}, navLink{Title: "All audit", To: "/audit/"},
			navLink{Title: "Notices", To: "/notices/"}, navLink{Title: "Users", To: "/users/"})
	}
	groups = append(groups, navGroup{"Installation", installation})
	for i := range groups {
		for j := range groups[i].Links {
			link := &groups[i].Links[j]
			link.Here = strings.HasPrefix(v.r.URL.Path, link.To)
		}
	}
	return groups
}

// organizationPath is where the pages of the page's organisation are.
func (v *visit) organizationPath() string {
	return fmt.Sprintf("/o/%d/", v.organization.Organization.ID)
}

// What the layout asks.

// Username is who is signed in.
func (v *visit) Username() string { return v.actor.Username }

// Organizations are those of who is signed in.
func (v *visit) Organizations() []account.Membership { return v.organizations }

// OrganizationName is the name of the page's organisation.
func (v *visit) OrganizationName() string {
	if v.organization == nil {
		return ""
	}
	return v.organization.Organization.Name
}

// OrganizationPath is where its pages are.
func (v *visit) OrganizationPath() string {
	if v.organization == nil {
		return "/"
	}
	return v.organizationPath()
}

// IsAdmin reports whether the page's organisation is administered by who is signed in.
func (v *visit) IsAdmin() bool { return v.isAdmin() }

// IsOperator reports whether who is signed in runs the installation.
func (v *visit) IsOperator() bool { return v.actor.Operator }
