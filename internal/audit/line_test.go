package audit_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
)

// chained are rows as a store keeps them, from an id on.
func chained(from int64, events ...audit.Event) []audit.Link {
	var links []audit.Link
	previous := audit.Hash{0xaa}
	for i, e := range events {
		e = e.Clean()
		e.ID, e.Previous = from+int64(i), previous
		e.Hash = e.Digest()
		previous = e.Hash
		links = append(links, audit.Link{Event: e})
	}
	return links
}

// trail are five rows from the id 11 on.
func trail() []audit.Link {
	at := time.UnixMicro(1_772_366_400_123_456).UTC()
	return chained(11,
		audit.Event{Time: at, Actor: "ada", ActorID: "7", Remote: "192.0.2.1", Verb: audit.GrantIssue, Result: "ok", OrganizationID: 3, Details: map[string]string{"a": "1", "": "<&>"}},
		audit.Event{ObjectName: "h\xffb \u2028 \"", ExecutionID: "e1", ObjectID: "c1"},
		audit.Event{Time: at.Add(time.Second), Details: map[string]string{"b\x00": "\n"}},
		audit.Event{Time: time.Unix(-5, 0), OrganizationID: -1},
		audit.Event{Actor: "=cmd()"},
	)
}

func file(links []audit.Link) []byte {
	var text []byte
	for _, link := range links {
		text = append(append(text, link.Line()...), '\n')
	}
	return text
}

