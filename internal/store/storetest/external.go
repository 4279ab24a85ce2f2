package storetest

import (
	"time"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
)

const issuer = "https://login.example"

func (h *house) identity(subject string, user account.User) account.Identity {
	return account.Identity{Issuer: issuer, Subject: subject, UserID: user.ID, Username: user.Username, Email: "x@example.com", CreatedAt: noon}
}

// link stores an identity of the user.
func (h *house) link(subject string, user account.User) account.Identity {
	h.Helper()
	identity := h.identity(subject, user)
	h.check(h.LinkIdentity(h.ctx, identity, event(audit.IdentityLink, subject)))
	return identity
}

// external stores a session of the identity with that id, due at an hour's end.
func (h *house) external(id string, identity account.Identity, user account.User) account.ExternalSession {
	h.Helper()
	s := h.session(id, user)
	external := account.ExternalSession{
		SessionID: id, UserID: user.ID, Username: user.Username, Issuer: identity.Issuer, Subject: identity.Subject, SID: "sid-" + id,
		Version: 1, Sealed: account.SealedRefresh{KeyID: 7, Bytes: []byte(id)}, RefreshAt: noon.Add(time.Hour),
	}
	h.check(h.CreateExternalSession(h.ctx, s, "hash of "+id, noon.Add(-account.SessionIdle), external, identity, event(audit.SessionStart, id)))
	return external
}

// externalsOf are the ids of those sessions.
func (h *house) externalsOf(sessions []account.ExternalSession, err error) (ids []string) {
	h.Helper()
	h.check(err)
	for _, s := range sessions {
		ids = append(ids, s.SessionID)
	}
	return ids
}

// gave sets what groups give ada in acme.
func (h *house) gave(role, hand, effective account.Role) {
	h.Helper()
	h.check(h.ChangeRoles(h.ctx, h.ada.ID, func([]account.Standing) []account.RoleChange {
		return []account.RoleChange{{OrganizationID: h.acme.ID, Role: effective, ByGroups: role, Hand: hand}}
	}))
}

// standings are what ada has.
func (h *house) standings() (have []account.Standing) {
	h.Helper()
	h.check(h.ChangeRoles(h.ctx, h.ada.ID, func(all []account.Standing) []account.RoleChange {
		have = all
		return nil
	}))
	return have
}

