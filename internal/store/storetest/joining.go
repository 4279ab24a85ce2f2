package storetest

import (
	"sync/atomic"
	"time"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
)

// many is more than a test makes.
const many = 1000

// invite makes an invitation of ada's to acme, for a day from noon.
func (h *house) invite(id string, role account.Role) account.Invitation {
	h.Helper()
	invitation := account.Invitation{
		ID: id, Organization: h.acme, Email: id + "@example.com", Role: role, InvitedBy: h.ada.Username, InvitedByID: h.ada.ID,
		CreatedAt: noon, ExpiresAt: noon.Add(24 * time.Hour),
	}
	h.check(h.CreateInvitation(h.ctx, invitation, "hash of "+id, many, event(audit.InvitationCreate, id)))
	return invitation
}

// accept has a user accept an invitation; a new one has a password.
func (h *house) accept(id string, user account.User, newcomer bool) error {
	h.Helper()
	var fresh *account.Newcomer
	if newcomer {
		fresh = &account.Newcomer{PasswordHash: "hash of " + user.Username}
	}
	return h.AcceptInvitation(h.ctx, "hash of "+id, noon, user, fresh, event(audit.InvitationAccept, id), event(audit.MemberSet, user.Username))
}

var invitations = []sentence{
	{"an invitation is found by its hash and listed, newest first", func(h *house) {
		var first account.Invitation
		h.audits(audit.InvitationCreate, 1, func() { first = h.invite("first", account.Member) })
		second := h.invite("second", account.Admin)
		got, err := h.InvitationByHash(h.ctx, "hash of first", noon)
		h.check(err)
		h.same(first, got)
		listed, err := h.Invitations(h.ctx, h.acme.ID, noon)
		h.check(err)
		h.same([]account.Invitation{second, first}, listed)
		_, err = h.InvitationByHash(h.ctx, "first", noon)
		h.refused(fault.NotFound, err)
	}},
	{"one that has ended is as good as none, and gone with the next", func(h *house) {
		ended := h.invite("ended", account.Member)
		at := ended.ExpiresAt
		_, err := h.InvitationByHash(h.ctx, "hash of ended", at)
		h.refused(fault.NotFound, err)
		listed, err := h.Invitations(h.ctx, h.acme.ID, at)
		h.check(err)
		h.same(0, len(listed))
		user := account.User{ID: "u1", Username: "late"}
		h.refused(fault.NotFound, h.AcceptInvitation(h.ctx, "hash of ended", at, user, &account.Newcomer{}, event(audit.InvitationAccept, "ended")))
		next := ended
		next.ID, next.CreatedAt, next.ExpiresAt = "next", at, at.Add(time.Hour)
		h.check(h.CreateInvitation(h.ctx, next, "hash of next", 1, event(audit.InvitationCreate, "next")))
		h.refused(fault.NotFound, h.DeleteInvitation(h.ctx, h.acme.ID, "ended", event(audit.InvitationRevoke, "ended")))
	}},
	{"an organisation has no more open ones than it may", func(h *house) {
		one := h.invite("one", account.Member)
		one.ID = "two"
		h.audits(audit.InvitationCreate, 0, func() {
			h.refused(fault.Exhausted, h.CreateInvitation(h.ctx, one, "hash of two", 1, event(audit.InvitationCreate, "two")))
		})
		one.Organization = h.organization("beta", h.ada)
		h.check(h.CreateInvitation(h.ctx, one, "hash of two", 1, event(audit.InvitationCreate, "two")))
	}},
	{"it makes a new user and member at once, and then is used", func(h *house) {
		h.invite("one", account.Admin)
		zoe := account.User{ID: "u-zoe", Username: "zoe", Email: "zoe@example.com", CreatedAt: noon}
		h.audits(audit.MemberSet, 1, func() {
			h.audits(audit.InvitationAccept, 1, func() { h.check(h.accept("one", zoe, true)) })
		})
		got, hash, err := h.UserByName(h.ctx, "zoe")
		h.check(err)
		h.same(zoe, got)
		h.same("hash of zoe", hash)
		memberships, err := h.Memberships(h.ctx, zoe.ID)
		h.check(err)
		h.same([]account.Membership{{Organization: h.acme, UserID: zoe.ID, Username: "zoe", Role: account.Admin}}, memberships)
		h.refused(fault.NotFound, h.accept("one", account.User{ID: "u2", Username: "other"}, true))
	}},
	{"a name that is taken leaves it good, and nothing behind", func(h *house) {
		h.invite("one", account.Member)
		h.audits(audit.InvitationAccept, 0, func() {
			h.refused(fault.Conflict, h.accept("one", account.User{ID: "u2", Username: "ADA"}, true))
		})
		_, err := h.UserByID(h.ctx, "u2")
		h.refused(fault.NotFound, err)
		h.check(h.accept("one", account.User{ID: "u2", Username: "zoe"}, true))
	}},
	{"a member who accepts keeps their role, and it stays good for another", func(h *house) {
		h.invite("one", account.Member)
		h.refused(fault.Conflict, h.accept("one", h.ada, false))
		members, err := h.Members(h.ctx, h.acme.ID)
		h.check(err)
		h.same(account.Admin, members[0].Role)
		h.check(h.accept("one", h.user("bob"), false))
	}},
	{"of many who accept at once one gets in", func(h *house) {
		h.invite("one", account.Member)
		users := make([]account.User, 8)
		for i := range users {
			users[i] = h.user(string(rune('p' + i)))
		}
		var joined atomic.Int32
		together(len(users), func(i int) {
			if err := h.accept("one", users[i], false); err == nil {
				joined.Add(1)
			} else if !fault.Is(err, fault.NotFound) {
				h.Error(err)
			}
		})
		h.same(int32(1), joined.Load())
		members, err := h.Members(h.ctx, h.acme.ID)
		h.check(err)
		h.same(2, len(members))
	}},
	{"a revoked one is gone, and another organisation's cannot be revoked", func(h *house) {
		h.invite("one", account.Member)
		h.refused(fault.NotFound, h.DeleteInvitation(h.ctx, h.acme.ID+1, "one", event(audit.InvitationRevoke, "one")))
		h.audits(audit.InvitationRevoke, 1, func() {
			h.check(h.DeleteInvitation(h.ctx, h.acme.ID, "one", event(audit.InvitationRevoke, "one")))
		})
		_, err := h.InvitationByHash(h.ctx, "hash of one", noon)
		h.refused(fault.NotFound, err)
	}},
	{"those of an admin who is one no more are not good", func(h *house) {
		bob := h.user("bob")
		h.check(h.SetMember(h.ctx, h.acme.ID, bob.ID, account.Admin, event(audit.MemberSet, "bob")))
		h.invite("one", account.Admin)
		h.check(h.SetMember(h.ctx, h.acme.ID, h.ada.ID, account.Member, event(audit.MemberSet, "ada")))
		_, err := h.InvitationByHash(h.ctx, "hash of one", noon)
		h.refused(fault.NotFound, err)
		listed, err := h.Invitations(h.ctx, h.acme.ID, noon)
		h.check(err)
		h.same(0, len(listed))
		h.check(h.RemoveMember(h.ctx, h.acme.ID, h.ada.ID, event(audit.MemberRemove, "ada")))
		h.refused(fault.NotFound, h.accept("one", h.ada, false))
	}},
}

