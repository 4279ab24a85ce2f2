package blobs

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/opencontainers/go-digest"
)

func FuzzAddress(f *testing.F) {
	for _, seed := range []string{
		"file:///srv/blobs", "file:///srv?prefix=a/b", "s3://bucket?region=eu-north-1&prefix=a", "s3://b?endpoint=http://127.0.0.1:9000&use_path_style=true",
		"gs://bucket", "azblob://container?prefix=a.b-c_d", "file:///../..", "s3://user:secret@bucket", "file:///a\x00b",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := parseAddress(text)
		if err != nil {
			return
		}
		switch {
		case a.bucket == "", parameters[a.kind] == nil, strings.ContainsAny(a.String(), "?@"):
			t.Errorf("%q is %+v", text, a)
		case a.prefix != "" && (!prefixes.MatchString(a.prefix) || strings.Contains("/"+a.prefix+"/", "/../")):
			t.Errorf("%q has the prefix %q", text, a.prefix)
		case a.kind == directory && (!strings.HasPrefix(a.dir(), "/") || a.dir() == "/"):
			t.Errorf("%q is the directory %q", text, a.dir())
		}
	})
}

func FuzzSegment(f *testing.F) {
	d := digest.FromString("x")
	seed, err := formatSegment([]line{
		{Digest: d, Size: 5, Used: 10, Stored: 7, Removed: 3, Pinned: 2, Unpinned: 1, Organizations: map[string]moment{"acme": 9}},
		{Digest: digest.SHA512.FromString("y"), Used: 1 << 60},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(seed), string(seed))
	f.Add(`{"digest":"`+d.String()+`","removed":9223372036854775807}`, `{"digest":"`+d.String()+`","stored":5,"organizations":{"a":1}}`)
	f.Add("{}", "null\n")
	f.Fuzz(func(t *testing.T, one, other string) {
		first, err := parseSegment([]byte(one))
		if err != nil {
			return
		}
		second, err := parseSegment([]byte(other))
		if err != nil {
			return
		}
		// In any order, and any number of times, and after being written again: the same.
		joined := func(segments ...[]line) *table {
			made := newTable()
			for _, lines := range segments {
				for _, l := range lines {
					made.join(l, 1<<50)
				}
			}
			return made
		}
		want := joined(first, second)
		text, err := formatSegment(want.all())
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseSegment(text)
		if err != nil {
			t.Fatalf("what it writes it cannot read: %v", err)
		}
		for what, got := range map[string]*table{
			"the other way round": joined(second, first), "twice": joined(first, second, first), "written again": joined(again), "and with the old": joined(again, second),
		} {
			if diff := cmp.Diff(counted(want), counted(got), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s (-want +is):\n%s", what, diff)
			}
		}
	})
}

// counted are the lines of a table, but for sizes: of two that differ, which blobs of a
// digest cannot have, one counts.
func counted(t *table) map[digest.Digest]line {
	lines := make(map[digest.Digest]line)
	for _, l := range t.all() {
		l.Size = 0
		lines[l.Digest] = l
	}
	return lines
}
