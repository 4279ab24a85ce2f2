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
}
