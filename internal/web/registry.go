package web

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/registry"
)

// registryRoutes are the pages of registry credentials.
func (s *site) registryRoutes() {
	const at = "/o/{organization}/registries/"
	s.on("GET "+at+"{$}", user, s.listCredentials)
	s.on("GET "+at+"add/{$}", user, s.showKinds)
	for _, kind := range s.config.Registries.Kinds() {
		s.on("GET "+at+"add/"+kind.Name+"/{$}", user, func(v *visit) (answer, error) { return s.showAdd(v, kind) })
		s.on("POST "+at+"add/"+kind.Name+"/{$}", user, func(v *visit) (answer, error) { return s.addCredential(v, kind) })
		s.on("POST "+at+"add/"+kind.Name+"/preview/{$}", user, func(v *visit) (answer, error) { return s.previewAdd(v, kind) })
	}
	const one = at + "{credential}/"
	s.on("GET "+one+"{$}", user, s.showCredential)
	s.on("POST "+one+"check/{$}", user, s.checkCredential)
	s.on("GET "+one+"change/{$}", user, s.showChange)
	s.on("POST "+one+"change/{$}", user, s.changeCredential)
	s.on("POST "+one+"change/preview/{$}", user, s.previewChange)
	s.on("GET "+one+"rotate/{$}", user, s.showRotate)
	s.on("POST "+one+"rotate/{$}", user, s.rotateCredential)
	s.on("POST "+one+"delete/{$}", user, s.deleteCredential)

	s.on("GET /explain/{$}", user, s.explain)
}

// registriesPath is where the pages of the organisation's credentials are.
func (v *visit) registriesPath() string { return v.organizationPath() + "registries/" }

// organizationKey is the page's organisation as services name it.
func (v *visit) organizationKey() string {
	return strconv.FormatInt(v.organization.Organization.ID, 10)
}

// standing is how a credential stands, in a word and a colour.
type standing struct{ Class, Words string }

// standingOf says it; an ended secret is told from one that the registry refuses.
func standingOf(c registry.Credential, now time.Time) standing {
	state := c.State(now)
	if ends := c.Ends(); !ends.IsZero() && !now.Before(ends) {
		return standing{"bad", "expired"}
	}
	switch state {
	case registry.StateWorks:
		return standing{"good", "works"}
	case registry.StateWarning:
		return standing{"warn", "works, with a warning"}
	case registry.StateExpiring:
		return standing{"warn", "expires soon"}
	case registry.StateFails:
		return standing{"bad", "fails"}
	default:
		return standing{"", "unchecked"}
	}
}

// credentialRow is a credential in the list.
type credentialRow struct {
	Name, To, Kind, KindName string
	Standing                 standing
	Note                     string // what is wrong, where something is
	Unused                   bool
	Patterns                 []string
	More                     int // patterns that are not shown
	LastUsed, Ends           time.Time
	Limit                    *registry.RateLimit
}

// credentialsData is what the page of the list shows.
type credentialsData struct {
	At      string
	Query   string
	State   string
	States  []option
	Rows    []credentialRow
	Found   int // that fit
	All     int
	Pages   pages
	Refused *fault.Error // why there is no list
}

// pages is what the template pages shows.
type pages struct{ Newer, Older, Said string }

// credentialsShown is how many a page of the list has, and patternsShown how many
// patterns a row.
const (
	credentialsShown = 50
	patternsShown    = 3
	pagesMost        = 1_000_000
)

// credentialStates are what the list can be narrowed to; each is a word of standing.
var credentialStates = []option{
	{"", "Any state"}, {"bad", "Fails or expired"}, {"warn", "Needs a look soon"}, {"good", "Works"}, {"unchecked", "Unchecked"}, {"unused", "Never used"},
}

