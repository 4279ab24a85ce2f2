package browsertest

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// violation is a rule of axe-core that a page breaks.
type violation struct {
	ID, Impact, Help, HelpURL string
	Nodes                     []struct {
		HTML           string
		FailureSummary string
		Target         []any // selectors; of a shadow tree, lists of them
	}
}

// Axe runs axe-core on the page, or on b's part of it, as it is now, and fails the
// test for each rule that is broken seriously or critically, with the elements that
// break it and the page that explains it. It is run past the page's content security
// policy, and where the page's own scripts are off as well.
func (b *Browser) Axe() {
	b.t.Helper()
	at, err := moduleRoot()
	b.must(err)
	library, err := os.ReadFile(filepath.Join(at, ".tools", "axe", "axe.min.js"))
	if errors.Is(err, fs.ErrNotExist) {
		b.t.Fatal("there is no .tools/axe/axe.min.js: make test-prerequisites fetches axe-core")
	}
	b.must(err)
	ctx, cancel := b.bounded()
	defer cancel()
	if b.noScript {
		b.must(b.scripts(true))
		defer func() { b.must(b.scripts(false)) }()
	}
	b.must(b.evaluate(ctx, "if (!globalThis.axe) {"+string(library)+"}; 0", nil))
	element, err := b.root(ctx)
	b.must(err)
	var got []violation
	b.must(b.apply(ctx, element, "async function() { return (await axe.run(this, {resultTypes: ['violations'], preload: false, iframes: false})).violations }", &got))
	for _, v := range got {
		if !slices.Contains([]string{"serious", "critical"}, v.Impact) {
			continue
		}
		for _, n := range v.Nodes {
			b.t.Errorf("axe: %s (%s): %s\n%s at %s\n%s\n%s", v.ID, v.Impact, v.Help, cmp.Or(n.HTML, "an element"), fmt.Sprint(n.Target...), strings.TrimSpace(n.FailureSummary), v.HelpURL)
		}
	}
}
