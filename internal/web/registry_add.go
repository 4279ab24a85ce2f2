package web

import (
	"slices"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/registry"
	"fairlead.dev/fairlead/internal/secret"
)

// kindsData is what the page of the kinds shows.
type kindsData struct {
	At    string
	Kinds []registry.Kind
}

func (s *site) showKinds(v *visit) (answer, error) {
	if err := s.config.Registries.MayManage(v.ctx(), v.actor, v.organizationKey()); err != nil {
		return nil, err
	}
	return page{file: "registry_kinds.html", title: "Add a registry", data: kindsData{v.registriesPath(), s.config.Registries.Kinds()}}, nil
}

// credentialForm is what the form of a new or changed credential shows.
type credentialForm struct {
	At      string // the list's path
	Post    string // where the form goes
	Preview string // where the patterns go while they are typed
	Kind    registry.Kind
	Live    patternsLive

	// Credential is the one that is changed; zero: a new one.
	Credential registry.Credential

	// Fields are those that the form asks for, and Advanced those few need.
	Fields, Advanced []registry.Field

	// Steps are those of a check that did not come out right.
	Steps []shownStep
}

// OpenFields are the names of what a form may send while it is typed: no secret.
func (d credentialForm) OpenFields() string {
	names := []string{"image_patterns"}
	for _, field := range append(slices.Clone(d.Fields), d.Advanced...) {
		if !field.Secret {
			names = append(names, field.Name)
		}
	}
	return strings.Join(names, ",")
}

// patternsLive is what is told of patterns while they are typed.
type patternsLive struct {
	Problem string
	Typed   bool
	Images  []registry.Effect
	None    bool // nothing was run lately
	Policy  string
}

// Uses is how many of the images would be pulled with the credential.
func (p patternsLive) Uses() int {
	uses := 0
	for _, effect := range p.Images {
		if effect.Draft {
			uses++
		}
	}
	return uses
}

func (s *site) addPage(v *visit, kind registry.Kind) page {
	at := v.registriesPath()
	post := at + "add/" + kind.Name + "/"
	data := &credentialForm{At: at, Post: post, Preview: post + "preview/", Kind: kind}
	for _, field := range kind.Fields {
		if field.Advanced {
			data.Advanced = append(data.Advanced, field)
		} else {
			data.Fields = append(data.Fields, field)
		}
	}
	return page{file: "registry_add.html", title: "Add " + kind.Title, data: data}
}

func (s *site) showAdd(v *visit, kind registry.Kind) (answer, error) {
	if err := s.config.Registries.MayManage(v.ctx(), v.actor, v.organizationKey()); err != nil {
		return nil, err
	}
	return s.addPage(v, kind), nil
}

func (s *site) addCredential(v *visit, kind registry.Kind) (answer, error) {
	f, err := v.readForm()
	if err != nil {
		return nil, err
	}
	watch := v.watch()
	draft := registry.Draft{
		Organization: v.organizationKey(), Name: f.get("name"), Kind: kind.Name, Patterns: f.lines("image_patterns"),
		SkipCheck: f.has("skip_check"), CheckFirst: true, Tell: watch.tell,
	}
	var made registry.Credential
	var warnings []string
	var host string
	draft.Material, host, err = s.material(f, kind, nil)
	if len(draft.Patterns) == 0 && host != "" {
		draft.Patterns = []string{host + "/*"}
	}
	expires, expiresErr := expiryOf(f)
	if err = fault.Join(err, expiresErr); err == nil {
		draft.ExpiresAt = expires
		made, warnings, err = s.config.Registries.Create(v.ctx(), v.actor, draft)
	}
	if err == nil {
		return watch.answer(seeOther{to: v.registriesPath() + made.ID + "/", said: saidOf(made, "is saved", warnings)}, nil)
	}
	return watch.answer(s.refuseCredential(v, f, kind, err, watch, s.addPage(v, kind), ""))
}

// refuseCredential answers a form that cannot be saved as it is, with the steps that
// tell why, and what the patterns would do.
func (s *site) refuseCredential(v *visit, f *form, kind registry.Kind, err error, watch *watch, again page, id string) (answer, error) {
	data := again.data.(*credentialForm)
	data.Steps = watch.Steps
	if !v.htmx {
		var previewErr error
		if data.Live, previewErr = s.patternsLive(v, f, kind, id); previewErr != nil {
			return nil, previewErr
		}
	}
	names := []string{"pasted", "name", "image_patterns", "expires_at"}
	for _, field := range kind.Fields {
		names = append(names, field.Name)
	}
	return v.refuse(f, general(err), again, names...)
}

