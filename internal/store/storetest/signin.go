package storetest

import (
	"fmt"
	"time"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
)

// session is a session of the user that began at noon.
func (h *house) session(id string, user account.User) account.Session {
	return account.Session{
		ID: id, UserID: user.ID, Agent: "a browser", Remote: "192.0.2.1",
		CreatedAt: noon, LastUsedAt: noon, ExpiresAt: noon.Add(account.SessionLife),
	}
}

// start stores a session by its id as the hash.
func (h *house) start(s account.Session) {
	h.Helper()
	h.check(h.CreateSession(h.ctx, s, "hash of "+s.ID, s.CreatedAt.Add(-account.SessionIdle), event(audit.SessionStart, s.ID)))
}

// sessionIDs are the ids of a user's sessions in the order of the list.
func (h *house) sessionIDs(user account.User) (ids []string) {
	h.Helper()
	all, err := h.Sessions(h.ctx, user.ID)
	h.check(err)
	for _, s := range all {
		ids = append(ids, s.ID)
	}
	return ids
}

var sessions = []sentence{
	{"a session is found by its hash, touched and ended, with its events", func(h *house) {
		made := h.session("s1", h.ada)
		h.audits(audit.SessionStart, 1, func() { h.start(made) })
		got, err := h.SessionByHash(h.ctx, "hash of s1")
		h.check(err)
		h.same(made, got)
		h.check(h.TouchSession(h.ctx, "s1", noon.Add(time.Hour), "192.0.2.2"))
		made.LastUsedAt, made.Remote = noon.Add(time.Hour), "192.0.2.2"
		got, err = h.SessionByHash(h.ctx, "hash of s1")
		h.check(err)
		h.same(made, got)
		h.restart()
		h.same([]string{"s1"}, h.sessionIDs(h.ada))
		h.audits(audit.SessionEnd, 1, func() {
			h.check(h.DeleteSession(h.ctx, h.ada.ID, "s1", event(audit.SessionEnd, "s1")))
		})
		_, err = h.SessionByHash(h.ctx, "hash of s1")
		h.refused(fault.NotFound, err)
		h.refused(fault.NotFound, h.TouchSession(h.ctx, "s1", noon, ""))
	}},
	{"sessions are one user's, the last used first", func(h *house) {
		bob := h.user("bob")
		for _, s := range []account.Session{h.session("old", h.ada), h.session("new", h.ada), h.session("bobs", bob)} {
			h.start(s)
		}
		h.same([]string{"new", "old"}, h.sessionIDs(h.ada))
		h.check(h.TouchSession(h.ctx, "old", noon.Add(time.Minute), "192.0.2.1"))
		h.same([]string{"old", "new"}, h.sessionIDs(h.ada))
		h.same([]string{"bobs"}, h.sessionIDs(bob))
	}},
	{"nobody ends the session of somebody else, and the attempt leaves no event", func(h *house) {
		bob := h.user("bob")
		h.start(h.session("bobs", bob))
		h.audits(audit.SessionEnd, 0, func() {
			h.refused(fault.NotFound, h.DeleteSession(h.ctx, h.ada.ID, "bobs", event(audit.SessionEnd, "bobs")))
		})
		h.same([]string{"bobs"}, h.sessionIDs(bob))
	}},
	{"all of a user's sessions but one are ended", func(h *house) {
		bob := h.user("bob")
		for _, s := range []account.Session{h.session("1", h.ada), h.session("2", h.ada), h.session("3", h.ada), h.session("bobs", bob)} {
			h.start(s)
		}
		h.audits(audit.SessionEnd, 1, func() {
			h.check(h.DeleteOtherSessions(h.ctx, h.ada.ID, "2", event(audit.SessionEnd, "others")))
		})
		h.same([]string{"2"}, h.sessionIDs(h.ada))
		h.check(h.DeleteOtherSessions(h.ctx, h.ada.ID, "", event(audit.SessionEnd, "others")))
		h.same([]string(nil), h.sessionIDs(h.ada))
		h.same([]string{"bobs"}, h.sessionIDs(bob))
	}},
	{"a password is replaced and the sessions ended together, or neither", func(h *house) {
		for _, id := range []string{"1", "2"} {
			h.start(h.session(id, h.ada))
		}
		h.audits(audit.UserPassword, 0, func() {
			h.refused(fault.NotFound, h.SetPasswordAndEndSessions(h.ctx, "nobody", "other", "", event(audit.UserPassword, "ada")))
		})
		h.audits(audit.UserPassword, 1, func() {
			h.check(h.SetPasswordAndEndSessions(h.ctx, h.ada.ID, "other", "1", event(audit.UserPassword, "ada")))
		})
		h.same([]string{"1"}, h.sessionIDs(h.ada))
		_, hash, err := h.UserByName(h.ctx, "ada")
		h.check(err)
		h.same("other", hash)
	}},
	{"a new session takes those away that are over, whosever they are", func(h *house) {
		bob := h.user("bob")
		idle, ended, used := h.session("idle", h.ada), h.session("ended", bob), h.session("used", bob)
		ended.ExpiresAt, ended.LastUsedAt = noon.Add(8*24*time.Hour), noon.Add(8*24*time.Hour)
		used.LastUsedAt = noon.Add(8 * 24 * time.Hour)
		for _, s := range []account.Session{idle, ended, used} {
			h.start(s)
		}
		late := h.session("late", h.ada)
		late.CreatedAt, late.LastUsedAt = noon.Add(8*24*time.Hour), noon.Add(8*24*time.Hour)
		h.start(late)
		h.same([]string{"late"}, h.sessionIDs(h.ada))
		h.same([]string{"used"}, h.sessionIDs(bob))
	}},
	{"a user has a bounded number of sessions, and the longest unused goes first", func(h *house) {
		bob := h.user("bob")
		h.start(h.session("bobs", bob))
		for i := range account.SessionsMost {
			h.start(h.session(fmt.Sprint(i), h.ada))
		}
		h.check(h.TouchSession(h.ctx, "0", noon.Add(time.Minute), ""))
		late := h.session("late", h.ada)
		late.LastUsedAt = noon.Add(time.Hour)
		h.start(late)
		ids := h.sessionIDs(h.ada)
		h.same(account.SessionsMost, len(ids))
		h.same([]string{"late", "0"}, ids[:2])
		h.same("2", ids[len(ids)-1])
		h.same([]string{"bobs"}, h.sessionIDs(bob))
	}},
	{"a session belongs to a user who is there", func(h *house) {
		s := h.session("s1", account.User{ID: "nobody"})
		h.audits(audit.SessionStart, 0, func() {
			h.refused(fault.NotFound, h.CreateSession(h.ctx, s, "hash", noon, event(audit.SessionStart, "s1")))
		})
	}},
}