func TestARowIsReadFromItsLineAsItWas(t *testing.T) {
	for _, link := range trail() {
		got, err := audit.ParseLine(link.Line())
		if err != nil {
			t.Fatalf("%s: %v", link.Line(), err)
		}
		if diff := cmp.Diff(link, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", link.Line(), diff)
		}
	}
	broken := audit.Link{Event: audit.Event{ID: 7}, Broken: bytes.ErrTooLarge}
	if got, err := audit.ParseLine(broken.Line()); err != nil || got.ID != 7 || got.Broken == nil {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestALineThatSaysTwoThingsIsNoRow(t *testing.T) {
	good := string(trail()[0].Line())
	for name, text := range map[string]string{
		"nothing":                  "",
		"no object":                "[]",
		"a member twice":           strings.Replace(good, `"actor":"ada"`, `"actor":"eve","actor":"ada"`, 1),
		"a member in another case": strings.Replace(good, `"actor":"ada"`, `"Actor":"eve","actor":"ada"`, 1),
		"a detail twice":           strings.Replace(good, `"a":"1"`, `"a":"2","a":"1"`, 1),
		"an unknown member":        strings.Replace(good, `{`, `{"note":1,`, 1),
		"two rows":                 good + good,
		"a time in nanoseconds":    strings.Replace(good, `456Z`, `456789Z`, 1),
		"no time":                  strings.Replace(good, `"2026`, `"x2026`, 1),
		"no hash":                  strings.Replace(good, `"hash":"`, `"hash":"z`, 1),
		"no previous":              strings.Replace(good, `"previous":"aa`, `"previous":"`, 1),
		"an unreadable row's rest": strings.Replace(good, `{`, `{"unreadable":true,`, 1),
		"no id":                    strings.Replace(good, `"id":11`, `"id":0`, 1),
		"an id that is no number":  strings.Replace(good, `"id":11`, `"id":"11"`, 1),
		"half":                     good[:len(good)/2],
	} {
		if got, err := audit.ParseLine([]byte(text)); err == nil {
			t.Errorf("%s: %+v was read of %s", name, got, text)
		}
	}
}

func TestAFileIsVerifiedWithoutAServer(t *testing.T) {
	whole := trail()
	head := whole[4].Point()
	forged := trail()
	forged[2].Actor = "eve"
	rehashed := trail()
	rehashed[2].Actor = "eve"
	rehashed[2].Hash = rehashed[2].Digest()
	unreadable := trail()
	unreadable[1].Broken = bytes.ErrTooLarge
	part := append(trail()[:1], trail()[3:]...)
	for name, test := range map[string]struct {
		links    []audit.Link
		noted    audit.Point
		complete bool
		count    int64
		absent   int64
		want     audit.Problem
	}{
		"all":                       {links: whole, count: 5, complete: true},
		"none":                      {},
		"with a head":               {links: whole, count: 5, noted: head},
		"with a head by its hash":   {links: whole, count: 5, noted: audit.Point{Hash: head.Hash}},
		"with another head":         {links: whole, count: 4, noted: audit.Point{ID: 15, Hash: audit.Hash{1}}, want: audit.Problem{ID: 15, Flaw: audit.HeadDiffers}},
		"with a head that is none":  {links: whole, count: 5, noted: audit.Point{Hash: audit.Hash{1}}, want: audit.Problem{ID: 15, Flaw: audit.HeadDiffers}},
		"without the noted head":    {links: whole[:4], count: 4, noted: head, want: audit.Problem{ID: 15, Flaw: audit.Missing}},
		"a part":                    {links: part, count: 3, absent: 2},
		"a part that is to be all":  {links: part, count: 1, complete: true, want: audit.Problem{ID: 12, Flaw: audit.Missing}},
		"a row that was changed":    {links: forged, count: 2, want: audit.Problem{ID: 13, Flaw: audit.Changed}},
		"a row and its hash":        {links: rehashed, count: 3, want: audit.Problem{ID: 14, Flaw: audit.OutOfOrder}},
		"a row that was unreadable": {links: unreadable, count: 1, want: audit.Problem{ID: 12, Flaw: audit.Changed}},
		"another order":             {links: append(trail()[1:2], trail()[0]), count: 1, want: audit.Problem{ID: 11, Flaw: audit.OutOfOrder}},
		"the last rows twice":       {links: append(trail(), trail()[2:]...), count: 5, complete: true},
		"rows twice and more":       {links: append(trail()[:3], trail()[1:]...), count: 5, complete: true},
		"a row twice, and changed":  {links: append(trail(), forged[2]), count: 5, want: audit.Problem{ID: 13, Flaw: audit.OutOfOrder}},
		"a row twice, and another":  {links: append(trail(), rehashed[2]), count: 5, want: audit.Problem{ID: 13, Flaw: audit.OutOfOrder}},
	} {
		t.Run(name, func(t *testing.T) {
			report, err := audit.VerifyFile(t.Context(), bytes.NewReader(file(test.links)), test.noted, test.complete, nil)
			if err != nil {
				t.Fatal(err)
			}
			var got audit.Problem
			if report.Problem != nil {
				got = audit.Problem{ID: report.Problem.ID, Flaw: report.Problem.Flaw}
			}
			if got != test.want || report.Count != test.count || report.Absent != test.absent {
				t.Errorf("got %+v of %+v", got, report)
			}
		})
	}
}

func TestAFileThatIsNoneIsToldByItsLine(t *testing.T) {
	for name, text := range map[string]string{
		"another line":         string(file(trail()[:1])) + "\n{\n",
		"a line without bound": strings.Repeat("x", 2<<20),
	} {
		_, err := audit.VerifyFile(t.Context(), strings.NewReader(text), audit.Point{}, false, nil)
		if f := fault.From(err); err == nil || f.Kind != fault.Invalid || f.Code != "audit_file" || !strings.Contains(f.Message, "line") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestATableHoldsNoFormula(t *testing.T) {
	for _, text := range []string{"=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "=", "plain", "", "a=b"} {
		link := audit.Link{Event: audit.Event{ID: 1, OrganizationID: 1, Actor: text, ObjectName: text, Details: map[string]string{"=": text}}}
		cells := link.Record()
		if len(cells) != len(audit.Columns()) {
			t.Fatalf("%d cells", len(cells))
		}
		for _, cell := range cells {
			if strings.ContainsAny(cell[:min(1, len(cell))], "=+-@\t\r") {
				t.Errorf("a cell is %q", cell)
			}
		}
		if want := strings.TrimPrefix(cells[2], "'"); want != text {
			t.Errorf("%q became %q", text, cells[2])
		}
	}
}

// FuzzLine reads any text: it is refused, or a row that is written as something
// that is read as the same row.
func FuzzLine(f *testing.F) {
	for _, link := range trail() {
		f.Add(link.Line())
	}
	f.Add([]byte(`{"id":1,"unreadable":true}`))
	f.Add([]byte(`{"id":1,"hash":"","previous":""}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		link, err := audit.ParseLine(text)
		if err != nil {
			return
		}
		if !json.Valid(text) {
			t.Fatalf("%q was read, and is no JSON", text)
		}
		again, err := audit.ParseLine(link.Line())
		if err != nil {
			t.Fatalf("%s: %v", link.Line(), err)
		}
		if again.Digest() != link.Digest() || again.Hash != link.Hash {
			t.Errorf("%q became %s", text, link.Line())
		}
		_ = link.Record()
	})
}
