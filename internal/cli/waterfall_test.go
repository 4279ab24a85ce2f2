package cli

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"fairlead.dev/fairlead/internal/wire"
)

var update = flag.Bool("update", false, "write the drawings of testdata/waterfall anew")

// TestAPullIsDrawnAsAWaterfall draws the reports of testdata/waterfall; each other
// part of a file there is the drawing of the width that it is named after.
func TestAPullIsDrawnAsAWaterfall(t *testing.T) {
	files, err := filepath.Glob("testdata/waterfall/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			report, err := wire.ParsePullReport(archive.Files[0].Data)
			if err != nil {
				t.Fatal(err)
			}
			for i, part := range archive.Files[1:] {
				width, err := strconv.Atoi(part.Name)
				if err != nil {
					t.Fatal(err)
				}
				got := drawn(report, width, false)
				if *update {
					archive.Files[i+1].Data = []byte(got)
				} else if diff := cmp.Diff(string(part.Data), got); diff != "" {
					t.Errorf("%d characters wide (-want +got):\n%s", width, diff)
				}
			}
			if *update {
				if err := os.WriteFile(file, txtar.Format(archive), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func drawn(report wire.PullReport, width int, colours bool) string {
	var b bytes.Buffer
	newWaterfall(report, width, colours).draw(&b)
	b.WriteString("\n" + wrap(harmless(report.Sentence), width) + "\n")
	return b.String()
}

func TestColoursChangeNothingOfADrawingButItsLooks(t *testing.T) {
	at := func(seconds float64) *float64 { return &seconds }
	report := wire.PullReport{TotalSeconds: 10, Unfinished: true, Layers: []wire.PulledLayer{
		{Digest: "sha256:ab", SizeBytes: 1, FetchedBytes: 1, RequestedAt: at(0), FirstByteAt: at(2.5), LastByteAt: at(5), Failed: true},
	}}
	plain, coloured := drawn(report, 80, false), drawn(report, 80, true)
	const bar = "\x1b[33m........\x1b[0m\x1b[36m========\x1b[0m\x1b[35m###############\x1b[0m\x1b[31mx\x1b[0m"
	if !strings.Contains(coloured, bar) {
		t.Errorf("%q is not in %q", bar, coloured)
	}
	for _, code := range slices.AppendSeq([]string{plainColour}, maps.Values(glyphColours)) {
		coloured = strings.ReplaceAll(coloured, code, "")
	}
	if diff := cmp.Diff(plain, coloured); diff != "" {
		t.Errorf("without the colours (-plain +coloured):\n%s", diff)
	}
}

func TestAnExecutionWithoutAPullReportSaysWhy(t *testing.T) {
	ended := new(wire.Time)
	for want, e := range map[string]wire.Execution{
		"Nothing was pulled yet: execution #7 is queued.":                           {Counter: 7, Status: "queued"},
		"Execution #7 is started; the report comes when its pull has ended.":        {Counter: 7, Status: "started"},
		"There is no report: execution #7 ended before anything was pulled for it.": {Counter: 7, Status: "stopped", EndTime: ended},
	} {
		if got := noReport(e); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// Whatever a worker writes, what is drawn fits the width and is harmless.
func FuzzWaterfall(f *testing.F) {
	files, err := filepath.Glob("testdata/waterfall/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(archive.Files[0].Data, 80)
		f.Add(archive.Files[0].Data, 30)
	}
	f.Fuzz(func(t *testing.T, document []byte, width int) {
		report, err := wire.ParsePullReport(json.RawMessage(document))
		const narrowest, widest = 30, 1000
		if err != nil || width < narrowest || width > widest || len(document) > 1<<16 {
			return
		}
		for line := range strings.Lines(drawn(report, width, false)) {
			line = strings.TrimSuffix(line, "\n")
			if n := utf8.RuneCountInString(line); n > width {
				t.Errorf("a line of %d characters, where there is room for %d: %q", n, width, line)
			}
			if strings.ContainsFunc(line, wire.IsHarmful) {
				t.Errorf("a terminal may do something at %q", line)
			}
		}
	})
}
