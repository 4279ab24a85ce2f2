package valohaiyaml

import (
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sameAsWhole fails if a text loaded in pieces is another than loaded at once. It
// reports whether it was loaded in pieces.
func sameAsWhole(t *testing.T, data []byte, count int) bool {
	t.Helper()
	pieces := loadPieces(data, count)
	if pieces == nil {
		return false
	}
	r := &report{}
	whole := loadWhole(data, r)
	if whole == nil || len(r.findings) > 0 {
		t.Fatalf("%q is loaded in pieces, though there is something to say about it: %v", data, r.sorted())
	}
	if diff := cmp.Diff(printed(whole, nil), printed(pieces, nil)); diff != "" {
		t.Fatalf("%q in %d pieces (-at once +in pieces):\n%s", data, count, diff)
	}
	return true
}

// printed is a line for a node and each below it.
func printed(n, parent *node) []string {
	lines := []string{fmt.Sprintf("%s %d:%d %s %q %q", n.path(), n.line, n.column, n.kind(), n.value.String(), n.source)}
	if n.parent != parent {
		lines = append(lines, "which is in the wrong list or map")
	}
	for _, item := range n.list() {
		lines = append(lines, printed(item, n)...)
	}
	for _, e := range n.entries() {
		lines = append(lines, printed(e.key, n)...)
		lines = append(lines, printed(e.value, n)...)
	}
	return lines
}

func TestAFileInPiecesIsReadAsTheWhole(t *testing.T) {
	inPieces := 0
	err := fs.WalkDir(os.DirFS("testdata"), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(name, ".yaml") {
			return err
		}
		text, err := os.ReadFile("testdata/" + name)
		for count := 2; count < 6; count++ {
			if sameAsWhole(t, text, count) {
				inPieces++
			}
		}
		return err
	})
	if err != nil || inPieces < 20 {
		t.Errorf("%d were read in pieces, %v", inPieces, err)
	}
}

// pieceCases are lists, and whether they are read in pieces.
var pieceCases = map[string]bool{
	"- a\n- b\n- c\n":                 true,
	"---\n- a\n- b\n":                 true,
	"# a\r\n- a:\r\n    b\r\n- b\r\n": true,
	"- |+\n a\n\n- b\n":               true,
	"- &x a\n- *x\n":                  false,
	"- \"long\n- b\"\n":               false,
	"- [a,\n- b]\n":                   false,
	"- a\n...\n- b\n":                 false,
	"- a\n--- \n- b\n":                false,
	"%YAML 1.1\n---\n- a\n- b\n":      false,
	"- a\u2028- b\n- c\n":             false,
	"- a\r- b\n- c\n":                 false,
	" - a\n- b\n":                     false,
	"|\n- a\n- b\n":                   false,
	"--- !!seq\n- a\n- b\n":           false,
	"--- &x\n- a\n- b\n":              false,
	"a:\n- b\n- c\n":                  false,
	"- a\n- b: [\n":                   false,
}

func TestAFileIsReadInPiecesOnlyWhereThatIsSure(t *testing.T) {
	for text, want := range pieceCases {
		if got := sameAsWhole(t, []byte(text), 2); got != want {
			t.Errorf("%q: in pieces: %t, want %t", text, got, want)
		}
	}
}

func FuzzAFileInPiecesIsReadAsTheWhole(f *testing.F) {
	for text := range pieceCases {
		f.Add(text, uint8(2))
	}
	f.Fuzz(func(t *testing.T, text string, count uint8) {
		if !checkText([]byte(text), &report{}) {
			return // it is not read at all
		}
		sameAsWhole(t, []byte(text), int(count%8))
	})
}
