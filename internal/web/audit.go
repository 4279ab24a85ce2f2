package web

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
)

// auditRoutes are the pages of the trail.
func (s *site) auditRoutes() {
	s.on("GET /o/{organization}/audit/{$}", user, s.listAudit)
	s.on("GET /o/{organization}/audit/export/{$}", user, s.exportAudit)
	s.on("GET /audit/{$}", operator, s.listAudit)
	s.on("GET /audit/export/{$}", operator, s.exportAudit)
}

// auditFields are the filter's, as the API calls them, too.
var auditFields = []string{"organization", "actor", "verb", "object", "execution", "result", "since", "until"}

// auditRow is a row of the trail as the page shows it.
type auditRow struct {
	audit.Link
	Organization string
	Facts        []setting // the details, in the order of their names
}

// auditData is what the page of the trail shows.
type auditData struct {
	At            string // the path of this page
	Organization  string // the name of the one that it is about; "": an operator's page
	Organizations []option
	Filter        *form
	Filtered      bool
	Beyond        bool // it is a page behind the first
	Rows          []auditRow
	Count         string
	Pager         pager
	Exports       []setting // formats, and where they are

	// Head is the newest row: of all, for an operator, and of the organisation
	// otherwise; nil: there is none.
	Head *audit.Point
}

// auditFilter is what of the trail is asked for, of what the actor may read. The
// rows of an organisation's page are that one's alone.
func (v *visit) auditFilter() (filter audit.Filter, err error) {
	query := v.r.URL.Query()
	get := func(name string) string { return strings.TrimSpace(query.Get(name)) }
	filter = audit.Filter{
		Verb: audit.Verb(get("verb")), Actor: get("actor"), Object: get("object"), ExecutionID: get("execution"), Result: get("result"),
	}
	key := get("organization")
	if v.path("organization") != "" {
		key = strconv.FormatInt(v.organization.Organization.ID, 10)
	}
	if key == "" {
		filter.OrganizationIDs, err = v.actor.Audited()
	} else {
		var id int64
		if id, err = strconv.ParseInt(key, 10, 64); err != nil {
			return filter, fault.InvalidField("organization", "organization_unknown", "%.40q is no id of an organisation", key)
		}
		filter.OrganizationIDs, err = []int64{id}, v.actor.MayAudit(id)
	}
	if err != nil {
		return filter, err
	}
	var sinceErr, untilErr error
	filter.Since, sinceErr = audit.ParseMoment("since", get("since"))
	filter.Until, untilErr = audit.ParseMoment("until", get("until"))
	return filter, fault.Join(sinceErr, untilErr)
}

func (s *site) listAudit(v *visit) (answer, error) {
	query := v.r.URL.Query()
	data := auditData{At: v.r.URL.Path, Filter: &form{values: query}}
	for _, name := range auditFields {
		data.Filtered = data.Filtered || query.Get(name) != ""
	}
	shown := page{file: "audit.html", title: "Audit"}
	names := v.auditedNames(&data)
	filter, err := v.auditFilter()
	if err != nil {
		refused := fault.From(err)
		if refused.Kind != fault.Invalid {
			return nil, err
		}
		v.failure = refused
		data.Filter.blame(refused, auditFields)
		data.Filter.General = nil // nothing was to be saved
		shown.data, shown.status = data, http.StatusUnprocessableEntity
		return shown, nil
	}
	links, err := s.auditPage(v.ctx(), v.r.URL, filter, &data)
	if err != nil {
		return nil, err
	}
	for _, link := range links {
		row := auditRow{Link: link, Organization: names[link.OrganizationID]}
		for _, name := range slices.Sorted(maps.Keys(link.Details)) {
			row.Facts = append(row.Facts, setting{name, link.Details[name]})
		}
		data.Rows = append(data.Rows, row)
	}
	if data.Head, err = s.auditHead(v, filter); err != nil {
		return nil, err
	}
	data.Exports = []setting{
		{"CSV", exportLink(v.r.URL, audit.CSV)}, {"JSON lines", exportLink(v.r.URL, audit.JSONLines)},
	}
	shown.data = data
	return shown, nil
}

// auditedNames are the names of the organisations whose rows the page may show. It
// fills in what the page offers of them.
func (v *visit) auditedNames(data *auditData) map[int64]string {
	names := make(map[int64]string)
	if v.path("organization") != "" {
		data.Organization = v.OrganizationName()
		return names
	}
	data.Organizations = []option{{"", "All you may read"}, {"0", "What belongs to none"}}
	for _, m := range v.organizations {
		names[m.Organization.ID] = m.Organization.Name
		if v.actor.MayAudit(m.Organization.ID) == nil {
			data.Organizations = append(data.Organizations, option{strconv.FormatInt(m.Organization.ID, 10), m.Organization.Name})
		}
	}
	return names
}

