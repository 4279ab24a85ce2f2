package image

import (
	"fmt"
	"slices"
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

func (f field) index(n int) *Index[int] {
	x := NewIndex[int]()
	for i := range n {
		p, err := ParsePattern(f.pattern(i))
		if err != nil {
			panic(err)
		}
		x.Add(p, int64(i), i)
	}
	return x
}

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

func BenchmarkLookup(b *testing.B) {
	for _, f := range fields {
		for _, n := range sizes {
			var x *Index[int]
			for _, ask := range []struct {
				name  string
				image func(i int) string
				hit   bool
			}{{"hit", f.hit, true}, {"miss", f.miss, false}} {
				b.Run(f.name+"/"+ask.name+"/"+strconv.Itoa(n), func(b *testing.B) {
					if x == nil {
						x = f.index(n)
					}
					refs := images(ask.image, n)
					b.ReportAllocs()
					i := 0
					for b.Loop() {
						if _, ok := x.Lookup(refs[i%asked]); ok != ask.hit {
							b.Fatalf("%s: hit is %v", refs[i%asked], ok)
						}
						i++
					}
				})
			}
		}
	}
}

// BenchmarkLookupScan is the linear scan that the index replaces.
func BenchmarkLookupScan(b *testing.B) {
	f := fields[1]
	for _, n := range sizes {
		var entries []candidate
		b.Run(f.name+"/hit/"+strconv.Itoa(n), func(b *testing.B) {
			if entries == nil {
				for i := range n {
					p, err := ParsePattern(f.pattern(i))
					if err != nil {
						b.Fatal(err)
					}
					entries = append(entries, candidate{p, int64(i), i})
				}
			}
			refs := images(f.hit, n)
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
			patterns := make([]Pattern, 1_000_000)
			for i := range patterns {
				patterns[i], _ = ParsePattern(f.pattern(i))
			}
			b.ReportAllocs()
			for b.Loop() {
				x := NewIndex[int]()
				for i, p := range patterns {
					x.Add(p, int64(i), i)
				}
			}
		})
	}
}

// candidate and scan are the plain reference matcher: what Match and Compare
// say, one pattern after the other.
type candidate struct {
	pattern Pattern
	order   int64
	value   int
}

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

func scanAll(entries []candidate, ref Reference) []candidate {
	var all []candidate
	for _, e := range entries {
		if e.pattern.Match(ref) {
			all = append(all, e)
		}
	}
	slices.SortStableFunc(all, func(a, b candidate) int {
		c, _ := Compare(a.pattern, a.order, b.pattern, b.order)
		return c
	})
	return all
}
