package account_test

import (
	"slices"
	"testing"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/fault"
)

func TestTheTrailIsForAdminsOfTheirOrganisationsAndForOperatorsWhatBelongsToNone(t *testing.T) {
	ada := account.Actor{UserID: "ada", Roles: map[int64]account.Role{7: account.Admin, 3: account.Admin, 5: account.Member}}
	ids, err := ada.Audited()
	if err != nil || !slices.Equal(ids, []int64{3, 7}) {
		t.Errorf("ada reads %v, %v", ids, err)
	}
	root := account.Actor{UserID: "root", Operator: true, Roles: map[int64]account.Role{5: account.Member}}
	if ids, err := root.Audited(); err != nil || !slices.Equal(ids, []int64{0}) {
		t.Errorf("root reads %v, %v", ids, err)
	}
	for id, may := range map[int64]bool{7: true, 5: false, 9: false, 0: false} {
		if err := ada.MayAudit(id); (err == nil) != may || err != nil && !fault.Is(err, fault.Denied) {
			t.Errorf("of %d: %v", id, err)
		}
	}
	for _, nobody := range []account.Actor{{}, {UserID: "ben", Roles: map[int64]account.Role{5: account.Member}}, {WorkerID: "w"}, {CacheID: "c"}} {
		if _, err := nobody.Audited(); !fault.Is(err, fault.Denied) {
			t.Errorf("%+v: %v", nobody, err)
		}
	}
}
