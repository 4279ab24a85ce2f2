package fill

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/notice"
	"fairlead.dev/fairlead/internal/registry"
)

// wide is how many patterns one credential has.
const wide = 300

// registries makes the credentials of the first organisation, with what was found
// when they were checked. Their secret is that of the one that is there already, which
// opens in no other row: pages never open one.
func (f *filler) registries(ctx context.Context) error {
	there, err := f.store.Credentials(ctx, f.filled.Organization)
	if err != nil {
		return err
	}
	f.credentials = make([]string, Credentials)
	return each(Credentials, func(i int) error {
		c := registry.Credential{
			ID: uuid.NewString(), OrganizationID: f.filled.Organization, Name: fmt.Sprintf("team-%d", i), Kind: "generic",
			Config: map[string]string{"username": fmt.Sprintf("robot-%d", i)}, Version: 1, Sealed: there[0].Sealed,
			CreatedAt: f.now, UpdatedAt: f.now,
		}
		if i%3 == 0 {
			c.Kind = "docker-hub"
		}
		if i%20 == 0 {
			c.ExpiresAt = f.now.Add(time.Duration(i-Credentials/2) * time.Hour)
		}
		many := (Patterns - wide) / Credentials
		if i == 1 {
			many = wide
		}
		for j := range many {
			text := fmt.Sprintf("registry.acme.example/team-%d/*", i)
			if j > 0 {
				text = fmt.Sprintf("registry.acme.example/team-%d/part-%d/*", i, j)
			}
			pattern, err := image.ParsePattern(text)
			if err != nil {
				return err
			}
			c.Patterns = append(c.Patterns, pattern)
		}
		f.credentials[i] = c.ID
		switch i {
		case 0:
			f.filled.Busy = c.ID
		case 1:
			f.filled.Wide = c.ID
		}
		if err := f.store.CreateCredential(ctx, c, f.event(audit.CredentialCreate, c.OrganizationID, c.ID, c.Name)); err != nil {
			return err
		}
		if i%3 != 0 {
			if err := f.store.TouchCredential(ctx, c.ID, f.now, f.now); err != nil {
				return err
			}
		}
		later := f.now.Add(7 * 24 * time.Hour) // nothing is asked while pages are measured
		if i%10 == 9 {
			return f.store.PostponeCheck(ctx, c.ID, later)
		}
		return f.store.SaveCheck(ctx, c.ID, f.checked(i), later, f.event(audit.CredentialCheck, c.OrganizationID, c.ID, c.Name))
	})
}

// checked is what was found of the nth credential.
func (f *filler) checked(n int) registry.Check {
	check := registry.Check{Version: 1, At: f.now, Took: time.Second, Identity: "robot", Listed: true, RateLimit: &registry.RateLimit{Limit: 200, Remaining: n % 200, Window: 6 * time.Hour}}
	for _, question := range []string{"Is the registry there?", "Who is it?", "Does it take the secret?", "What can be read?", "What could be written?"} {
		check.Steps = append(check.Steps, registry.CheckStep{Question: question, Result: registry.CheckPassed, Sentence: "registry.acme.example answered as it should.", Took: 100 * time.Millisecond})
	}
	last := &check.Steps[len(check.Steps)-1]
	switch n % 10 {
	case 0:
		last.Result, last.Code, last.Sentence, last.Hint = registry.CheckFailed, "secret_refused", "registry.acme.example refused the secret.", "Rotate it."
	case 1:
		last.Result, last.Sentence, last.Hint = registry.CheckWarning, "The secret may push, too.", "Make one that only pulls."
	}
	for i := range 20 {
		check.Repositories = append(check.Repositories, fmt.Sprintf("registry.acme.example/team-%d/part-%d", n, i))
	}
	return check
}

// settle sees to what happened, so that the server has nothing to tell anybody.
func (f *filler) settle(ctx context.Context) error {
	for {
		happenings, err := f.store.Happenings(ctx, 1000)
		if err != nil || len(happenings) == 0 {
			return err
		}
		seen := notice.Settlement{At: f.now}
		for _, h := range happenings {
			seen.Happenings = append(seen.Happenings, h.Position)
		}
		if err := f.store.Settle(ctx, seen); err != nil {
			return err
		}
	}
}

// trail fills the audit trail up: with pull grants of all organisations, many of
// one credential, a few of which were refused.
func (f *filler) trail(ctx context.Context) error {
	chain, _, err := f.store.ReadChain(ctx, 0, 0)
	if err != nil {
		return err
	}
	const batch = 1000
	for have := int(chain.Head.ID); have < AuditRows; have += batch {
		events := make([]audit.Event, min(batch, AuditRows-have))
		for i := range events {
			n := have + i
			credential := f.credentials[n%len(f.credentials)]
			if n%(AuditRows/busyGrants) == 0 {
				credential = f.filled.Busy
			}
			organization := f.organizations[n%organizations]
			if n%2 == 0 {
				organization = f.organizations[0]
			}
			e := f.event(audit.GrantIssue, organization.ID, credential, "team")
			e.Time = f.now.Add(time.Duration(n-AuditRows) * time.Minute)
			e.Actor, e.ActorID, e.ExecutionID = fmt.Sprintf("worker worker-%d", n%workers), uuid.NewString(), uuid.NewString()
			e.Details = map[string]string{"repository": fmt.Sprintf("team-%d/train", n%Credentials), "registry": "registry.acme.example", "until": "2027-01-31T00:00:00Z"}
			if n%50 == 0 {
				e.Result = "secret_refused"
			}
			events[i] = e
		}
		if err := f.store.Record(ctx, events...); err != nil {
			return err
		}
	}
	return nil
}
