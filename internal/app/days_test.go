package app

import (
	"testing"
	"time"
)

func TestATimeToKeepIsOfDaysOrHoursWithinBounds(t *testing.T) {
	for text, want := range map[string]time.Duration{"1d": 24 * time.Hour, "365d": 8760 * time.Hour, "8760h": 8760 * time.Hour, "24h0m": 24 * time.Hour, "0": 0, "0d": 0, "36600d": keepMost} {
		var d Days
		if err := d.Set(text); err != nil || time.Duration(d) != want {
			t.Errorf("%s: got %v, %v", text, time.Duration(d), err)
		}
		var again Days
		if d != 0 && (again.Set(d.String()) != nil || again != d) {
			t.Errorf("%s is written as %s, which is %v", text, d.String(), again)
		}
	}
	for _, text := range []string{"", "d", "x", "1", "-1d", "23h", "-24h", "1.5d", "36601d", "2147483647d", "99999999999d", "1000000h"} {
		var d Days
		if err := d.Set(text); err == nil {
			t.Errorf("%q was read as %v", text, time.Duration(d))
		}
	}
}

func TestTheAuditTrailIsKeptForEverUnlessASettingSaysHowLong(t *testing.T) {
	config, err := settle(t, "")
	if err != nil || config.AuditKeep != 0 {
		t.Errorf("got %v, %v", config.AuditKeep, err)
	}
	config, err = settle(t, "audit-keep: 30d\n")
	if err != nil || time.Duration(config.AuditKeep) != 720*time.Hour {
		t.Errorf("got %v, %v", config.AuditKeep, err)
	}
	if _, err := settle(t, "audit-keep: 5m\n"); err == nil {
		t.Error("5m was taken")
	}
}