// general is a fault that says how a check or a rotation came out as one of the whole
// form.
func general(err error) error {
	refused := fault.From(err)
	if refused.Code != "rotation_refused" || len(refused.Fields) != 1 {
		return err
	}
	whole := *refused
	whole.Message, whole.Fields = refused.Fields[0].Message, nil
	return &whole
}

// saidOf tells what became of a credential, with what is to be thought of.
func saidOf(c registry.Credential, done string, warnings []string) string {
	said := "The credential " + c.Name + " " + done + "."
	if len(warnings) > 0 {
		said += " " + strings.Join(warnings, " ")
	}
	return said
}

// material are the fields of a kind as they were typed, and, of what is left empty or
// as it was known, what was pasted; host is the registry that it is for, where it says.
func (s *site) material(f *form, kind registry.Kind, known map[string]string) (material registry.Material, host string, err error) {
	material = registry.Material{Config: make(map[string]string), Secrets: make(map[string]secret.Text)}
	for _, field := range kind.Fields {
		switch value := f.values.Get(field.Name); {
		case field.Secret && strings.TrimSpace(value) != "":
			material.Secrets[field.Name] = secret.New(value)
		case !field.Secret && f.values.Has(field.Name) && strings.TrimSpace(value) != known[field.Name]: // also where it is empty now
			material.Config[field.Name] = strings.TrimSpace(value)
		}
	}
	if f.get("pasted") == "" {
		return material, "", nil
	}
	found, err := s.config.Registries.Paste(kind.Name, f.secret("pasted"))
	if err != nil {
		return material, "", err
	}
	for name, value := range found.Material.Config {
		if material.Config[name] == "" {
			material.Config[name] = value
		}
	}
	for name, value := range found.Material.Secrets {
		if material.Secrets[name].IsEmpty() {
			material.Secrets[name] = value
		}
	}
	return material, found.Host, nil
}

// expiryOf is the day that was typed; zero: none was.
func expiryOf(f *form) (time.Time, error) {
	text := f.get("expires_at")
	if text == "" {
		return time.Time{}, nil
	}
	day, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return time.Time{}, fault.InvalidField("expires_at", "day", "%.40q is no day; write it as 2027-01-31", text)
	}
	return day, nil
}

func (s *site) previewAdd(v *visit, kind registry.Kind) (answer, error) {
	if err := s.config.Registries.MayManage(v.ctx(), v.actor, v.organizationKey()); err != nil {
		return nil, err
	}
	return s.preview(v, kind, "")
}

func (s *site) preview(v *visit, kind registry.Kind, id string) (answer, error) {
	f, err := v.readForm()
	if err != nil {
		return nil, err
	}
	live, err := s.patternsLive(v, f, kind, id)
	if err != nil {
		return nil, err
	}
	return part{file: "registry_add.html", name: "patterns-live", data: live}, nil
}

// patternsLive looks at the patterns of a form: what is wrong with them, what of the
// images that were run lately they would serve, and the least rights that they need.
func (s *site) patternsLive(v *visit, f *form, kind registry.Kind, id string) (patternsLive, error) {
	var patterns []image.Pattern
	texts := f.lines("image_patterns")
	live := patternsLive{Typed: len(texts) > 0}
	var problems []string
	for _, text := range texts {
		pattern, err := image.ParsePattern(text)
		if err != nil {
			problems = append(problems, mended(fault.From(err)))
			continue
		}
		patterns = append(patterns, pattern)
	}
	live.Problem = strings.Join(problems[:min(len(problems), problemsShown)], " ")
	if len(patterns) == 0 {
		return live, nil
	}
	config := make(map[string]string)
	for _, field := range kind.Fields {
		if value := f.get(field.Name); value != "" && !field.Secret {
			config[field.Name] = value
		}
	}
	if live.Problem == "" {
		live.Policy = s.config.Registries.Policy(kind.Name, config, texts)
	}
	images, err := s.recentImages(v.ctx(), v)
	if err != nil {
		return patternsLive{}, err
	}
	live.None = len(images) == 0
	live.Images, err = s.config.Selector.Preview(v.ctx(), v.organization.Organization.ID, id, patterns, images)
	slices.SortStableFunc(live.Images, func(a, b registry.Effect) int { return rank(a) - rank(b) })
	return live, err
}

// rank puts first what the credential would serve, and last what it does not cover.
func rank(e registry.Effect) int {
	switch {
	case e.Draft:
		return 0
	case !e.Beaten.IsZero():
		return 1
	default:
		return 2
	}
}

// problemsShown is how many wrong patterns are told of at once.
const problemsShown = 3

// mended is what is wrong with a field, and how to mend it, without the field's name.
func mended(f *fault.Error) string {
	said := *f
	if len(f.Fields) == 1 {
		said.Message = f.Fields[0].Message
	}
	return said.Sentence()
}
