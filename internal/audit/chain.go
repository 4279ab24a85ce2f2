package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/fault"
)

// Hash is a link of the chain that the rows of the trail are: the SHA-256 of a
// row and of the hash of the row before it. The zero Hash stands before the
// first row of all.
type Hash [sha256.Size]byte

// String is the hash in hexadecimal, as it is shown and noted.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// IsZero reports whether there is no hash.
func (h Hash) IsZero() bool { return h == Hash{} }

// ParseHash reads what String wrote.
func ParseHash(text string) (h Hash, err error) {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != len(h) {
		return h, fault.New(fault.Invalid, "audit_hash", "%.80q is no hash of the audit trail: it has 64 hexadecimal digits", text).
			WithHint("`fairlead audit verify` shows the head as HASH@ID.")
	}
	return Hash(raw), nil
}

// Point is a row of the chain: its id and its hash.
type Point struct {
	ID   int64
	Hash Hash
}

// String is HASH@ID.
func (p Point) String() string { return p.Hash.String() + "@" + strconv.FormatInt(p.ID, 10) }

// ParsePoint reads HASH@ID, or HASH alone, whose ID is 0.
func ParsePoint(text string) (p Point, err error) {
	hash, id, found := strings.Cut(text, "@")
	if p.Hash, err = ParseHash(hash); err != nil {
		return p, err
	}
	if found {
		if p.ID, err = strconv.ParseInt(id, 10, 64); err != nil || p.ID < 0 {
			return p, fault.New(fault.Invalid, "audit_hash", "%.40q is no id of a row of the audit trail", id).
				WithHint("Write HASH@ID, or HASH alone.")
		}
	}
	return p, nil
}

// encodingVersion begins what is hashed of every row. Another encoding is
// another version.
const encodingVersion = "fairlead-audit-1"

// Digest is the hash that an event has behind the one whose hash is
// e.Previous. e is Clean.
//
// What is hashed is a list of texts, each written as a netstring: its length in
// bytes in decimal, a colon, the bytes, a comma. The texts are
//
//	fairlead-audit-1
//	the previous row's hash in hexadecimal; 64 zeros before the first row
//	id, and time in microseconds since 1970 (0: none), in decimal
//	actor, actor_id, remote, verb, result
//	organization, in decimal
//	object_id, object_name, execution
//	name and value of each detail, in the order of the names' bytes
//
// All but the details are always there, so that no two events have the same
// list. Numbers have no leading zeros, and a minus sign where they are negative.
func (e Event) Digest() Hash {
	b := make([]byte, 0, 1024)
	text := func(s string) {
		b = strconv.AppendInt(b, int64(len(s)), 10)
		b = append(b, ':')
		b = append(b, s...)
		b = append(b, ',')
	}
	number := func(n int64) { text(strconv.FormatInt(n, 10)) }
	text(encodingVersion)
	text(e.Previous.String())
	number(e.ID)
	micros := int64(0)
	if !e.Time.IsZero() {
		micros = e.Time.UnixMicro()
	}
	number(micros)
	for _, s := range []string{e.Actor, e.ActorID, e.Remote, string(e.Verb), e.Result} {
		text(s)
	}
	number(e.OrganizationID)
	for _, s := range []string{e.ObjectID, e.ObjectName, e.ExecutionID} {
		text(s)
	}
	for _, name := range slices.Sorted(maps.Keys(e.Details)) {
		text(name)
		text(e.Details[name])
	}
	return sha256.Sum256(b)
}

// Clean is the event as it can be written down and read again without a
// difference, in the database and in JSON: its texts are UTF-8, and its time has
// microseconds.
func (e Event) Clean() Event {
	for _, text := range []*string{
		&e.Actor, &e.ActorID, &e.Remote, (*string)(&e.Verb), &e.Result, &e.ObjectID, &e.ObjectName, &e.ExecutionID,
	} {
		*text = strings.ToValidUTF8(*text, "\uFFFD")
	}
	details := make(map[string]string, len(e.Details))
	for name, value := range e.Details {
		details[strings.ToValidUTF8(name, "\uFFFD")] = strings.ToValidUTF8(value, "\uFFFD")
	}
	e.Details = details
	if !e.Time.IsZero() {
		e.Time = e.Time.UTC().Truncate(time.Microsecond)
	}
	return e
}

// Point is the event's place in the chain.
func (e Event) Point() Point { return Point{ID: e.ID, Hash: e.Hash} }
