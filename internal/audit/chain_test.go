package audit_test

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/audit"
)

func TestAHashIsWhatTheDocumentationSays(t *testing.T) {
	event := audit.Event{
		ID: 2, Time: time.UnixMicro(1_772_366_400_123_456), Actor: "ada", ActorID: "7", Remote: "192.0.2.1", Verb: audit.GrantIssue, Result: "ok",
		OrganizationID: 3, ObjectID: "c1", ObjectName: "hüb", ExecutionID: "e1", Details: map[string]string{"b": "", "a": "1,2"},
		Previous: audit.Hash{0xab},
	}
	text := "16:fairlead-audit-1,64:ab" + strings.Repeat("0", 62) + ",1:2,16:1772366400123456,3:ada,1:7,9:192.0.2.1,11:grant.issue,2:ok," +
		"1:3,2:c1,4:hüb,2:e1,1:a,3:1,2,1:b,0:,"
	sum := sha256.Sum256([]byte(text))
	if got, want := event.Digest().String(), hex.EncodeToString(sum[:]); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	none := sha256.Sum256([]byte("16:fairlead-audit-1,64:" + strings.Repeat("0", 64) + ",1:0,1:0,0:,0:,0:,0:,0:,1:0,0:,0:,0:,"))
	if got := (audit.Event{}).Digest(); got != none {
		t.Errorf("an empty event has the hash %s", got)
	}
}

func TestNoTwoEventsHaveTheSameHash(t *testing.T) {
	seen := make(map[audit.Hash]int)
	for i, event := range []audit.Event{
		{},
		{ID: 1},
		{Time: time.UnixMicro(1)},
		{Actor: "a"},
		{ActorID: "a"},
		{Remote: "a"},
		{Verb: "a"},
		{Result: "a"},
		{OrganizationID: 1},
		{OrganizationID: -1},
		{ObjectID: "a"},
		{ObjectName: "a"},
		{ExecutionID: "a"},
		{Previous: audit.Hash{1}},
		{Actor: "ab", ActorID: "c"},
		{Actor: "a", ActorID: "bc"},
		{Actor: "a,1:b", ActorID: "c"},
		{ObjectID: "1:a,"},
		{ObjectName: "0:,"},
		{Details: map[string]string{"a": ""}},
		{Details: map[string]string{"": "a"}},
		{Details: map[string]string{"a": "b", "c": "d"}},
		{Details: map[string]string{"a": "d", "c": "b"}},
		{Details: map[string]string{"a": "b,1:c,1:d"}},
		{Details: map[string]string{"": ""}},
	} {
		if other, found := seen[event.Digest()]; found {
			t.Errorf("the events %d and %d have the same hash", other, i)
		}
		seen[event.Digest()] = i
	}
}

func TestAPointIsReadAsItIsShown(t *testing.T) {
	point := audit.Point{ID: 17, Hash: audit.Hash{1, 2, 3}}
	for text, want := range map[string]audit.Point{
		point.String():                       point,
		point.Hash.String():                  {Hash: point.Hash},
		strings.ToUpper(point.Hash.String()): {Hash: point.Hash},
	} {
		if got, err := audit.ParsePoint(text); err != nil || got != want {
			t.Errorf("%s: got %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "@", "ab", "17@" + point.Hash.String(), point.Hash.String() + "@", point.Hash.String() + "@-1", point.Hash.String() + "@x", point.Hash.String() + "00", strings.Repeat("g", 64)} {
		if got, err := audit.ParsePoint(text); err == nil {
			t.Errorf("%q was read as %v", text, got)
		}
	}
}
