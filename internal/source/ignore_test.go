package source_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/source"
)

// ignoreCases are trees with their ignore files, and what is packed of them.
var ignoreCases = []struct {
	name  string
	files map[string]string
	want  []string
}{
	{"a name is ignored at any depth", map[string]string{
		".gitignore": "secret.env\n", "secret.env": "", "a/secret.env": "", "a/b/secret.env/x": "", "a/secret.envs": "",
	}, []string{".gitignore", "a/secret.envs"}},
	{"a slash ties a pattern to its directory", map[string]string{
		".gitignore": "/out\ndoc/*.txt\n", "out": "", "a/out": "", "doc/x.txt": "", "doc/d/x.txt": "", "a/doc/x.txt": "",
	}, []string{".gitignore", "a/doc/x.txt", "a/out", "doc/d/x.txt"}},
	{"a slash at the end means directories", map[string]string{
		".gitignore": "build/\n", "build/x": "", "a/build/x": "", "b/build": "",
	}, []string{".gitignore", "b/build"}},
	{"only what is listed is kept", map[string]string{
		".gitignore": "*\n!*/\n!*.py\n!.gitignore\n", "x.py": "", "x.env": "", "a/y.py": "", "a/b/.env": "",
	}, []string{".gitignore", "a/y.py", "x.py"}},
	{"a kept directory keeps nothing that another rule ignores", map[string]string{
		".gitignore": "*.log\n!keep/\n", "keep/a.log": "", "keep/b": "",
	}, []string{".gitignore", "keep/b"}},
	{"nothing comes back from an ignored directory", map[string]string{
		".gitignore": "data/\n!data/keep\n", "data/keep": "", "data/.gitignore": "!keep\n", "x": "",
	}, []string{".gitignore", "x"}},
	{"but from an ignored content it does", map[string]string{
		".gitignore": "data/*\n!data/keep\n", "data/keep": "", "data/drop": "",
	}, []string{".gitignore", "data/keep"}},
	{"the deeper file wins", map[string]string{
		".gitignore": "*.bin\n", "a/.gitignore": "!x.bin\n/y\n", "a/x.bin": "", "a/y": "", "a/b/y": "", "x.bin": "", "y": "",
	}, []string{".gitignore", "a/.gitignore", "a/b/y", "a/x.bin", "y"}},
	{"a rule of one directory is none of its sibling's", map[string]string{
		"a/.gitignore": "x\n", "a/x": "", "b/.gitignore": "y\n", "b/x": "", "b/y": "", "c/x": "", "c/y": "",
	}, []string{"a/.gitignore", "b/.gitignore", "b/x", "c/x", "c/y"}},
	{"two asterisks are any number of directories", map[string]string{
		".gitignore": "**/tmp\na/**/z\nall/**\n", "tmp": "", "q/tmp": "", "a/z": "", "a/b/z": "", "a/b/c/z": "", "b/a/z": "",
		"all/x": "", "all/d/x": "", "b/all/x": "",
	}, []string{".gitignore", "b/a/z", "b/all/x"}},
	{"wildcards stop at a slash", map[string]string{
		".gitignore": "/a*d\n/e?f\n", "abcd": "", "ad": "", "a/d": "", "e/f": "", "exf": "", "eèf": "",
	}, []string{".gitignore", "a/d", "e/f"}},
	{"brackets", map[string]string{
		".gitignore": "[ab]1\n[!ab]2\n[^c-e]3\n[[:digit:]]4\n[]]5\n[x\n[\\]-]6\n", "a1": "", "c1": "", "a2": "", "c2": "",
		"d3": "", "f3": "", "74": "", "x4": "", "]5": "", "[x": "", "x": "", "]6": "", "-6": "", "\\6": "",
	}, []string{".gitignore", "[x", "\\6", "a2", "c1", "d3", "x", "x4"}},
	{"backslashes, comments and spaces", map[string]string{
		".gitignore": "\ufeff# a comment\n\\#x\n\\!y\nz   \nq\\ \r\n\n \na\\*b\nw\\\n",
		"#x":         "", "!y": "", "z": "", "q ": "", "q": "", "a*b": "", "axb": "", "w": "", "w\\": "", "# a comment": "",
	}, []string{"# a comment", ".gitignore", "axb", "q", "w", "w\\"}},
}

