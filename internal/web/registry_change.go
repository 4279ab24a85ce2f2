package web

import (
	"maps"
	"slices"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/registry"
)

// credentialData is what the page of a credential shows.
type credentialData struct {
	At         string // the list's path
	Here       string
	Credential registry.Credential
	Kind       registry.Kind
	Standing   standing
	Ends       time.Time
	Config     []fact
	Check      *registry.Check // nil: none of the present secret
	Steps      []shownStep
	Held       *registry.Retired // what can be gone back to

	// Used are the images that were run lately and are pulled with it, and Lost are
	// those of them that would be without it, with what would serve them then.
	Used []string
	Lost []registry.Effect

	History []audit.Link
}

// fact is a field and what is in it.
type fact struct {
	Title, Value string
	Long         bool
}

func (s *site) showCredential(v *visit) (answer, error) {
	credential, err := s.credential(v)
	if err != nil {
		return nil, err
	}
	return s.credentialPage(v, credential)
}

func (s *site) credentialPage(v *visit, c registry.Credential) (page, error) {
	at := v.registriesPath()
	now := s.config.Now()
	data := &credentialData{
		At: at, Here: at + c.ID + "/", Credential: c, Kind: s.kind(c.Kind), Standing: standingOf(c, now), Ends: c.Ends(), Check: presentCheck(c),
	}
	for _, field := range data.Kind.Fields {
		value := c.Config[field.Name]
		if value == "" || field.Secret || len(field.Choices) > 0 && value == field.Choices[0] { // which is the usual
			continue
		}
		if value == "true" {
			value = "yes"
		}
		data.Config = append(data.Config, fact{field.Title, value, strings.Contains(value, "\n")})
	}
	if data.Check != nil {
		data.Steps = shownSteps(data.Check.Steps)
	}
	held, err := s.config.Registries.Held(v.ctx(), c)
	if err != nil {
		return page{}, err
	}
	if len(held) > 0 {
		data.Held = &held[0]
	}
	images, err := s.recentImages(v.ctx(), v)
	if err != nil {
		return page{}, err
	}
	effects, err := s.config.Selector.Preview(v.ctx(), c.OrganizationID, c.ID, nil, images)
	if err != nil {
		return page{}, err
	}
	for _, effect := range effects {
		if effect.Now != nil && effect.Now.Credential.ID == c.ID {
			data.Used = append(data.Used, effect.Image.String())
			data.Lost = append(data.Lost, effect)
		}
	}
	data.History, _, err = s.config.Audit.Events(v.ctx(), audit.Filter{
		OrganizationIDs: []int64{c.OrganizationID}, Verb: "credential", Object: c.ID, Limit: historyShown,
	})
	if err != nil {
		return page{}, err
	}
	return page{file: "registry.html", title: c.Name, data: data}, nil
}

// historyShown is how many of a credential's rows in the audit trail are shown.
const historyShown = 20

func (s *site) checkCredential(v *visit) (answer, error) {
	credential, err := s.credential(v)
	if err != nil {
		return nil, err
	}
	f, err := v.readForm()
	if err != nil {
		return nil, err
	}
	watch := v.watch()
	var ref image.Reference
	if name := f.get("image"); name != "" {
		if ref, err = image.ParseReference(name); err != nil {
			again, againErr := s.credentialPage(v, credential)
			if againErr != nil {
				return nil, againErr
			}
			return v.refuse(f, err, again, "image")
		}
	}
	checked, err := s.config.Registries.Check(v.ctx(), v.actor, credential.ID, ref, watch.tell)
	if err != nil {
		return watch.answer(nil, err)
	}
	said := saidOf(checked, "was checked: it "+standingOf(checked, s.config.Now()).verb(), nil)
	return watch.answer(seeOther{to: v.registriesPath() + checked.ID + "/", said: said}, nil)
}

// verb is the standing as it stands behind "it".
func (s standing) verb() string {
	switch s.Words {
	case "unchecked":
		return "could not be checked"
	case "expired":
		return "has expired"
	default:
		return s.Words
	}
}

func (s *site) changePage(v *visit, c registry.Credential) page {
	at := v.registriesPath()
	here := at + c.ID + "/"
	data := &credentialForm{At: at, Post: here + "change/", Preview: here + "change/preview/", Kind: s.kind(c.Kind), Credential: c}
	for _, field := range data.Kind.Fields {
		switch {
		case field.Secret:
		case field.Advanced:
			data.Advanced = append(data.Advanced, field)
		default:
			data.Fields = append(data.Fields, field)
		}
	}
	return page{file: "registry_change.html", title: "Change " + c.Name, data: data}
}

func (s *site) showChange(v *visit) (answer, error) {
	credential, err := s.credential(v)
	if err != nil {
		return nil, err
	}
	texts := make([]string, len(credential.Patterns))
	for i, pattern := range credential.Patterns {
		texts[i] = pattern.String()
	}
	filled := maps.Clone(credential.Config)
	if filled == nil {
		filled = make(map[string]string)
	}
	filled["name"], filled["image_patterns"] = credential.Name, strings.Join(texts, "\n")
	filled["expires_at"] = dayOf(credential.ExpiresAt)
	p := s.changePage(v, credential)
	p.form = formOf(filled)
	data := p.data.(*credentialForm)
	data.Live, err = s.patternsLive(v, p.form, data.Kind, credential.ID)
	return p, err
}

// dayOf is a time as a field for days has it.
func dayOf(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.DateOnly)
}

