package image

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// field is a way in which an organisation's patterns may be distributed, with
// images that hit the i-th pattern and such that miss them all.
type field struct {
	name    string
	pattern func(i int) string
	hit     func(i int) string
	miss    func(i int) string
}

var fields = []field{
	{
		name:    "hosts",
		pattern: func(i int) string { return fmt.Sprintf("registry%d.example.com/*", i) },
		hit:     func(i int) string { return fmt.Sprintf("registry%d.example.com/team/train-VARY:v2", i) },
		miss:    func(i int) string { return fmt.Sprintf("missing%d.example.com/team/train-VARY:v2", i) },
	},
	{
		name:    "paths",
		pattern: func(i int) string { return fmt.Sprintf("registry.example.com/team%d/*", i) },
		hit:     func(i int) string { return fmt.Sprintf("registry.example.com/team%d/train-VARY:v2", i) },
		miss:    func(i int) string { return fmt.Sprintf("registry.example.com/nobody%d/train-VARY:v2", i) },
	},
	{
		name:    "exact paths",
		pattern: func(i int) string { return fmt.Sprintf("registry.example.com/%x/train", i*2654435761%(1<<32)) },
		hit: func(i int) string {
			return fmt.Sprintf("registry.example.com/%x/train:vVARY", i*2654435761%(1<<32))
		},
		miss: func(i int) string {
			return fmt.Sprintf("registry.example.com/%x/trial:vVARY", i*2654435761%(1<<32))
		},
	},
	{
		name: "long shared prefix",
		pattern: func(i int) string {
			return fmt.Sprintf("registry.example.com/organisation/department/group/project/images/model-%d*", i)
		},
		hit: func(i int) string {
			return fmt.Sprintf("registry.example.com/organisation/department/group/project/images/model-%d:vVARY", i)
		},
		miss: func(i int) string {
			return fmt.Sprintf("registry.example.com/organisation/department/group/project/images/other-%d:vVARY", i)
		},
	},
	{
		name:    "tags",
		pattern: func(i int) string { return fmt.Sprintf("registry.example.com/team/train:v%d", i) },
		hit:     func(i int) string { return fmt.Sprintf("registry.example.com/team/train:v%d", i) },
		miss:    func(i int) string { return fmt.Sprintf("registry.example.com/team/train:w%d", i) },
	},
	{
		name:    "wildcard hosts",
		pattern: func(i int) string { return fmt.Sprintf("*.customer%d.example/*", i) },
		hit:     func(i int) string { return fmt.Sprintf("eu.customer%d.example/team/train-VARY:v2", i) },
		miss:    func(i int) string { return fmt.Sprintf("eu.stranger%d.example/team/train-VARY:v2", i) },
	},
	{
		name:    "partial wildcard hosts",
		pattern: func(i int) string { return fmt.Sprintf("*-%d.azurecr.io/*", i) },
		hit:     func(i int) string { return fmt.Sprintf("eu-%d.azurecr.io/team/train-VARY:v2", i) },
		miss:    func(i int) string { return fmt.Sprintf("eu-%dx.azurecr.io/team/train-VARY:v2", i) },
	},
	{
		name:    "after the wildcard",
		pattern: func(i int) string { return fmt.Sprintf("registry.example.com/*a%d", i) },
		hit:     func(i int) string { return fmt.Sprintf("registry.example.com/team/a%d:vVARY", i) },
		miss:    func(i int) string { return fmt.Sprintf("registry.example.com/team/b%d:vVARY", i) },
	},
	{
		name:    "between wildcards",
		pattern: func(i int) string { return fmt.Sprintf("registry.example.com/*/team-%d-*/train", i) },
		hit:     func(i int) string { return fmt.Sprintf("registry.example.com/eu/team-%d-b/train:vVARY", i) },
		miss:    func(i int) string { return fmt.Sprintf("registry.example.com/eu/team-%d-b/trial:vVARY", i) },
	},
}

var sizes = []int{10, 1_000, 100_000, 1_000_000}

// asked is how many different images a benchmark asks for in turn, at every
// size the same number, spread over all patterns.
const asked = 1024

func (f field) candidates(n int) []candidate {
	candidates := make([]candidate, n)
	for i := range candidates {
		p, err := ParsePattern(f.pattern(i))
		if err != nil {
			panic(err)
		}
		candidates[i] = candidate{p, int64(i), i}
	}
	return candidates
}

func (f field) index(n int) *Index[int] { return indexOf(f.candidates(n)) }

func images(name func(i int) string, n int) []Reference {
	refs := make([]Reference, asked)
	for i := range refs {
		ref, err := ParseReference(strings.ReplaceAll(name(i*7919%n), "VARY", strconv.Itoa(1000+i)))
		if err != nil {
			panic(err)
		}
		refs[i] = ref
	}
	return refs
}

// BenchmarkIndexHit looks up images that a pattern covers. What one takes must
// not grow with the number of patterns, which is the last part of the name.
func BenchmarkIndexHit(b *testing.B) {
	for _, f := range fields {
		for _, n := range sizes {
			benchmarkLookup(b, f, n, f.hit, true)
		}
	}
}

// BenchmarkMiss looks up images that no pattern covers.
func BenchmarkMiss(b *testing.B) {
	for _, f := range fields {
		for _, n := range sizes {
			benchmarkLookup(b, f, n, f.miss, false)
		}
	}
}

func benchmarkLookup(b *testing.B, f field, n int, image func(i int) string, hit bool) {
	b.Run(f.name+"/"+strconv.Itoa(n), func(b *testing.B) {
		x, refs := f.index(n), images(image, n)
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			if _, ok := x.Lookup(refs[i%asked]); ok != hit {
				b.Fatalf("%s: hit is %v", refs[i%asked], ok)
			}
			i++
		}
	})
}

// BenchmarkScanInsteadOfIndex is the linear scan that the index replaces.
func BenchmarkScanInsteadOfIndex(b *testing.B) {
	f := fields[1]
	for _, n := range sizes {
		b.Run(f.name+"/"+strconv.Itoa(n), func(b *testing.B) {
			entries, refs := f.candidates(n), images(f.hit, n)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if scan(entries, refs[i%asked]) == nil {
					b.Fatal("no hit")
				}
				i++
			}
		})
	}
}

// BenchmarkBuild says what a million patterns cost to put into an index.
func BenchmarkBuild(b *testing.B) {
	for _, f := range fields {
		b.Run(f.name, func(b *testing.B) {
			candidates := f.candidates(1_000_000)
			b.ReportAllocs()
			for b.Loop() {
				indexOf(candidates)
			}
		})
	}
}

// scan is the winner by Match and Compare, one pattern after the other.
func scan(entries []candidate, ref Reference) (winner *candidate) {
	for i := range entries {
		e := &entries[i]
		if !e.pattern.Match(ref) {
			continue
		}
		if winner == nil {
			winner = e
		} else if c, _ := Compare(e.pattern, e.order, winner.pattern, winner.order); c < 0 {
			winner = e
		}
	}
	return winner
}