func TestIgnoreFilesSayWhatIsLeftOut(t *testing.T) {
	for _, test := range ignoreCases {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			plant(t, dir, test.files)
			if diff := cmp.Diff(test.want, packedNames(t, dir)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// The table above is what git itself does, but that é is two characters to it.
func TestGitAgreesOnWhatIsLeftOut(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	for _, test := range ignoreCases {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			plant(t, dir, test.files)
			git := func(args ...string) []byte {
				command := exec.CommandContext(t.Context(), "git", args...)
				command.Dir = dir
				command.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
				out, err := command.Output()
				if err != nil {
					t.Fatal(err)
				}
				return out
			}
			git("init", "-q", ".")
			listed := strings.Split(strings.TrimSuffix(string(git("ls-files", "-z", "--others", "--exclude-standard")), "\x00"), "\x00")
			listed = slices.DeleteFunc(listed, func(name string) bool { return name == "eèf" })
			slices.Sort(listed)
			if diff := cmp.Diff(test.want, listed); diff != "" {
				t.Errorf("(-want +git)\n%s", diff)
			}
		})
	}
}

func TestVhignoreHasTheLastWordInItsDirectory(t *testing.T) {
	dir := t.TempDir()
	plant(t, dir, map[string]string{
		".gitignore": "*.bin\n", ".vhignore": "!model.bin\nnotes/\n", "model.bin": "", "other.bin": "", "notes/x": "",
		"a/.vhignore": "y\n", "a/y": "", "a/z": "",
	})
	want := []string{".gitignore", ".vhignore", "a/.vhignore", "a/z", "model.bin"}
	if diff := cmp.Diff(want, packedNames(t, dir)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestTheRepositoryAroundTheProjectCounts(t *testing.T) {
	top := t.TempDir()
	plant(t, top, map[string]string{
		".git/info/exclude": "excluded\n", ".gitignore": ".env\n/project/sub/deep\nproject/\n", "project/.gitignore": "!kept.env\n*.env\n",
		"project/sub/main.py": "", "project/sub/.env": "", "project/sub/excluded": "", "project/sub/deep": "", "project/sub/x/deep": "",
		"project/sub/a.env": "",
	})
	want := []string{"main.py", "x/deep"}
	if diff := cmp.Diff(want, packedNames(t, filepath.Join(top, "project", "sub"))); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestVersionControlIsNeverPacked(t *testing.T) {
	dir := t.TempDir()
	plant(t, dir, map[string]string{
		".gitignore": "!.git\n!.git/**\n", ".git/config": "password", ".hg/x": "", ".svn/x": "", "sub/.git/x": "", "module/.git": "gitdir: ../x",
		"x": "",
	})
	if diff := cmp.Diff([]string{".gitignore", "x"}, packedNames(t, dir)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestAnIgnoreFileThatIsALinkSaysNothing(t *testing.T) {
	dir := t.TempDir()
	plant(t, dir, map[string]string{"rules": "x\n", "x": ""})
	if err := os.Symlink("rules", filepath.Join(dir, ".gitignore")); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{".gitignore -> rules", "rules", "x"}, packedNames(t, dir)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestAnIgnoreFileOfAbsurdLengthIsRefused(t *testing.T) {
	dir := t.TempDir()
	plant(t, dir, map[string]string{".gitignore": strings.Repeat("x", 1<<20+1)})
	_, err := source.Pack(t.Context(), dir, &bytes.Buffer{}, source.Options{})
	if fault.From(err).Code != "source_ignore_too_large" {
		t.Errorf("Pack = %v", err)
	}
}

// FuzzIgnore feeds ignore files that no person writes.
func FuzzIgnore(f *testing.F) {
	for _, test := range ignoreCases {
		f.Add(test.files[".gitignore"])
	}
	f.Fuzz(func(t *testing.T, text string) {
		dir := t.TempDir()
		plant(t, dir, map[string]string{".vhignore": text, "a/b/c.py": "", "é]-/x": ""})
		_, err := source.Pack(t.Context(), dir, &bytes.Buffer{}, source.Options{})
		if code := fault.From(err); err != nil && code.Code != "source_empty" && code.Code != "source_ignore_too_large" {
			t.Fatal(err)
		}
	})
}