func (s *site) listCredentials(v *visit) (answer, error) {
	query := v.r.URL.Query()
	data := credentialsData{At: v.registriesPath(), Query: strings.TrimSpace(query.Get("q")), State: query.Get("state"), States: credentialStates}
	p := page{file: "registries.html", title: "Registries", data: &data}
	now := s.config.Now()
	number, _ := strconv.Atoi(query.Get("page"))
	number = min(max(number, 1), pagesMost)
	search := registry.Search{Text: data.Query, Limit: credentialsShown, Offset: (number - 1) * credentialsShown}
	if data.State != "" {
		search.Only = func(c registry.Credential) bool { return isInState(c, now, data.State) }
	}
	found, err := s.config.Registries.Find(v.ctx(), v.actor, v.organizationKey(), search)
	if fault.Is(err, fault.Denied) {
		data.Refused = fault.From(err)
		v.failure, p.status = data.Refused, statuses[fault.Denied]
		return p, nil
	}
	if err != nil {
		return nil, err
	}
	data.Found, data.All = found.Fit, found.All
	kinds := s.kindTitles()
	for _, c := range found.Credentials {
		data.Rows = append(data.Rows, rowOf(c, kinds[c.Kind], data.At, now))
	}
	if found.Fit > credentialsShown {
		data.Pages.Said = fmt.Sprintf("%d to %d of %d", search.Offset+1, search.Offset+len(data.Rows), found.Fit)
		if number > 1 {
			data.Pages.Newer = data.link(number - 1)
		}
		if search.Offset+len(data.Rows) < found.Fit && len(data.Rows) > 0 {
			data.Pages.Older = data.link(number + 1)
		}
	}
	if v.htmx {
		return part{file: p.file, name: "credentials", data: &data}, nil
	}
	return p, nil
}

// link is a page of the list as it is narrowed now.
func (d credentialsData) link(number int) string {
	query := url.Values{"page": {strconv.Itoa(number)}}
	if d.Query != "" {
		query.Set("q", d.Query)
	}
	if d.State != "" {
		query.Set("state", d.State)
	}
	return d.At + "?" + query.Encode()
}

// kindTitles are the titles of the kinds by their names.
func (s *site) kindTitles() map[string]string {
	titles := make(map[string]string)
	for _, kind := range s.config.Registries.Kinds() {
		titles[kind.Name] = kind.Title
	}
	return titles
}

func isInState(c registry.Credential, now time.Time, state string) bool {
	switch state {
	case "":
		return true
	case "unused":
		return c.LastUsedAt.IsZero()
	case "unchecked":
		return standingOf(c, now).Class == ""
	default:
		return standingOf(c, now).Class == state
	}
}

func rowOf(c registry.Credential, title, at string, now time.Time) credentialRow {
	row := credentialRow{
		Name: c.Name, To: at + c.ID + "/", Kind: title, KindName: c.Kind, Standing: standingOf(c, now), Unused: c.LastUsedAt.IsZero(),
		LastUsed: c.LastUsedAt, Ends: c.Ends(), More: max(len(c.Patterns)-patternsShown, 0),
	}
	for _, pattern := range c.Patterns[:min(len(c.Patterns), patternsShown)] {
		row.Patterns = append(row.Patterns, pattern.String())
	}
	check := presentCheck(c)
	if check == nil {
		return row
	}
	row.Limit = check.RateLimit
	if row.Standing.Class == "bad" || row.Standing.Class == "warn" {
		row.Note = noteOf(*check)
	}
	return row
}

// presentCheck is a credential's last check; nil where it was of another secret.
func presentCheck(c registry.Credential) *registry.Check {
	if c.Check == nil || c.Check.Version != c.Version {
		return nil
	}
	return c.Check
}

// noteOf is what a check found wrong, or unwise.
func noteOf(check registry.Check) string {
	if failed, any := check.Failed(); any {
		return failed.Sentence
	}
	for _, step := range check.Steps {
		if step.Result == registry.CheckWarning {
			return step.Sentence
		}
	}
	return ""
}

// credential finds the page's credential, which is one of the page's organisation.
func (s *site) credential(v *visit) (registry.Credential, error) {
	found, err := s.config.Registries.Get(v.ctx(), v.actor, v.path("credential"))
	if err != nil {
		return registry.Credential{}, err
	}
	if found.OrganizationID != v.organization.Organization.ID {
		return registry.Credential{}, fault.New(fault.NotFound, "credential_unknown", "there is no such registry credential in %s", v.organization.Organization.Name).
			WithHint("It may be of another of your organisations.")
	}
	return found, nil
}

// kind is the kind of that name; every credential has one.
func (s *site) kind(name string) registry.Kind {
	kinds := s.config.Registries.Kinds()
	if at := slices.IndexFunc(kinds, func(k registry.Kind) bool { return k.Name == name }); at >= 0 {
		return kinds[at]
	}
	return registry.Kind{Name: name, Title: name}
}

// imagesShown is how many of the images that were run lately a page looks at.
const imagesShown = 30

// recentImages are the images that the page's organisation ran lately.
func (s *site) recentImages(ctx context.Context, v *visit) ([]image.Reference, error) {
	return s.config.Executions.RecentImages(ctx, v.actor, v.organization.Organization.ID, imagesShown)
}