// auditPage reads one page, the newest row first, and links to those beside it: by
// the ids at its ends, so that rows that come meanwhile move nothing.
func (s *site) auditPage(ctx context.Context, at *url.URL, filter audit.Filter, data *auditData) (links []audit.Link, err error) {
	before, after := cursor(at, "before"), cursor(at, "after")
	_, count, err := s.config.Audit.Events(ctx, filter) // no rows: its limit is 0
	if err != nil {
		return nil, err
	}
	filter.Limit = perPage + 1 // whether there is one more
	older := false
	if after > 0 {
		if links, err = s.config.Audit.EventsAfter(ctx, filter, after); err != nil {
			return nil, err
		}
		if older = len(links) >= perPage; older {
			data.Beyond = len(links) > perPage
			links = links[:perPage]
			slices.Reverse(links)
		}
	}
	if !older { // the first page has all that is newer
		filter.Before, data.Beyond = before, before > 0
		if links, _, err = s.config.Audit.Events(ctx, filter); err != nil {
			return nil, err
		}
		older = len(links) > perPage
		links = links[:min(len(links), perPage)]
	}
	if data.Count = counted(count); len(links) == 0 {
		return nil, nil
	}
	if data.Beyond {
		data.Pager.Newer = cursorLink(at, "after", links[0].ID)
	}
	if older {
		data.Pager.Older = cursorLink(at, "before", links[len(links)-1].ID)
	}
	return links, nil
}

// counted are the words of a count that stops.
func counted(count int) string {
	switch {
	case count > audit.CountMost:
		return "more than " + humanize.Comma(audit.CountMost) + " rows"
	case count == 1:
		return "1 row"
	default:
		return humanize.Comma(int64(count)) + " rows"
	}
}

// cursor is an id that a page begins at; 0: it names none.
func cursor(at *url.URL, name string) int64 {
	id, err := strconv.ParseInt(at.Query().Get(name), 10, 64)
	if err != nil {
		return 0
	}
	return max(id, 0)
}

func cursorLink(at *url.URL, name string, id int64) string {
	query := at.Query()
	query.Del("before")
	query.Del("after")
	query.Set(name, strconv.FormatInt(id, 10))
	return at.Path + "?" + query.Encode()
}

// exportLink is where the rows of this very filter are downloaded.
func exportLink(at *url.URL, format audit.Format) string {
	query := at.Query()
	query.Del("before")
	query.Del("after")
	query.Set("format", string(format))
	return at.Path + "export/?" + query.Encode()
}

// auditHead is the row whose hash is worth noting.
func (s *site) auditHead(v *visit, filter audit.Filter) (*audit.Point, error) {
	if v.path("organization") == "" {
		chain, _, err := s.config.Audit.ReadChain(v.ctx(), 0, 0)
		if err != nil || chain.Head.ID == 0 {
			return nil, err
		}
		return &chain.Head, nil
	}
	newest, _, err := s.config.Audit.Events(v.ctx(), audit.Filter{OrganizationIDs: filter.OrganizationIDs, Limit: 1})
	if err != nil || len(newest) == 0 || newest[0].Broken != nil {
		return nil, err
	}
	head := newest[0].Point()
	return &head, nil
}

// exportAudit writes all rows of a filter while it reads them. An answer that broke
// off is one that does not come to its end, so that nobody takes it for all.
func (s *site) exportAudit(v *visit) (answer, error) {
	filter, err := v.auditFilter()
	if err != nil {
		return nil, err
	}
	format, err := audit.ParseFormat(v.r.URL.Query().Get("format"))
	if err != nil {
		return nil, err
	}
	export, err := audit.BeginExport(v.ctx(), s.config.Audit, filter, format)
	if err != nil {
		return nil, err
	}
	return stream(func(v *visit) error {
		header := v.w.Header()
		header.Set("Content-Type", format.Type())
		header.Set("Content-Disposition", `attachment; filename="`+format.FileName()+`"`)
		header.Set("X-Accel-Buffering", "no")
		v.w.WriteHeader(http.StatusOK)
		control := http.NewResponseController(v.w)
		err := export.Write(v.ctx(), v.w, func() { _ = control.SetWriteDeadline(time.Now().Add(writeWait)) }, control.Flush) // where it can be set
		if err == nil {
			return nil
		}
		if v.ctx().Err() == nil {
			s.config.Logger.InfoContext(v.ctx(), "a download of the audit trail broke off", "error", err)
		}
		panic(http.ErrAbortHandler)
	}), nil
}
