package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
)

// lineTime is how times are written in a line: in UTC, to the microsecond.
const lineTime = "2006-01-02T15:04:05.000000Z"

// line is a row as JSON, as the API answers it, too.
type line struct {
	ID           int64             `json:"id"`
	Time         *string           `json:"time"`
	Actor        string            `json:"actor"`
	ActorID      string            `json:"actor_id"`
	Remote       string            `json:"remote"`
	Verb         Verb              `json:"verb"`
	Result       string            `json:"result"`
	Organization int64             `json:"organization"`
	ObjectID     string            `json:"object_id"`
	ObjectName   string            `json:"object_name"`
	Execution    string            `json:"execution"`
	Details      map[string]string `json:"details"`
	Hash         string            `json:"hash"`
	Previous     string            `json:"previous"`
}

// unreadable is the line of a row that cannot be read.
type unreadable struct {
	ID         int64 `json:"id"`
	Unreadable bool  `json:"unreadable"`
}

// Line is the row as one line of JSON, without its end.
func (l Link) Line() []byte {
	if l.Broken != nil {
		text, _ := json.Marshal(unreadable{l.ID, true}) // numbers always can be written
		return text
	}
	written := line{
		ID: l.ID, Actor: l.Actor, ActorID: l.ActorID, Remote: l.Remote, Verb: l.Verb, Result: l.Result,
		Organization: l.OrganizationID, ObjectID: l.ObjectID, ObjectName: l.ObjectName, Execution: l.ExecutionID,
		Details: l.Details, Hash: l.Hash.String(), Previous: l.Previous.String(),
	}
	if written.Details == nil {
		written.Details = map[string]string{}
	}
	if !l.Time.IsZero() {
		text := l.Time.UTC().Format(lineTime)
		written.Time = &text
	}
	text, _ := json.Marshal(written) // texts and numbers always can be written
	return text
}

// errUnreadable is why a row is broken whose line says that it could not be read.
var errUnreadable = errors.New("it could not be read when it was exported")

// ParseLine reads what Line wrote. It is strict: each member is there at most
// once, under its very name, and none that is unknown, so that nobody who reads
// the line otherwise sees another row.
func ParseLine(text []byte) (l Link, err error) {
	var read line
	var hash, previous, missing bool
	decoder := json.NewDecoder(bytes.NewReader(text))
	seen := 0
	err = object(decoder, func(name string) error {
		seen++
		switch name {
		case "id":
			return decoder.Decode(&read.ID)
		case "time":
			return decoder.Decode(&read.Time)
		case "actor":
			return decoder.Decode(&read.Actor)
		case "actor_id":
			return decoder.Decode(&read.ActorID)
		case "remote":
			return decoder.Decode(&read.Remote)
		case "verb":
			return decoder.Decode(&read.Verb)
		case "result":
			return decoder.Decode(&read.Result)
		case "organization":
			return decoder.Decode(&read.Organization)
		case "object_id":
			return decoder.Decode(&read.ObjectID)
		case "object_name":
			return decoder.Decode(&read.ObjectName)
		case "execution":
			return decoder.Decode(&read.Execution)
		case "hash":
			hash = true
			return decoder.Decode(&read.Hash)
		case "previous":
			previous = true
			return decoder.Decode(&read.Previous)
		case "unreadable":
			return decoder.Decode(&missing)
		case "details":
			read.Details = make(map[string]string)
			return object(decoder, func(name string) error {
				var value string
				err := decoder.Decode(&value)
				read.Details[name] = value
				return err
			})
		}
		return fmt.Errorf("it has a member %.40q", name)
	})
	if err != nil {
		return l, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return l, errors.New("there is more behind the row")
	}
	switch {
	case read.ID < 1:
		return l, errors.New("it has no id")
	case missing && seen == 2:
		return Link{Event: Event{ID: read.ID}, Broken: errUnreadable}, nil
	case missing || !hash || !previous:
		return l, errors.New("it has no hash")
	}
	l.Event = Event{
		ID: read.ID, Actor: read.Actor, ActorID: read.ActorID, Remote: read.Remote, Verb: read.Verb, Result: read.Result,
		OrganizationID: read.Organization, ObjectID: read.ObjectID, ObjectName: read.ObjectName, ExecutionID: read.Execution, Details: read.Details,
	}
	if read.Time != nil {
		if l.Time, err = time.Parse(time.RFC3339Nano, *read.Time); err != nil || l.Time.Nanosecond()%1000 != 0 {
			return l, fmt.Errorf("its time is %.40q", *read.Time)
		}
		l.Time = l.Time.UTC()
	}
	if l.Hash, err = ParseHash(read.Hash); err != nil {
		return l, err
	}
	l.Previous, err = ParseHash(read.Previous)
	return l, err
}

// object reads an object of JSON: member reads the value of each name, which is
// there once.
func object(decoder *json.Decoder, member func(name string) error) error {
	if token, err := decoder.Token(); err != nil || token != json.Delim('{') {
		return errors.New("it is no object of JSON")
	}
	names := make(map[string]bool)
	for decoder.More() {
		token, err := decoder.Token()
		name, is := token.(string)
		if err != nil || !is {
			return errors.New("it is no object of JSON")
		}
		if names[name] {
			return fmt.Errorf("it has the member %.40q twice", name)
		}
		names[name] = true
		if err := member(name); err != nil {
			return err
		}
	}
	_, err := decoder.Token()
	return err
}

// Columns are the heads of what Record returns.
func Columns() []string {
	return []string{
		"id", "time", "actor", "actor_id", "remote", "verb", "result", "organization", "object_id", "object_name", "execution",
		"details", "hash", "previous",
	}
}

// Record is the row as cells of a table for people. A text that a spreadsheet
// would take for a formula has an apostrophe before it: one that begins with =,
// +, -, @, a tab or a carriage return.
func (l Link) Record() []string {
	id := strconv.FormatInt(l.ID, 10)
	if l.Broken != nil {
		return []string{id, "", "", "", "", "", "unreadable", "", "", "", "", "", "", ""}
	}
	details := ""
	if len(l.Details) > 0 {
		text, _ := json.Marshal(l.Details) // texts always can be written
		details = string(text)
	}
	when := ""
	if !l.Time.IsZero() {
		when = l.Time.UTC().Format(lineTime)
	}
	cells := []string{
		id, when, l.Actor, l.ActorID, l.Remote, string(l.Verb), l.Result, strconv.FormatInt(l.OrganizationID, 10), l.ObjectID, l.ObjectName,
		l.ExecutionID, details, l.Hash.String(), l.Previous.String(),
	}
	for i, cell := range cells {
		if cell != "" && bytes.IndexByte([]byte("=+-@\t\r"), cell[0]) >= 0 {
			cells[i] = "'" + cell
		}
	}
	return cells
}