func (s *site) changeCredential(v *visit) (answer, error) {
	credential, err := s.credential(v)
	if err != nil {
		return nil, err
	}
	f, err := v.readForm()
	if err != nil {
		return nil, err
	}
	watch := v.watch()
	name, patterns := f.get("name"), f.lines("image_patterns")
	if patterns == nil {
		patterns = []string{}
	}
	change := registry.Change{Name: &name, Patterns: patterns, SkipCheck: f.has("skip_check"), CheckFirst: true, Tell: watch.tell}
	expires, expiresErr := expiryOf(f)
	if f.get("expires_at") != dayOf(credential.ExpiresAt) { // a day that is over may stay
		change.ExpiresAt = &expires
	}
	material, _, err := s.material(f, s.kind(credential.Kind), credential.Config)
	material.Secrets = nil // which are rotated
	if len(material.Config) > 0 {
		change.Material = &material
	}
	var warnings []string
	changed := credential
	if err = fault.Join(err, expiresErr); err == nil {
		changed, warnings, err = s.config.Registries.Update(v.ctx(), v.actor, credential.ID, change)
	}
	if err != nil {
		return watch.answer(s.refuseCredential(v, f, s.kind(credential.Kind), err, watch, s.changePage(v, credential), credential.ID))
	}
	return watch.answer(seeOther{to: v.registriesPath() + changed.ID + "/", said: saidOf(changed, "is changed", warnings)}, nil)
}

func (s *site) previewChange(v *visit) (answer, error) {
	credential, err := s.credential(v)
	if err != nil {
		return nil, err
	}
	return s.preview(v, s.kind(credential.Kind), credential.ID)
}

// rotatePage asks for the fields that a new secret comes with: the secrets, and what
// must be given with them.
func (s *site) rotatePage(v *visit, c registry.Credential) (page, error) {
	at := v.registriesPath()
	data := &rotateForm{credentialForm: credentialForm{At: at, Post: at + c.ID + "/rotate/", Kind: s.kind(c.Kind), Credential: c}}
	filled := make(map[string]string)
	for _, field := range data.Kind.Fields {
		if !field.Secret && !field.Required {
			continue
		}
		filled[field.Name] = c.Config[field.Name]
		if field.Advanced {
			data.Advanced = append(data.Advanced, field)
		} else {
			data.Fields = append(data.Fields, field)
		}
	}
	held, err := s.config.Registries.Held(v.ctx(), c)
	if len(held) > 0 {
		data.Held = &held[0]
	}
	return page{file: "registry_rotate.html", title: "Rotate " + c.Name, data: data, form: formOf(filled)}, err
}

// rotateForm is what the page of a rotation shows.
type rotateForm struct {
	credentialForm
	Held *registry.Retired
}

// HasSecret reports whether the kind has a secret to replace.
func (d credentialForm) HasSecret() bool { return hasSecret(d.Kind) }

// HasSecret reports whether the kind has a secret to replace.
func (d credentialData) HasSecret() bool { return hasSecret(d.Kind) }

func hasSecret(kind registry.Kind) bool {
	return slices.ContainsFunc(kind.Fields, func(field registry.Field) bool { return field.Secret })
}

func (s *site) showRotate(v *visit) (answer, error) {
	credential, err := s.credential(v)
	if err != nil {
		return nil, err
	}
	return s.rotatePage(v, credential)
}

func (s *site) rotateCredential(v *visit) (answer, error) {
	credential, err := s.credential(v)
	if err != nil {
		return nil, err
	}
	f, err := v.readForm()
	if err != nil {
		return nil, err
	}
	watch := v.watch()
	rotation, done := registry.Rotation{SkipCheck: f.has("skip_check")}, ""
	switch f.get("what") {
	case "renew":
		rotation.Renew, done = true, "has a secret that its registry made"
	case "back":
		rotation.Back, done = true, "has its earlier secret again"
	default:
		done = "has its new secret"
		rotation.New, err = s.successor(f, credential)
	}
	expires, expiresErr := expiryOf(f)
	if !expires.IsZero() {
		rotation.ExpiresAt = &expires
	}
	rotated := credential
	var warnings []string
	if err = fault.Join(err, expiresErr); err == nil {
		rotated, warnings, err = s.config.Registries.Rotate(v.ctx(), v.actor, credential.ID, rotation, watch.tell)
	}
	if err == nil {
		return watch.answer(seeOther{to: v.registriesPath() + rotated.ID + "/", said: saidOf(rotated, done, warnings)}, nil)
	}
	again, pageErr := s.rotatePage(v, credential)
	if pageErr != nil {
		return watch.answer(nil, pageErr)
	}
	data := again.data.(*rotateForm)
	data.Steps = watch.Steps
	names := []string{"pasted", "expires_at"}
	for _, field := range append(slices.Clone(data.Fields), data.Advanced...) {
		names = append(names, field.Name)
	}
	return watch.answer(v.refuse(f, general(err), again, names...))
}

// successor is the new secret that was typed or pasted, with what came along.
func (s *site) successor(f *form, c registry.Credential) (*registry.Material, error) {
	kind := s.kind(c.Kind)
	material, _, err := s.material(f, kind, c.Config)
	if err != nil || slices.ContainsFunc(kind.Fields, func(field registry.Field) bool { return field.Secret && !material.Secrets[field.Name].IsEmpty() }) {
		return &material, err
	}
	for _, field := range kind.Fields {
		if field.Secret {
			return nil, fault.InvalidField(field.Name, "required", "give the new secret")
		}
	}
	return nil, fault.New(fault.Invalid, "no_secret", "a credential of this kind has no secret to replace")
}

func (s *site) deleteCredential(v *visit) (answer, error) {
	credential, err := s.credential(v)
	if err != nil {
		return nil, err
	}
	if err := s.config.Registries.Delete(v.ctx(), v.actor, credential.ID); err != nil {
		return nil, err
	}
	return seeOther{to: v.registriesPath(), said: saidOf(credential, "is deleted", nil)}, nil
}
