package storetest

import (
	"sync/atomic"
	"time"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
)

// begin stores a second factor of the user that is not confirmed.
func (h *house) begin(user account.User, id string) account.TOTP {
	h.Helper()
	t := account.TOTP{ID: id, UserID: user.ID, Sealed: account.Sealed{KeyID: 7, Bytes: []byte("sealed " + id)}, CreatedAt: noon}
	h.check(h.BeginTOTP(h.ctx, t, event(audit.TOTPBegin, user.Username)))
	return t
}

// confirm turns a second factor on, with the recovery codes a and b.
func (h *house) confirm(t account.TOTP) account.TOTP {
	h.Helper()
	t.ConfirmedAt, t.LastStep = noon.Add(time.Minute), 100
	h.check(h.ConfirmTOTP(h.ctx, t, []string{"a", "b"}, event(audit.TOTPEnable, "")))
	t.RecoveryCodes = 2
	return t
}

// factor is a user's second factor.
func (h *house) factor(user account.User) account.TOTP {
	h.Helper()
	t, err := h.TOTP(h.ctx, user.ID)
	h.check(err)
	return t
}

var secondFactors = []sentence{
	{"a second factor is begun, confirmed and taken away, with its events", func(h *house) {
		_, err := h.TOTP(h.ctx, h.ada.ID)
		h.refused(fault.NotFound, err)
		var t account.TOTP
		h.audits(audit.TOTPBegin, 1, func() { t = h.begin(h.ada, "1") })
		h.same(t, h.factor(h.ada))
		h.audits(audit.TOTPEnable, 1, func() { t = h.confirm(t) })
		h.restart()
		h.same(t, h.factor(h.ada))
		h.audits(audit.TOTPDisable, 1, func() {
			h.check(h.DeleteTOTP(h.ctx, h.ada.ID, event(audit.TOTPDisable, "ada")))
		})
		_, err = h.TOTP(h.ctx, h.ada.ID)
		h.refused(fault.NotFound, err)
		h.audits(audit.TOTPDisable, 0, func() {
			h.refused(fault.NotFound, h.DeleteTOTP(h.ctx, h.ada.ID, event(audit.TOTPDisable, "ada")))
		})
	}},
	{"one that was begun only gives way to another, and one that is on does not", func(h *house) {
		first := h.begin(h.ada, "1")
		second := h.begin(h.ada, "2")
		h.same(second, h.factor(h.ada))
		h.audits(audit.TOTPEnable, 0, func() {
			h.refused(fault.NotFound, h.ConfirmTOTP(h.ctx, first, nil, event(audit.TOTPEnable, "ada")))
		})
		second = h.confirm(second)
		h.refused(fault.NotFound, h.ConfirmTOTP(h.ctx, second, nil, event(audit.TOTPEnable, "ada")))
		h.audits(audit.TOTPBegin, 0, func() {
			h.refused(fault.Conflict, h.BeginTOTP(h.ctx, first, event(audit.TOTPBegin, "ada")))
		})
		h.same(second, h.factor(h.ada))
	}},
	{"of many who use the code of one step one does, and nobody the code of one before", func(h *house) {
		place := h.confirm(h.begin(h.ada, "1")).Place()
		var used atomic.Int32
		together(8, func(int) {
			if err := h.UseTOTPStep(h.ctx, place, 102); err == nil {
				used.Add(1)
			} else if !fault.Is(err, fault.NotFound) {
				h.Error(err)
			}
		})
		h.same(int32(1), used.Load())
		h.refused(fault.NotFound, h.UseTOTPStep(h.ctx, place, 101))
		h.check(h.UseTOTPStep(h.ctx, place, 103))
		h.refused(fault.NotFound, h.UseTOTPStep(h.ctx, account.TOTPPlace{UserID: h.ada.ID, ID: "another"}, 104))
		h.same(int64(103), h.factor(h.ada).LastStep)
	}},
	{"a recovery code is good once, for whom it was made", func(h *house) {
		bob := h.user("bob")
		h.confirm(h.begin(h.ada, "1"))
		h.confirm(h.begin(bob, "2"))
		h.audits(audit.TOTPRecover, 1, func() {
			h.check(h.UseRecoveryCode(h.ctx, h.ada.ID, "a", event(audit.TOTPRecover, "ada")))
			h.refused(fault.NotFound, h.UseRecoveryCode(h.ctx, h.ada.ID, "a", event(audit.TOTPRecover, "ada")))
			h.refused(fault.NotFound, h.UseRecoveryCode(h.ctx, h.ada.ID, "c", event(audit.TOTPRecover, "ada")))
		})
		h.same(1, h.factor(h.ada).RecoveryCodes)
		h.same(2, h.factor(bob).RecoveryCodes)
		h.check(h.DeleteTOTP(h.ctx, h.ada.ID, event(audit.TOTPDisable, "ada")))
		h.begin(h.ada, "3")
		h.same(0, h.factor(h.ada).RecoveryCodes)
	}},
	{"what another key sealed is found, and sealed anew unless it was replaced", func(h *house) {
		bob := h.user("bob")
		t := h.confirm(h.begin(h.ada, "1"))
		h.begin(bob, "2")
		kept, err := h.TOTPKeysBefore(h.ctx, 7, 10)
		h.check(err)
		h.same(0, len(kept))
		kept, err = h.TOTPKeysBefore(h.ctx, 8, 10)
		h.check(err)
		h.same(2, len(kept))
		fresh := account.Sealed{KeyID: 8, Bytes: []byte("fresh")}
		replaced, err := h.ResealTOTP(h.ctx, t.Place(), t.Sealed, fresh)
		h.check(err)
		h.same(true, replaced)
		replaced, err = h.ResealTOTP(h.ctx, t.Place(), t.Sealed, fresh)
		h.check(err)
		h.same(false, replaced)
		t.Sealed = fresh
		h.same(t, h.factor(h.ada))
		kept, err = h.TOTPKeysBefore(h.ctx, 8, 10)
		h.check(err)
		h.same(1, len(kept))
	}},
	{"a second factor belongs to a user who is there", func(h *house) {
		h.audits(audit.TOTPBegin, 0, func() {
			h.refused(fault.NotFound, h.BeginTOTP(h.ctx, account.TOTP{ID: "1", UserID: "nobody", Sealed: account.Sealed{Bytes: []byte{}}}, event(audit.TOTPBegin, "nobody")))
		})
	}},
}
