package storetest

import (
	"fmt"
	"sync/atomic"
	"time"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/registry"
)

// credential is one of acme's.
func (h *house) credential(name string) registry.Credential {
	h.Helper()
	credential := h.draft(h.acme, name)
	h.check(h.CreateCredential(h.ctx, credential, event(audit.CredentialCreate, name)))
	return credential
}

func (h *house) draft(owner account.Organization, name string) registry.Credential {
	h.Helper()
	var patterns []image.Pattern
	for _, text := range []string{"ghcr.io/acme/*", "quay.io/acme/train:v*"} {
		pattern, err := image.ParsePattern(text)
		h.check(err)
		patterns = append(patterns, pattern)
	}
	return registry.Credential{
		ID: "credential-" + owner.Name + "-" + name, OrganizationID: owner.ID, Name: name, Kind: "generic", Patterns: patterns,
		Config: map[string]string{"username": "robot"}, Version: 1,
		Sealed:    registry.Sealed{KeyID: 4_000_000_000, Bytes: []byte{0, 1, 2, 0xff}},
		CreatedAt: noon, UpdatedAt: noon, ExpiresAt: noon.Add(time.Hour),
	}
}

func (h *house) generation() int64 {
	h.Helper()
	generation, err := h.Generation(h.ctx, h.acme.ID)
	h.check(err)
	return generation
}

// moves wants change to move the generation, or to leave it.
func (h *house) moves(want bool, change func()) {
	h.Helper()
	before := h.generation()
	change()
	if got := h.generation() != before; got != want {
		h.Fatalf("the generation moved: %t, want %t", got, want)
	}
}