// beginDevice has a machine of a network ask to be signed in, at noon for ten minutes.
func (h *house) beginDevice(name, network string, ofNetwork, most int) error {
	h.Helper()
	login := account.DeviceLogin{Name: name, Remote: "192.0.2.7", CreatedAt: noon, ExpiresAt: noon.Add(10 * time.Minute), State: account.DeviceWaiting}
	return h.CreateDeviceLogin(h.ctx, login, account.DeviceHashes{Device: "hash of " + name, User: "user hash of " + name}, network, ofNetwork, most)
}

func (h *house) decideDevice(name string, state account.DeviceState) error {
	h.Helper()
	return h.DecideDeviceLogin(h.ctx, "user hash of "+name, noon, state, h.ada.ID, event(audit.DeviceApprove, name))
}

func (h *house) redeemDevice(name, id string, user account.User) error {
	h.Helper()
	token := account.Token{ID: id, UserID: user.ID, Name: name, CreatedAt: noon}
	return h.RedeemDeviceLogin(h.ctx, "hash of "+name, token, "token hash of "+id, event(audit.UserSignIn, name))
}

var deviceLogins = []sentence{
	{"a machine that waits is found by both codes", func(h *house) {
		h.check(h.beginDevice("laptop", "n", many, many))
		want := account.DeviceLogin{Name: "laptop", Remote: "192.0.2.7", CreatedAt: noon, ExpiresAt: noon.Add(10 * time.Minute), State: account.DeviceWaiting}
		got, err := h.DeviceLoginByCode(h.ctx, "hash of laptop", noon)
		h.check(err)
		h.same(want, got)
		got, err = h.DeviceLoginByUserCode(h.ctx, "user hash of laptop", noon)
		h.check(err)
		h.same(want, got)
		_, err = h.DeviceLoginByCode(h.ctx, "laptop", noon)
		h.refused(fault.NotFound, err)
		_, err = h.DeviceLoginByUserCode(h.ctx, "hash of laptop", noon)
		h.refused(fault.NotFound, err)
	}},
	{"one whose time is over is as good as none, and gone with the next", func(h *house) {
		h.check(h.beginDevice("laptop", "n", many, many))
		at := noon.Add(10 * time.Minute)
		_, err := h.DeviceLoginByCode(h.ctx, "hash of laptop", at)
		h.refused(fault.NotFound, err)
		_, err = h.DeviceLoginByUserCode(h.ctx, "user hash of laptop", at)
		h.refused(fault.NotFound, err)
		h.refused(fault.NotFound, h.DecideDeviceLogin(h.ctx, "user hash of laptop", at, account.DeviceApproved, h.ada.ID, event(audit.DeviceApprove, "laptop")))
		h.check(h.decideDevice("laptop", account.DeviceApproved))
		token := account.Token{ID: "t1", UserID: h.ada.ID, Name: "laptop", CreatedAt: at}
		h.refused(fault.NotFound, h.RedeemDeviceLogin(h.ctx, "hash of laptop", token, "token hash", event(audit.UserSignIn, "laptop")))
		later := account.DeviceLogin{Name: "later", CreatedAt: at, ExpiresAt: at.Add(time.Minute), State: account.DeviceWaiting}
		h.check(h.CreateDeviceLogin(h.ctx, later, account.DeviceHashes{Device: "d", User: "u"}, "n", 1, 1))
		_, err = h.DeviceLoginByCode(h.ctx, "hash of laptop", noon)
		h.refused(fault.NotFound, err)
	}},
	{"a network, and all together, have no more open ones than they may", func(h *house) {
		h.check(h.beginDevice("a", "n", 1, many))
		h.refused(fault.Exhausted, h.beginDevice("b", "n", 1, many))
		h.refused(fault.Exhausted, h.beginDevice("b", "m", many, 1))
		h.check(h.beginDevice("b", "m", 1, 2))
	}},
	{"it is decided on once", func(h *house) {
		h.check(h.beginDevice("laptop", "n", many, many))
		var decided atomic.Int32
		h.audits(audit.DeviceApprove, 1, func() {
			together(8, func(i int) {
				if h.decideDevice("laptop", []account.DeviceState{account.DeviceApproved, account.DeviceDenied}[i%2]) == nil {
					decided.Add(1)
				}
			})
		})
		h.same(int32(1), decided.Load())
		got, err := h.DeviceLoginByCode(h.ctx, "hash of laptop", noon)
		h.check(err)
		h.same(h.ada.ID, got.UserID)
		_, err = h.DeviceLoginByUserCode(h.ctx, "user hash of laptop", noon)
		h.refused(fault.NotFound, err)
	}},
	{"its token is made once, for who approved it", func(h *house) {
		h.check(h.beginDevice("laptop", "n", many, many))
		h.refused(fault.NotFound, h.redeemDevice("laptop", "t1", h.ada))
		h.check(h.decideDevice("laptop", account.DeviceApproved))
		h.refused(fault.NotFound, h.redeemDevice("laptop", "t1", h.user("bob")))
		var made atomic.Int32
		h.audits(audit.UserSignIn, 1, func() {
			together(4, func(i int) {
				if h.redeemDevice("laptop", string(rune('a'+i)), h.ada) == nil {
					made.Add(1)
				}
			})
		})
		h.same(int32(1), made.Load())
		tokens, err := h.Tokens(h.ctx, h.ada.ID)
		h.check(err)
		h.same(1, len(tokens))
		h.same("laptop", tokens[0].Name)
		_, err = h.DeviceLoginByCode(h.ctx, "hash of laptop", noon)
		h.refused(fault.NotFound, err)
	}},
	{"one that was denied gives no token, and can still be asked about", func(h *house) {
		h.check(h.beginDevice("laptop", "n", many, many))
		h.check(h.decideDevice("laptop", account.DeviceDenied))
		h.refused(fault.NotFound, h.redeemDevice("laptop", "t1", h.ada))
		got, err := h.DeviceLoginByCode(h.ctx, "hash of laptop", noon)
		h.check(err)
		h.same(account.DeviceDenied, got.State)
	}},
}
