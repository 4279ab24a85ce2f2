package cli_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/cli"
)

// manual is the directory of the pages.
func manual(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "man1")
	t.Setenv("SOURCE_DATE_EPOCH", "1790000000")
	var said bytes.Buffer
	if code := cli.Run(t.Context(), []string{"man", dir}, "1.2.3", cli.IO{In: strings.NewReader(""), Out: &said, Err: &said}); code != 0 {
		t.Fatalf("writing the manual ended with %d: %s", code, said.String())
	}
	return dir
}

func TestMandocHasNothingToSayAgainstTheManual(t *testing.T) {
	mandoc, err := exec.LookPath("mandoc")
	if err != nil {
		t.Fatal("mandoc is not here; make test-prerequisites installs it")
	}
	pages, err := filepath.Glob(filepath.Join(manual(t), "*.1"))
	if err != nil || len(pages) < 50 {
		t.Fatalf("there are %d pages, %v", len(pages), err)
	}
	if said, err := exec.Command(mandoc, append([]string{"-Tlint", "-Wwarning"}, pages...)...).CombinedOutput(); err != nil {
		t.Errorf("mandoc says: %v\n%s", err, said)
	}
}

func TestAPageOfTheManualSaysAllThatTheHelpDoes(t *testing.T) {
	dir := manual(t)
	mandoc, err := exec.LookPath("mandoc")
	if err != nil {
		t.Fatal("mandoc is not here; make test-prerequisites installs it")
	}
	for page, want := range map[string][]string{
		"fairlead.1":              {"fairlead-run(1)", "FAIRLEAD_TOKEN", "/etc/fairlead/fairlead.yaml", "EXIT STATUS"},
		"fairlead-run.1":          {"fairlead run STEP [flags]", "-p, --parameter", "learning_rate=0.01", "The exit code is the step's own", "login.json", "2 for a wrong command line"},
		"fairlead-registry-add.1": {"'ghcr.io/acme/*'", "--field-file", "NAME=FILE", "fairlead-registry(1)"},
		"fairlead-serve.1":        {"--data-dir", "FAIRLEAD_DATA_DIR"},
	} {
		text, err := exec.Command(mandoc, "-Tutf8", "-Owidth=200", filepath.Join(dir, page)).Output()
		if err != nil {
			t.Fatal(err)
		}
		plain := struckOver(string(text))
		for _, words := range want {
			if !strings.Contains(plain, words) {
				t.Errorf("%s has no %q:\n%s", page, words, plain)
			}
		}
	}
}

// struckOver removes what makes letters bold or underlined on paper.
func struckOver(text string) string {
	var letters []rune
	for _, r := range text {
		if r == '\b' {
			letters = letters[:len(letters)-1]
			continue
		}
		letters = append(letters, r)
	}
	return strings.Join(strings.Fields(string(letters)), " ")
}

func TestTheManualIsTheSameWheneverItIsWritten(t *testing.T) {
	first, second := manual(t), manual(t)
	pages, err := os.ReadDir(first)
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		a, errA := os.ReadFile(filepath.Join(first, page.Name()))
		b, errB := os.ReadFile(filepath.Join(second, page.Name()))
		if errA != nil || errB != nil || !bytes.Equal(a, b) {
			t.Errorf("%s differs: %v, %v", page.Name(), errA, errB)
		}
	}
}