var externals = []sentence{
	{"an identity is one user's, and its user is made with it or not at all", func(h *house) {
		grace := account.User{ID: "u-grace", Username: "grace", CreatedAt: noon}
		h.audits(audit.UserCreate, 1, func() {
			h.check(h.CreateExternalUser(h.ctx, grace, h.identity("s1", grace), event(audit.UserCreate, "grace")))
		})
		got, err := h.Identity(h.ctx, issuer, "s1")
		h.check(err)
		h.same(h.identity("s1", grace), got)
		_, hash, err := h.UserByName(h.ctx, "grace")
		h.check(err)
		h.same("", hash)
		other := account.User{ID: "u-other", Username: "other", CreatedAt: noon}
		h.audits(audit.UserCreate, 0, func() {
			h.refused(fault.Conflict, h.CreateExternalUser(h.ctx, other, h.identity("s1", other), event(audit.UserCreate, "other")))
			other.Username = "ADA"
			h.refused(fault.Conflict, h.CreateExternalUser(h.ctx, other, h.identity("s2", other), event(audit.UserCreate, "ADA")))
		})
		_, err = h.UserByID(h.ctx, "u-other")
		h.refused(fault.NotFound, err)
		_, err = h.Identity(h.ctx, issuer, "s2")
		h.refused(fault.NotFound, err)
		_, err = h.Identity(h.ctx, "https://other.example", "s1")
		h.refused(fault.NotFound, err)
		h.refused(fault.Conflict, h.LinkIdentity(h.ctx, h.identity("s1", h.ada), event(audit.IdentityLink, "s1")))
	}},
	{"identities are listed in their order, and one that is unlinked takes its sessions along", func(h *house) {
		var first, second account.Identity
		h.audits(audit.IdentityLink, 2, func() { first, second = h.link("s9", h.ada), h.link("s1", h.ada) })
		h.external("a", first, h.ada)
		h.external("b", second, h.ada)
		h.start(h.session("own", h.ada))
		first.LastUsedAt, second.LastUsedAt = noon, noon
		got, err := h.Identities(h.ctx, h.ada.ID)
		h.check(err)
		h.same([]account.Identity{first, second}, got)
		bob := h.user("bob")
		h.refused(fault.NotFound, h.UnlinkIdentity(h.ctx, bob.ID, issuer, "s9", event(audit.IdentityUnlink, "s9")))
		h.audits(audit.IdentityUnlink, 1, func() {
			h.check(h.UnlinkIdentity(h.ctx, h.ada.ID, issuer, "s9", event(audit.IdentityUnlink, "s9")))
		})
		h.same([]string{"own", "b"}, h.sessionIDs(h.ada))
		h.refused(fault.NotFound, h.UnlinkIdentity(h.ctx, h.ada.ID, issuer, "s9", event(audit.IdentityUnlink, "s9")))
	}},
	{"a session of an identity that was unlinked meanwhile is not made", func(h *house) {
		session := h.session("late", h.ada)
		h.audits(audit.SessionStart, 0, func() {
			h.refused(fault.NotFound, h.CreateExternalSession(h.ctx, session, "hash", noon, account.ExternalSession{Issuer: issuer, Subject: "s1"},
				h.identity("s1", h.ada), event(audit.SessionStart, "late")))
		})
		h.same([]string(nil), h.sessionIDs(h.ada))
	}},
	{"external sessions are found by subject, or by the provider's session", func(h *house) {
		bob := h.user("bob")
		adas, bobs := h.link("s-ada", h.ada), h.link("s-bob", bob)
		made := h.external("a", adas, h.ada)
		h.external("b", adas, h.ada)
		h.external("c", bobs, bob)
		h.restart()
		found, err := h.ExternalSessions(h.ctx, issuer, "", "sid-a")
		h.check(err)
		h.same([]account.ExternalSession{made}, found)
		h.same([]string{"a", "b"}, h.externalsOf(h.ExternalSessions(h.ctx, issuer, "s-ada", "")))
		h.same([]string{"a", "b"}, h.externalsOf(h.ExternalSessions(h.ctx, issuer, "s-ada", "sid-b")))
		h.same([]string(nil), h.externalsOf(h.ExternalSessions(h.ctx, issuer, "", "")))
		h.same([]string(nil), h.externalsOf(h.ExternalSessions(h.ctx, "https://other.example", "s-ada", "")))
		h.same([]string(nil), h.externalsOf(h.ExternalSessionsOfOthers(h.ctx, issuer)))
		h.same([]string{"a", "b", "c"}, h.externalsOf(h.ExternalSessionsOfOthers(h.ctx, "https://other.example")))
		h.check(h.DeleteSession(h.ctx, h.ada.ID, "a", event(audit.SessionEnd, "a")))
		h.same([]string{"b"}, h.externalsOf(h.ExternalSessions(h.ctx, issuer, "s-ada", "")))
	}},
	{"a session is due when its time has come, for one who asks", func(h *house) {
		adas := h.link("s-ada", h.ada)
		one := h.external("a", adas, h.ada)
		h.external("b", adas, h.ada)
		hour := noon.Add(time.Hour)
		h.same([]string(nil), h.externalsOf(h.DueExternalSessions(h.ctx, hour.Add(-time.Microsecond), 10)))
		h.same(2, len(h.externalsOf(h.DueExternalSessions(h.ctx, hour, 10))))
		h.same(1, len(h.externalsOf(h.DueExternalSessions(h.ctx, hour, 1))))
		for _, want := range []bool{true, false} {
			got, mine, err := h.AttemptRefresh(h.ctx, "a", hour, hour.Add(time.Minute))
			h.check(err)
			h.same(want, mine)
			if one.RefreshAt = hour.Add(time.Minute); mine {
				h.same(one, got)
			}
		}
		h.same([]string{"b"}, h.externalsOf(h.DueExternalSessions(h.ctx, hour, 10)))
		one.Version, one.Sealed, one.RefreshAt, one.AwaySince = 2, account.SealedRefresh{KeyID: 9, Bytes: []byte("new")}, hour.Add(time.Hour), hour
		h.check(h.ConcludeRefresh(h.ctx, one))
		found, err := h.ExternalSessions(h.ctx, issuer, "", "sid-a")
		h.check(err)
		h.same([]account.ExternalSession{one}, found)
		one.RefreshAt, one.AwaySince = time.Time{}, time.Time{}
		again := one
		again.Sealed = account.SealedRefresh{KeyID: 7, Bytes: []byte("as it was before a change of the keys")}
		h.check(h.ConcludeRefresh(h.ctx, again))
		found, err = h.ExternalSessions(h.ctx, issuer, "", "sid-a")
		h.check(err)
		h.same([]account.ExternalSession{one}, found)
		h.same([]string{"b"}, h.externalsOf(h.DueExternalSessions(h.ctx, hour.Add(1000*time.Hour), 10)))
		one.SessionID = "gone"
		h.refused(fault.NotFound, h.ConcludeRefresh(h.ctx, one))
	}},
	{"refresh tokens that another key sealed are found and sealed anew, but for those that changed", func(h *house) {
		adas := h.link("s-ada", h.ada)
		one, two := h.external("a", adas, h.ada), h.external("b", adas, h.ada)
		three := h.external("c", adas, h.ada)
		three.Version, three.Sealed = 2, account.SealedRefresh{}
		h.check(h.ConcludeRefresh(h.ctx, three))
		fresh := account.SealedRefresh{KeyID: 9, Bytes: []byte("fresh")}
		kept, err := h.RefreshSecretsBefore(h.ctx, 9, 10)
		h.check(err)
		h.same(2, len(kept))
		done, err := h.ResealRefreshSecret(h.ctx, one.Place(), one.Sealed, fresh)
		h.check(err)
		h.same(true, done)
		done, err = h.ResealRefreshSecret(h.ctx, two.Place(), fresh, fresh)
		h.check(err)
		h.same(false, done)
		kept, err = h.RefreshSecretsBefore(h.ctx, 9, 10)
		h.check(err)
		h.same([]account.KeptRefresh{{Place: two.Place(), Sealed: two.Sealed}}, kept)
	}},
	{"what groups gave is told beside what was given by hand, and a hand makes it the hand's", func(h *house) {
		h.same([]account.Standing{{}, {OrganizationID: h.acme.ID, Name: "acme", Role: account.Admin, Last: true}}, h.standings())
		h.gave(account.Member, account.Admin, account.Admin)
		bob := h.user("bob")
		h.check(h.SetMember(h.ctx, h.acme.ID, bob.ID, account.Admin, event(audit.MemberSet, "bob")))
		h.same([]account.Standing{{}, {OrganizationID: h.acme.ID, Name: "acme", Role: account.Admin, ByGroups: account.Member, Hand: account.Admin}}, h.standings())
		h.check(h.SetMember(h.ctx, h.acme.ID, h.ada.ID, account.Member, event(audit.MemberSet, "ada")))
		h.same([]account.Standing{{}, {OrganizationID: h.acme.ID, Name: "acme", Role: account.Member}}, h.standings())
		h.gave(account.Admin, account.Member, account.Admin)
		h.check(h.RemoveMember(h.ctx, h.acme.ID, h.ada.ID, event(audit.MemberRemove, "ada")))
		h.same([]account.Standing{{}}, h.standings())
	}},
	{"roles are changed in the installation and in organisations, with their events", func(h *house) {
		change := func(organizationID int64, role, byGroups account.Role) {
			h.Helper()
			h.audits(audit.UserOperator, 1, func() {
				h.check(h.ChangeRoles(h.ctx, h.ada.ID, func([]account.Standing) []account.RoleChange {
					return []account.RoleChange{{
						OrganizationID: organizationID, Role: role, ByGroups: byGroups, Events: []audit.Event{event(audit.UserOperator, "ada")},
					}}
				}))
			})
		}
		change(0, "operator", "operator")
		user, err := h.UserByID(h.ctx, h.ada.ID)
		h.check(err)
		h.same(true, user.Operator)
		h.same(account.Standing{Role: "operator", ByGroups: "operator", Last: true}, h.standings()[0])
		change(0, "", "")
		change(h.acme.ID, "", "")
		h.same([]account.Standing{{}}, h.standings())
		change(h.acme.ID, account.Member, account.Member)
		members, err := h.Members(h.ctx, h.acme.ID)
		h.check(err)
		h.same(account.Member, members[0].Role)
	}},
}
