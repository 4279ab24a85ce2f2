package web

import (
	"time"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/execution"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/secret"
)

func (s *site) workerRoutes() {
	s.on("GET /workers/{$}", operator, s.listWorkers)
	s.on("GET /workers/token/{$}", operator, s.showNewWorkerToken)
	s.on("POST /workers/token/{$}", operator, s.createWorkerToken)
	s.on("GET /workers/cache-token/{$}", operator, s.showNewCacheToken)
	s.on("POST /workers/cache-token/{$}", operator, s.createCacheToken)
	s.on("POST /workers/{token}/delete/{$}", operator, s.deleteMachineToken)
}

// awayAfter is for how long who was seen counts as here: a worker asks all the time,
// and when it did is kept to the minute.
const awayAfter = 3 * time.Minute

// machine is a token of a worker or of a cache, as the page shows it.
type machine struct {
	account.Token
	Environment string
	Runs        []heldRow

	// Words and Good are how it stands, and the class of it.
	Words, Good string
}

// heldRow is an execution that a worker is at.
type heldRow struct {
	execution.Held
	Project string // OWNER/NAME; "": one that the operator may not see
}

// workersData is what the page of the machines shows.
type workersData struct {
	Environments []environmentRow
	Workers      []machine
	Pager        pager
	Caches       []machine
	MoreCaches   int // that are not shown
}

// cachesMost is how many caches' tokens the page shows.
const cachesMost = 100

func (s *site) listWorkers(v *visit) (answer, error) {
	tokens, err := s.config.Accounts.WorkerTokens(v.ctx(), v.actor)
	if err != nil {
		return nil, err
	}
	caches, err := s.config.Accounts.CacheTokens(v.ctx(), v.actor)
	if err != nil {
		return nil, err
	}
	data := workersData{MoreCaches: max(0, len(caches)-cachesMost)}
	if data.Environments, err = s.environmentRows(v); err != nil {
		return nil, err
	}
	environments := make(map[string]string, len(data.Environments))
	for _, e := range data.Environments {
		environments[e.ID] = e.Name
	}
	runs, err := s.heldByWorker(v)
	if err != nil {
		return nil, err
	}
	offset := min(v.offset(), len(tokens))
	shown := tokens[offset:min(offset+perPage, len(tokens))]
	for _, token := range shown {
		m := v.machine(token)
		m.Environment, m.Runs = environments[token.EnvironmentID], runs[token.ID]
		data.Workers = append(data.Workers, m)
	}
	data.Pager = pagerOf(v.r.URL, offset, len(shown), len(tokens))
	for _, token := range caches[:min(len(caches), cachesMost)] {
		data.Caches = append(data.Caches, v.machine(token))
	}
	return page{file: "workers.html", title: "Workers", data: data}, nil
}

func (v *visit) machine(token account.Token) machine {
	now := v.site.config.Now()
	m := machine{Token: token}
	switch {
	case token.IsExpired(now):
		m.Words, m.Good = "expired", "bad"
	case token.LastUsedAt.IsZero():
		m.Words = "never came"
	case now.Sub(token.LastUsedAt) < awayAfter:
		m.Words, m.Good = "here", "good"
	default:
		m.Words, m.Good = "away", "warn"
	}
	return m
}

// heldByWorker is what each worker is at, by the id of its token.
func (s *site) heldByWorker(v *visit) (map[string][]heldRow, error) {
	held, err := s.config.Executions.Held(v.ctx(), v.actor)
	if err != nil || len(held) == 0 {
		return nil, err
	}
	names, err := s.projectNames(v)
	if err != nil {
		return nil, err
	}
	runs := make(map[string][]heldRow)
	for _, h := range held {
		runs[h.WorkerID] = append(runs[h.WorkerID], heldRow{h, names[h.ProjectID]})
	}
	return runs, nil
}

// newTokenData is what the page of a new machine's token shows.
type newTokenData struct {
	Cache        bool
	Environments []option

	// Made is the token that was made, with its text, which is shown now and never
	// again.
	Made *account.Token
	Text secret.Text
	Link string // the address of this server
}

// Shown is the token's text.
func (d newTokenData) Shown() string { return d.Text.Reveal() }

func (s *site) newTokenPage(v *visit, cache bool) (page, error) {
	data := newTokenData{Cache: cache, Link: v.link("")}
	p := page{file: "machine_token.html", title: "New worker"}
	if cache {
		p.title, p.data = "New cache", data
		return p, nil
	}
	environments, err := s.config.Accounts.Environments(v.ctx(), v.actor)
	if err != nil {
		return p, err
	}
	for _, e := range environments {
		data.Environments = append(data.Environments, option{e.ID, e.Name})
	}
	p.data, p.form = data, formOf(map[string]string{"environment": account.DefaultEnvironmentID})
	return p, nil
}

func (s *site) showNewWorkerToken(v *visit) (answer, error) { return s.newTokenPage(v, false) }
func (s *site) showNewCacheToken(v *visit) (answer, error)  { return s.newTokenPage(v, true) }

func (s *site) createWorkerToken(v *visit) (answer, error) {
	return s.createMachineToken(v, false, func(f *form, expires time.Time) (account.Token, secret.Text, error) {
		return s.config.Accounts.CreateWorkerToken(v.ctx(), v.actor, f.get("name"), f.get("environment"), expires)
	})
}

func (s *site) createCacheToken(v *visit) (answer, error) {
	return s.createMachineToken(v, true, func(f *form, expires time.Time) (account.Token, secret.Text, error) {
		return s.config.Accounts.CreateCacheToken(v.ctx(), v.actor, f.get("name"), expires)
	})
}

// createMachineToken answers with the page that has the token's text: it is in no
// address and in no cookie, so the page cannot be asked for again.
func (s *site) createMachineToken(v *visit, cache bool, create func(*form, time.Time) (account.Token, secret.Text, error)) (answer, error) {
	f, err := v.readForm()
	if err != nil {
		return nil, err
	}
	p, err := s.newTokenPage(v, cache)
	if err != nil {
		return nil, err
	}
	expires, err := f.day("expires_at")
	if err != nil {
		return v.refuse(f, err, p)
	}
	made, text, err := create(f, expires)
	if err != nil {
		return v.refuse(f, err, p)
	}
	data := p.data.(newTokenData)
	data.Made, data.Text = &made, text
	p.data, p.title = data, "Token of "+made.Name
	return p, nil
}

// day is a field's date, as its first moment in UTC; nothing is zero.
func (f *form) day(name string) (time.Time, error) {
	text := f.get(name)
	if text == "" {
		return time.Time{}, nil
	}
	day, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return time.Time{}, fault.InvalidField(name, "date", "%.40q is no date", text).WithHint("Write it as 2027-03-09.")
	}
	return day, nil
}

func (s *site) deleteMachineToken(v *visit) (answer, error) {
	workers, err := s.config.Accounts.WorkerTokens(v.ctx(), v.actor)
	if err != nil {
		return nil, err
	}
	caches, err := s.config.Accounts.CacheTokens(v.ctx(), v.actor)
	if err != nil {
		return nil, err
	}
	for _, token := range append(workers, caches...) {
		if token.ID == v.path("token") {
			if err := s.config.Accounts.DeleteToken(v.ctx(), v.actor, token.ID); err != nil {
				return nil, err
			}
			return seeOther{to: "/workers/", said: "The token of " + token.Name + " is ended."}, nil
		}
	}
	return nil, fault.New(fault.NotFound, "token_unknown", "there is no such token of a worker or a cache")
}
