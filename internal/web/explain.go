package web

import (
	"fmt"
	"slices"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/registry"
)

// explainData is what the page of an explanation shows.
type explainData struct {
	Projects []option
	Why      *registry.Explanation
	Personal bool

	// Registries is where the pages of the project's credentials are; "": the actor
	// may not see them.
	Registries string
}

// Reason is why a candidate goes before the next one; "" for the last.
func (d explainData) Reason(i int) string {
	if i+1 >= len(d.Why.Candidates) {
		return ""
	}
	return d.Why.Candidates[i].Reason
}

// explain says which credential an image would be pulled with. Its address can be
// given to somebody else.
func (s *site) explain(v *visit) (answer, error) {
	projects, err := s.config.Accounts.Projects(v.ctx(), v.actor)
	if err != nil {
		return nil, err
	}
	query := v.r.URL.Query()
	f := formOf(map[string]string{"image": query.Get("image"), "project": query.Get("project")})
	data := &explainData{}
	for _, p := range projects {
		data.Projects = append(data.Projects, option{p.ID, p.Owner.Name + "/" + p.Name})
	}
	p := page{file: "explain.html", title: "Explain", data: data, form: f}
	if f.get("image") == "" && f.get("project") == "" {
		return p, nil
	}
	project, projectErr := s.config.Accounts.Project(v.ctx(), v.actor, f.get("project"))
	ref, imageErr := image.ParseReference(f.get("image"))
	if f.get("image") == "" {
		imageErr = fault.InvalidField("image", "blank", "say which image, such as ghcr.io/acme/train:v1")
	}
	if projectErr == nil { // also where it was called by its name
		f.values.Set("project", project.ID)
	}
	if fault.Is(projectErr, fault.NotFound) {
		projectErr = fault.InvalidField("project", "project_unknown", "%s", fault.From(projectErr).Message)
	}
	if err := fault.Join(projectErr, imageErr); err != nil {
		return v.refuse(f, err, p, "image", "project")
	}
	why, err := s.config.Selector.Explain(v.ctx(), project, ref)
	if err != nil {
		return nil, err
	}
	data.Why, data.Personal = &why, project.IsPersonal()
	if slices.ContainsFunc(v.organizations, func(m account.Membership) bool {
		return m.Organization.ID == project.Owner.OrganizationID && m.Role == account.Admin
	}) {
		data.Registries = fmt.Sprintf("/o/%d/registries/", project.Owner.OrganizationID)
	}
	return p, nil
}
