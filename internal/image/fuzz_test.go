package image

import (
	"math/rand/v2"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/fault"
)

var seedImages = []string{
	"ubuntu", "acme/x", "ubuntu:22.04", "index.docker.io/acme/x", "registry-1.docker.io/library/ubuntu",
	"localhost/x", "localhost:5000/x:y", "GHCR.io/acme/train:V2", "[::1]:5000/x",
	"myregistry.azurecr.io/ml/train:v2", "a.b.azurecr.io/x", "myregistry.azurecr.io.evil.example/x",
	"quay.io/u/foo-more@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
	"quay.io/u/foo:v1@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
	"https://ghcr.io/acme/x", "user:hunter2@ghcr.io/x", "Acme/x", "a//b", "a/", ":", "@", "",
	"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
}

var seedPatterns = []string{
	"myregistry.azurecr.io/*", "docker.io/*", "docker.io/myusername/*", "gcr.io/my-project/my-registry:*",
	"123456789012.dkr.ecr.us-east-1.amazonaws.com/my-repo/*", "us-central1-docker.pkg.dev/my-project/ml-images/*",
	"*.azurecr.io/*", "my*.azurecr.io/ml/tr?in:v*", "quay.io/u/foo", "ghcr.io", "ghcr.io/", "localhost:5000/*/x",
	"ubuntu", "acme/x", "*", "*/*", "*.io/x", "https://ghcr.io/*", "ghcr.io/x@sha256:0", "ghcr.io/ x", "a**b/c***",
	strings.Repeat("0", 248), strings.Repeat("a*", 254),
}

func FuzzParseReference(f *testing.F) {
	for _, name := range seedImages {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		ref, err := ParseReference(name)
		if err != nil {
			refused(t, name, err)
			return
		}
		again, err := ParseReference(ref.String())
		if err != nil || again != ref {
			t.Fatalf("%q is %q, which is read as %q: %v", name, ref, again, err)
		}
		if ref.Host() == "" || ref.Repository() == "" || ref.Target() == "" || ref.Name() != ref.Host()+"/"+ref.Repository() {
			t.Fatalf("%q lacks a part: %#v", name, ref)
		}
		// Whoever writes the image's own name as a pattern covers it.
		if p, err := ParsePattern(ref.Name()); len(ref.Name()) <= patternMost && (err != nil || !p.Match(ref)) {
			// Docker takes any digits for a port, and nobody can connect to one
			// beyond 65535.
			if withoutPort(ref.Host()) == ref.Host() {
				t.Fatalf("the pattern %q does not cover %s: %v", ref.Name(), ref, err)
			}
		}
	})
}

func FuzzParsePattern(f *testing.F) {
	for _, text := range seedPatterns {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePattern(text)
		if err != nil {
			refused(t, text, err)
			return
		}
		again, err := ParsePattern(p.String())
		if err != nil || again != p {
			t.Fatalf("%q is %q, which is read as %q: %v", text, p, again, err)
		}
	})
}

// refused fails the test unless err is the fault of input, with its mend.
func refused(t *testing.T, text string, err error) {
	t.Helper()
	if f := fault.From(err); f.Kind != fault.Invalid || f.Code == "" || f.Hint == "" || len(f.Fields) != 1 {
		t.Fatalf("%q: %#v", text, f)
	}
}

func FuzzPatternAgreesWithThePlainMatcher(f *testing.F) {
	for _, text := range seedPatterns {
		for _, name := range seedImages {
			f.Add(text, name)
		}
	}
	f.Fuzz(func(t *testing.T, text, name string) {
		p, err := ParsePattern(text)
		if err != nil {
			return
		}
		ref, err := ParseReference(name)
		if err != nil {
			return
		}
		if got, want := p.Match(ref), plainCovers(p, ref); got != want {
			t.Fatalf("%q covers %q: %v, want %v", p, ref, got, want)
		}
		candidates := []candidate{{pattern: p}}
		agree(t, indexOf(candidates), candidates, ref)
	})
}

// FuzzIndexAgreesWithThePlainMatcher reads a pattern a line; those that are
// none are left out.
func FuzzIndexAgreesWithThePlainMatcher(f *testing.F) {
	for _, name := range seedImages {
		f.Add(strings.Join(seedPatterns, "\n"), name)
	}
	f.Add("ghcr.io/a*\nghcr.io/*a\nghcr.io/a*a\nghcr.io/a\n*.ghcr.io/a\nghcr.io/a:*\nghcr.io/a:?\nghcr.io/a", "ghcr.io/a:a")
	f.Fuzz(func(t *testing.T, lines, name string) {
		ref, err := ParseReference(name)
		if err != nil {
			return
		}
		var candidates []candidate
		for line := range strings.Lines(lines) {
			if p, err := ParsePattern(strings.TrimSuffix(line, "\n")); err == nil {
				n := len(candidates)
				candidates = append(candidates, candidate{p, int64(n * 7 % 3), n})
			}
		}
		agree(t, indexOf(candidates), candidates, ref)
	})
}

// FuzzIndexOfLikePatterns makes sets of patterns that are much alike, so that
// most of them cover most of the images.
func FuzzIndexOfLikePatterns(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(seed, uint8(40))
	}
	f.Fuzz(func(t *testing.T, seed uint64, size uint8) {
		likePatterns(t, rand.New(rand.NewPCG(seed, uint64(size))), int(size))
	})
}

func TestTheIndexAgreesWithThePlainMatcherOnPatternsThatAreMuchAlike(t *testing.T) {
	random := rand.New(rand.NewPCG(2, 3))
	for range 300 {
		likePatterns(t, random, random.IntN(60))
	}
}

// likePatterns compares the index with the plain matcher for size patterns and
// some images, all of few characters.
func likePatterns(t *testing.T, random *rand.Rand, size int) {
	t.Helper()
	var candidates []candidate
	for len(candidates) < size {
		text := pick(random, "a", "b", "*", "a*", "*a*", "a.*", "*.b", "a.a", "*b.*a") + ".x.io/" + letters(random, "aab//**?", 7)
		if random.IntN(3) == 0 {
			text += ":" + letters(random, "aab*?", 4)
		}
		if p, err := ParsePattern(text); err == nil {
			candidates = append(candidates, candidate{p, random.Int64N(4), len(candidates)})
		}
	}
	x := indexOf(candidates)
	for asked := 0; asked < 10; {
		name := pick(random, "a", "b", "aa", "a.a", "a.b", "bb.ba", "a.a.a") + ".x.io/" + letters(random, "aab/", 7) + ":" + letters(random, "aab", 4)
		if random.IntN(8) == 0 {
			name += "@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
		}
		if ref, err := ParseReference(name); err == nil {
			agree(t, x, candidates, ref)
			asked++
		}
	}
}

func pick(random *rand.Rand, words ...string) string { return words[random.IntN(len(words))] }

// letters are 1 to most letters of the alphabet.
func letters(random *rand.Rand, alphabet string, most int) string {
	word := make([]byte, 1+random.IntN(most))
	for i := range word {
		word[i] = alphabet[random.IntN(len(alphabet))]
	}
	return string(word)
}