var credentials = []sentence{
	{"a credential comes back as it was stored", func(h *house) {
		h.audits(audit.CredentialCreate, 1, func() { h.credential("hub") })
		got, err := h.CredentialByID(h.ctx, "credential-acme-hub")
		h.check(err)
		h.same(h.draft(h.acme, "hub"), got)
	}},
	{"an organisation's credentials are its own, oldest first", func(h *house) {
		second, first := h.credential("b"), h.credential("a")
		beta := h.organization("beta", h.ada)
		h.check(h.CreateCredential(h.ctx, h.draft(beta, "a"), event(audit.CredentialCreate, "a")))
		got, err := h.Credentials(h.ctx, h.acme.ID)
		h.check(err)
		h.same([]registry.Credential{second, first}, got)
	}},
	{"credentials are found by name, pattern and kind, page by page, the newest first", func(h *house) {
		for i, name := range []string{"Alpha", "beta", "gamma"} {
			draft := h.draft(h.acme, name)
			draft.Kind = []string{"generic", "gcp", "generic"}[i]
			draft.Patterns = []image.Pattern{image.MustParsePattern("ghcr.io/acme/*:V1"), image.MustParsePattern("quay.io/x"), image.MustParsePattern("quay.io/y")}[i : i+1]
			h.check(h.CreateCredential(h.ctx, draft, event(audit.CredentialCreate, name)))
		}
		other := h.draft(h.organization("beta", h.ada), "alpha")
		h.check(h.CreateCredential(h.ctx, other, event(audit.CredentialCreate, "alpha")))
		for _, test := range []struct {
			lookup registry.Lookup
			fit    int
			names  []string
		}{
			{registry.Lookup{Limit: 2}, 3, []string{"gamma", "beta"}},
			{registry.Lookup{Limit: 2, Offset: 2}, 3, []string{"Alpha"}},
			{registry.Lookup{Limit: 9}, 3, []string{"gamma", "beta", "Alpha"}},
			{registry.Lookup{Text: "alph", Limit: 9}, 1, []string{"Alpha"}},
			{registry.Lookup{Text: "acme/*:v1", Limit: 9}, 1, []string{"Alpha"}},
			{registry.Lookup{Text: "quay", Limit: 1}, 2, []string{"gamma"}},
			{registry.Lookup{Text: "google", Kinds: []string{"gcp"}, Limit: 9}, 1, []string{"beta"}},
			{registry.Lookup{Text: "%", Limit: 9}, 0, nil},
		} {
			found, err := h.FindCredentials(h.ctx, h.acme.ID, test.lookup)
			h.check(err)
			var names []string
			for _, c := range found.Credentials {
				names = append(names, c.Name)
			}
			h.same(test.names, names)
			h.same([]int{test.fit, 3}, []int{found.Fit, found.All})
		}
	}},
	{"credentials are found by what was found of them, page by page", func(h *house) {
		results := []registry.CheckResult{registry.CheckFailed, registry.CheckPassed, registry.CheckWarning, registry.CheckFailed, registry.CheckFailed}
		for i, result := range results {
			c := h.credential(fmt.Sprint("c", i))
			check := registry.Check{Version: 1, At: noon, SecretExpiresAt: noon.Add(time.Hour), Repositories: []string{"ghcr.io/acme/train"}, Steps: []registry.CheckStep{
				{Question: "Is it there?", Result: registry.CheckPassed, Sentence: "It is."}, {Question: "Does it work?", Result: result, Sentence: "That was seen."},
			}}
			h.check(h.SaveCheck(h.ctx, c.ID, check, noon, event(audit.CredentialCheck, c.Name)))
		}
		h.credential("unchecked")
		h.check(h.CreateCredential(h.ctx, h.draft(h.organization("beta", h.ada), "c0"), event(audit.CredentialCreate, "c0")))
		failed := func(c registry.Credential) bool {
			if c.Check == nil {
				return false
			}
			_, failed := c.Check.Failed()
			return failed && c.Check.SecretExpiresAt.Equal(noon.Add(time.Hour)) && c.ExpiresAt.Equal(noon.Add(time.Hour)) && c.Version == 1
		}
		unchecked := func(c registry.Credential) bool { return c.Check == nil && c.LastUsedAt.IsZero() }
		for _, test := range []struct {
			lookup registry.Lookup
			fit    int
			names  []string
		}{
			{registry.Lookup{Only: failed, Limit: 2}, 3, []string{"c4", "c3"}},
			{registry.Lookup{Only: failed, Limit: 2, Offset: 2}, 3, []string{"c0"}},
			{registry.Lookup{Only: failed, Limit: 2, Offset: 3}, 3, nil},
			{registry.Lookup{Only: failed, Text: "c3", Limit: 2}, 1, []string{"c3"}},
			{registry.Lookup{Only: unchecked, Limit: 2}, 1, []string{"unchecked"}},
		} {
			found, err := h.FindCredentials(h.ctx, h.acme.ID, test.lookup)
			h.check(err)
			var names []string
			for _, c := range found.Credentials {
				names = append(names, c.Name)
				whole, err := h.CredentialByID(h.ctx, c.ID)
				h.check(err)
				h.same(whole, c)
			}
			h.same(test.names, names)
			h.same([]int{test.fit, 6}, []int{found.Fit, found.All})
		}
	}},
	{"a name is unique in its organisation", func(h *house) {
		h.credential("hub")
		again := h.draft(h.acme, "hub")
		again.ID = "another"
		h.moves(false, func() {
			h.refused(fault.Conflict, h.CreateCredential(h.ctx, again, event(audit.CredentialCreate, "hub")))
		})
		other := h.credential("quay")
		other.Name = "hub"
		h.refused(fault.Conflict, h.UpdateCredential(h.ctx, other, 1, event(audit.CredentialUpdate, "hub")))
	}},
	{"every change moves the generation, and a use does not", func(h *house) {
		var credential registry.Credential
		h.moves(true, func() { credential = h.credential("hub") })
		h.moves(false, func() {
			h.check(h.TouchCredential(h.ctx, credential.ID, noon.Add(time.Minute), noon.Add(time.Hour)))
			beta := h.organization("beta", h.ada)
			h.check(h.CreateCredential(h.ctx, h.draft(beta, "a"), event(audit.CredentialCreate, "a")))
		})
		h.moves(true, func() { h.check(h.UpdateCredential(h.ctx, credential, 1, event(audit.CredentialUpdate, "hub"))) })
		h.moves(true, func() {
			_, err := h.Reseal(h.ctx, credential.Place(), credential.Sealed, registry.Sealed{KeyID: 1, Bytes: []byte("fresh")})
			h.check(err)
		})
		h.moves(true, func() { h.check(h.DeleteCredential(h.ctx, credential.ID, event(audit.CredentialDelete, "hub"))) })
		_, err := h.Generation(h.ctx, 9999)
		h.refused(fault.NotFound, err)
	}},
	{"an update replaces what can be changed and keeps the rest", func(h *house) {
		credential := h.credential("hub")
		h.check(h.TouchCredential(h.ctx, credential.ID, noon.Add(time.Minute), noon.Add(time.Hour)))
		credential.Name, credential.Version = "docker", 2
		credential.Patterns = credential.Patterns[:1]
		credential.Config = nil
		credential.Sealed = registry.Sealed{KeyID: 7, Bytes: []byte("fresh")}
		credential.UpdatedAt, credential.ExpiresAt = noon.Add(time.Hour), time.Time{}
		h.audits(audit.CredentialUpdate, 1, func() {
			h.check(h.UpdateCredential(h.ctx, credential, 1, event(audit.CredentialUpdate, "docker")))
		})
		credential.LastUsedAt, credential.GrantsUntil = noon.Add(time.Minute), noon.Add(time.Hour)
		got, err := h.CredentialByID(h.ctx, credential.ID)
		h.check(err)
		h.same(credential, got)
	}},
	{"of many changes of one version one is made, and the others clash", func(h *house) {
		credential := h.credential("hub")
		credential.Version = 2
		var made, clashed atomic.Int32
		h.audits(audit.CredentialUpdate, 1, func() {
			together(16, func(i int) {
				change := credential
				change.Name = fmt.Sprint("hub ", i)
				switch err := h.UpdateCredential(h.ctx, change, 1, event(audit.CredentialUpdate, change.Name)); {
				case err == nil:
					made.Add(1)
				case fault.Is(err, fault.Conflict):
					clashed.Add(1)
				}
			})
		})
		h.same([]int32{1, 15}, []int32{made.Load(), clashed.Load()})
	}},
	{"what is deleted is not found", func(h *house) {
		credential := h.credential("hub")
		h.audits(audit.CredentialDelete, 1, func() {
			h.check(h.DeleteCredential(h.ctx, credential.ID, event(audit.CredentialDelete, "hub")))
		})
		_, err := h.CredentialByID(h.ctx, credential.ID)
		h.refused(fault.NotFound, err)
		h.refused(fault.NotFound, h.DeleteCredential(h.ctx, credential.ID, event(audit.CredentialDelete, "hub")))
		h.refused(fault.NotFound, h.UpdateCredential(h.ctx, credential, 1, event(audit.CredentialUpdate, "hub")))
		h.refused(fault.NotFound, h.TouchCredential(h.ctx, credential.ID, noon, noon))
	}},
	{"what another key sealed is found until it is sealed anew", func(h *house) {
		for i := range 5 {
			h.credential(fmt.Sprint("hub ", i))
		}
		seen := 0
		for {
			found, err := h.SealedBefore(h.ctx, 7, 2)
			h.check(err)
			if len(found) == 0 {
				break
			}
			h.same(true, len(found) <= 2)
			for _, kept := range found {
				fresh := registry.Sealed{KeyID: 7, Bytes: []byte("fresh")}
				replaced, err := h.Reseal(h.ctx, kept.Place, kept.Sealed, fresh)
				h.check(err)
				h.same(true, replaced)
				got, err := h.CredentialByID(h.ctx, kept.Place.CredentialID)
				h.check(err)
				h.same(fresh, got.Sealed)
				seen++
			}
		}
		h.same(5, seen)
	}},
	{"a seal that was replaced in the meantime is left", func(h *house) {
		credential := h.credential("hub")
		stale := registry.Sealed{KeyID: credential.Sealed.KeyID, Bytes: []byte("stale")}
		replaced, err := h.Reseal(h.ctx, credential.Place(), stale, registry.Sealed{KeyID: 7, Bytes: []byte("fresh")})
		h.check(err)
		h.same(false, replaced)
		got, err := h.CredentialByID(h.ctx, credential.ID)
		h.check(err)
		h.same(credential.Sealed, got.Sealed)
	}},
	{"a check is kept with the version that it was of, and moves no generation", func(h *house) {
		credential := h.credential("hub")
		check := registry.Check{
			Version: 1, At: noon, Took: time.Second, Identity: "robot", Repositories: []string{"ghcr.io/acme/train"},
			Steps:           []registry.CheckStep{{Question: "secret", Result: registry.CheckPassed, Sentence: "It is accepted"}},
			SecretExpiresAt: noon.Add(time.Hour), RateLimit: &registry.RateLimit{Limit: 200, Remaining: 7},
		}
		h.moves(false, func() {
			h.audits(audit.CredentialCheck, 1, func() {
				h.check(h.SaveCheck(h.ctx, credential.ID, check, noon.Add(time.Hour), event(audit.CredentialCheck, "hub")))
			})
		})
		got, err := h.CredentialByID(h.ctx, credential.ID)
		h.check(err)
		credential.Check = &check
		h.same(credential, got)
		stale := check
		stale.Version, stale.Identity = 7, "another"
		h.audits(audit.CredentialCheck, 0, func() {
			h.check(h.SaveCheck(h.ctx, credential.ID, stale, noon, event(audit.CredentialCheck, "hub")))
		})
		got, err = h.CredentialByID(h.ctx, credential.ID)
		h.check(err)
		h.same(credential, got)
	}},
	{"checks come due, the longest due first", func(h *house) {
		a, b, c := h.credential("a"), h.credential("b"), h.credential("c")
		h.check(h.PostponeCheck(h.ctx, a.ID, noon.Add(2*time.Minute)))
		h.check(h.PostponeCheck(h.ctx, b.ID, noon.Add(time.Minute)))
		h.check(h.PostponeCheck(h.ctx, c.ID, noon.Add(time.Hour)))
		due, err := h.DueChecks(h.ctx, noon.Add(3*time.Minute), 10)
		h.check(err)
		h.same([]registry.Credential{b, a}, due)
		due, err = h.DueChecks(h.ctx, noon.Add(3*time.Minute), 1)
		h.check(err)
		h.same([]registry.Credential{b}, due)
	}},
	{"the last grant's end is kept, and an earlier one changes nothing", func(h *house) {
		credential := h.credential("hub")
		for _, until := range []time.Duration{time.Hour, 3 * time.Hour, 2 * time.Hour} {
			h.check(h.TouchCredential(h.ctx, credential.ID, noon, noon.Add(until)))
		}
		got, err := h.CredentialByID(h.ctx, credential.ID)
		h.check(err)
		h.same(noon.Add(3*time.Hour), got.GrantsUntil)
	}},
	{"a rotation keeps the secret that it replaces until it is forgotten", func(h *house) {
		credential := h.credential("hub")
		fresh := credential
		fresh.Version, fresh.Sealed = 2, registry.Sealed{KeyID: 7, Bytes: []byte("fresh")}
		old := registry.Retired{
			CredentialID: credential.ID, Version: 1, Config: credential.Config, Sealed: credential.Sealed,
			Until: noon.Add(time.Hour), AtRegistry: true,
		}
		h.moves(true, func() {
			h.audits(audit.CredentialRotate, 1, func() {
				h.check(h.RotateCredential(h.ctx, fresh, old, event(audit.CredentialRotate, "hub")))
			})
		})
		h.refused(fault.Conflict, h.RotateCredential(h.ctx, fresh, old, event(audit.CredentialRotate, "hub")))
		got, err := h.CredentialByID(h.ctx, credential.ID)
		h.check(err)
		h.same(fresh, got)
		held, err := h.Retired(h.ctx, credential.ID)
		h.check(err)
		h.same([]registry.Retired{old}, held)

		// The old one is sealed anew with the others.
		kept, err := h.SealedBefore(h.ctx, 7, 10)
		h.check(err)
		h.same([]registry.Kept{{Place: credential.Place(), Sealed: old.Sealed}}, kept)
		replaced, err := h.Reseal(h.ctx, credential.Place(), old.Sealed, registry.Sealed{KeyID: 7, Bytes: []byte("again")})
		h.check(err)
		h.same(true, replaced)
		old.Sealed = registry.Sealed{KeyID: 7, Bytes: []byte("again")}

		due, err := h.DueRetired(h.ctx, noon, 10)
		h.check(err)
		h.same(0, len(due))
		h.check(h.PostponeRetired(h.ctx, credential.ID, 1, noon))
		old.Until = noon
		due, err = h.DueRetired(h.ctx, noon, 10)
		h.check(err)
		h.same([]registry.Retired{old}, due)
		for range 2 {
			h.check(h.ForgetRetired(h.ctx, credential.ID, 1, event(audit.CredentialForget, "hub")))
		}
		held, err = h.Retired(h.ctx, credential.ID)
		h.check(err)
		h.same(0, len(held))
	}},
	{"with a credential go the secrets that are held for it", func(h *house) {
		credential := h.credential("hub")
		fresh := credential
		fresh.Version = 2
		h.check(h.RotateCredential(h.ctx, fresh, registry.Retired{
			CredentialID: credential.ID, Version: 1, Sealed: credential.Sealed, Until: noon,
		}, event(audit.CredentialRotate, "hub")))
		h.check(h.DeleteCredential(h.ctx, credential.ID, event(audit.CredentialDelete, "hub")))
		due, err := h.DueRetired(h.ctx, noon, 10)
		h.check(err)
		h.same(0, len(due))
	}},
}
