package image

import (
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// patterns makes an index whose values are the patterns as they are written.
func patterns(t *testing.T, texts ...string) *Index[string] {
	t.Helper()
	x := NewIndex[string]()
	for _, text := range texts {
		p, err := ParsePattern(text)
		if err != nil {
			t.Fatal(err)
		}
		x.Add(p, 0, text)
	}
	return x
}

func TestTheMostSpecificPatternWinsAndSaysWhy(t *testing.T) {
	for _, test := range []struct {
		because     string
		image       constant
		first, then string
		reason      Reason
	}{
		{"an exact host goes before a wildcard host", "my.azurecr.io/a/b", "my.azurecr.io/*", "*.azurecr.io/a/b", ByExactHost},
		{"a longer prefix of the path goes first", "ghcr.io/acme/ml/x", "ghcr.io/acme/ml/*", "ghcr.io/acme/*", ByLongerPrefix},
		{"a wildcard at the end makes a path no less specific", "ghcr.io/acme/x", "ghcr.io/acme/x*", "ghcr.io/acme/x", ByListedFirst},
		{"a longer prefix goes before more characters", "ghcr.io/acme/very/long/train", "ghcr.io/acme/*", "ghcr.io/acm*/very/long/train", ByLongerPrefix},
		{"more characters behind the wildcard go first", "ghcr.io/acme/a/train", "ghcr.io/acme/*/train", "ghcr.io/acme/*", ByMoreLiterals},
		{"a question mark is no character", "ghcr.io/acme/xy", "ghcr.io/acme/*y", "ghcr.io/acme/??", ByMoreLiterals},
		{"more characters of a wildcard host go first", "eu-my.azurecr.io/x", "eu-*.azurecr.io/*", "*.azurecr.io/*", ByMoreLiterals},
		{"a tag goes before none", "ghcr.io/acme/x:v1", "ghcr.io/acme/x:v1", "ghcr.io/acme/x", ByMoreOfTheTag},
		{"the path counts before the tag", "ghcr.io/acme/x:v1", "ghcr.io/acme/x", "ghcr.io/acme/*:v1", ByLongerPrefix},
		{"a tag that is a star is no better than none", "ghcr.io/acme/x:v1", "ghcr.io/acme/x:*", "ghcr.io/acme/x", ByListedFirst},
	} {
		t.Run(test.because, func(t *testing.T) {
			ref := MustParseReference(test.image)
			orders := [][]string{{test.first, test.then}}
			if test.reason != ByListedFirst {
				orders = append(orders, []string{test.then, test.first})
			}
			for _, order := range orders {
				x := patterns(t, order...)
				if winner, ok := x.Lookup(ref); !ok || winner != test.first {
					t.Errorf("added as %q, %q wins, want %q", order, winner, test.first)
				}
				matches := x.Matches(ref)
				if len(matches) != 2 {
					t.Fatalf("%d patterns cover %s, want 2", len(matches), ref)
				}
				got := []any{matches[0].Value, matches[0].Reason, matches[1].Value, matches[1].Reason}
				want := []any{test.first, test.reason, test.then, ByNothingBehind}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

func TestOfEquallySpecificPatternsTheOlderCredentialWinsInWhateverOrderTheyAreAdded(t *testing.T) {
	ref := MustParseReference("ghcr.io/acme/x")
	same := MustParsePattern("ghcr.io/acme/*")
	alike := MustParsePattern("ghcr.io/acme/?")
	candidates := []candidate{{same, 3, 3}, {alike, 1, 1}, {same, 2, 2}, {alike, 5, 5}, {same, 4, 4}}
	random := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		random.Shuffle(len(candidates), func(i, j int) { candidates[i], candidates[j] = candidates[j], candidates[i] })
		x := indexOf(candidates)
		if winner, _ := x.Lookup(ref); winner != 1 {
			t.Fatalf("added as %v, %d wins", candidates, winner)
		}
		var got []int
		for i, m := range x.Matches(ref) {
			got = append(got, m.Value)
			if want := []Reason{ByOlder, ByOlder, ByOlder, ByOlder, ByNothingBehind}[i]; m.Reason != want {
				t.Errorf("%d goes first %s, want %s", m.Value, m.Reason, want)
			}
		}
		if diff := cmp.Diff([]int{1, 2, 3, 4, 5}, got); diff != "" {
			t.Fatal(diff)
		}
	}
}

func TestWhatNothingTellsApartKeepsTheOrderInWhichItWasAdded(t *testing.T) {
	p := MustParsePattern("ghcr.io/acme/*")
	x := indexOf([]candidate{{p, 7, 1}, {p, 7, 2}, {p, 7, 3}})
	var got []int
	for _, m := range x.Matches(MustParseReference("ghcr.io/acme/x")) {
		got = append(got, m.Value)
	}
	if diff := cmp.Diff([]int{1, 2, 3}, got); diff != "" {
		t.Error(diff)
	}
}

func TestEveryReasonHasWords(t *testing.T) {
	for _, r := range []Reason{ByExactHost, ByLongerPrefix, ByMoreLiterals, ByMoreOfTheTag, ByOlder, ByListedFirst, ByNothingBehind} {
		if r.Words() == string(r) {
			t.Errorf("%s has none", r)
		}
	}
}

func TestAnImageThatNothingCoversHasNoWinner(t *testing.T) {
	x := patterns(t, "quay.io/u/foo", "*.azurecr.io/*", "registry:5000/*")
	for _, name := range []constant{
		"quay.io/u/foo-more", "quay.io/u/foo/bar", "quay.io/u", "ubuntu",
		"a.b.azurecr.io/x", "my.azurecr.io.evil.example/x", "azurecr.io/x", "registry:5001/x",
	} {
		if winner, ok := x.Lookup(MustParseReference(name)); ok {
			t.Errorf("%s serves %s", winner, name)
		}
		if matches := x.Matches(MustParseReference(name)); len(matches) != 0 {
			t.Errorf("%s is covered by %v", name, matches)
		}
	}
	if _, ok := NewIndex[string]().Lookup(MustParseReference("ubuntu")); ok {
		t.Error("an empty index has a winner")
	}
	if _, ok := x.Lookup(Reference{}); ok {
		t.Error("no image has a winner")
	}
}

func TestALookupAllocatesNothing(t *testing.T) {
	for _, f := range fields {
		t.Run(f.name, func(t *testing.T) {
			const n = 1000
			x := f.index(n)
			refs := append(images(f.hit, n), images(f.miss, n)...)
			i := 0
			if allocations := testing.AllocsPerRun(len(refs), func() {
				x.Lookup(refs[i%len(refs)])
				i++
			}); allocations != 0 {
				t.Errorf("a lookup allocates %v times", allocations)
			}
		})
	}
}

func TestTheFieldsOfTheBenchmarkHitAndMissAsTheySay(t *testing.T) {
	const n = 60
	for _, f := range fields {
		candidates := f.candidates(n)
		x := indexOf(candidates)
		for _, ref := range images(f.hit, n)[:n] {
			if _, ok := x.Lookup(ref); !ok {
				t.Errorf("%s: nothing covers %s", f.name, ref)
			}
			agree(t, x, candidates, ref)
		}
		for _, ref := range images(f.miss, n)[:n] {
			agree(t, x, candidates, ref)
		}
	}
}

func TestManyMayReadAnIndexAtOnce(t *testing.T) {
	x := fields[8].index(200)
	refs := images(fields[8].hit, 200)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for _, ref := range refs {
				if _, ok := x.Lookup(ref); !ok || len(x.Matches(ref)) == 0 {
					t.Errorf("nothing covers %s", ref)
				}
			}
			x.Near(refs[0])
		})
	}
	group.Wait()
}

func TestPatternsThatWouldDriveABacktrackingMatcherMadAreAnswered(t *testing.T) {
	// Sixty stars, each of which could stop anywhere: the answer is no.
	text := "registry.example.com/"
	for range 60 {
		text += "a*"
	}
	x := patterns(t, text+"b")
	name := "registry.example.com/"
	for range 230 {
		name += "a"
	}
	ref, err := ParseReference(name + ":" + strconv.Itoa(1))
	if err != nil {
		t.Fatal(err)
	}
	if winner, ok := x.Lookup(ref); ok {
		t.Errorf("%s covers %s", winner, ref)
	}
}
