package demoimage_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"fairlead.dev/fairlead/internal/demoimage"
)

func newImage(t *testing.T, opts demoimage.Options) v1.Image {
	t.Helper()
	image, err := demoimage.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func TestEqualOptionsGiveEqualDigestsAndValidLayers(t *testing.T) {
	opts := demoimage.Options{
		Files: map[string][]byte{"/opt/app/run": []byte("#!/bin/sh\n"), "data.txt": []byte("x")}, User: "trainer", Layers: 2,
	}
	first, second := newImage(t, opts), newImage(t, opts)
	one, err := first.Digest()
	if err != nil {
		t.Fatal(err)
	}
	two, err := second.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if one != two {
		t.Errorf("digests %s and %s differ", one, two)
	}
	layers, err := first.Layers()
	if err != nil || len(layers) != 4 {
		t.Errorf("%d layers (%v), want 4", len(layers), err)
	}
	for _, layer := range layers {
		if err := validate.Layer(layer); err != nil {
			t.Error(err)
		}
	}
}

func TestTheConfigurationSaysWhatTheOptionsSaid(t *testing.T) {
	config, err := newImage(t, demoimage.Options{
		Entrypoint: []string{"/bin/sh"}, Env: []string{"A=1"}, WorkingDir: "/work", User: "1000", Architecture: "arm64",
	}).ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	want := v1.Config{
		Entrypoint: []string{"/bin/sh"}, WorkingDir: "/work", User: "1000",
		Env: []string{"A=1", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
	}
	if diff := cmp.Diff(want, config.Config); diff != "" {
		t.Error(diff)
	}
	if config.Architecture != "arm64" || config.OS != "linux" {
		t.Errorf("platform %s/%s, want linux/arm64", config.OS, config.Architecture)
	}
}

func TestTheRootFilesystemHasTheShellTheUsersAndTheFiles(t *testing.T) {
	contents := mutate.Extract(newImage(t, demoimage.Options{Files: map[string][]byte{"/opt/run": []byte("#!/bin/sh\n")}}))
	defer contents.Close()
	found := map[string]tar.Header{}
	for reader := tar.NewReader(contents); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		found[strings.TrimSuffix(header.Name, "/")] = *header
	}
	for name, mode := range map[string]int64{"bin/sh": 0o755, "tmp": 0o1777, "opt/run": 0o755, "etc/passwd": 0o644, "bin/sleep": 0o777} {
		if header, ok := found[name]; !ok || header.Mode != mode {
			t.Errorf("%s: there %v, mode %o, want %o", name, ok, header.Mode, mode)
		}
	}
}

// installShell puts the shell where it can be run and gives its path under name.
func installShell(t *testing.T, name string) string {
	t.Helper()
	shell, err := demoimage.Shell(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, shell, 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTheShellRunsProgramsAsPOSIXSays(t *testing.T) {
	sh := installShell(t, "sh")
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("echo one\nfalse\necho two $1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		args []string
		out  string
		code int
	}{
		"a failing line of a script is passed over": {[]string{script, "x"}, "one\ntwo x\n", 0},
		"-e ends at a failing line":                 {[]string{"-e", script}, "one\n", 1},
		"-eu ends at an unset variable":             {[]string{"-eu", "-c", "echo $unset; echo no"}, "", 1},
		"-ec takes a text and its arguments":        {[]string{"-ec", "echo $0 $1", "name", "x"}, "name x\n", 0},
		"exit codes are the program's":              {[]string{"-c", "exit 42"}, "", 42},
		"an unknown command is 127":                 {[]string{"-c", "nonsense; echo $?"}, "127\n", 0},
		"pipes and functions work":                  {[]string{"-c", "f() { seq 5 | head -n 2; }; f | cat"}, "1\n2\n", 0},
		"a trap for EXIT is run":                    {[]string{"-c", "trap 'echo bye' EXIT; exit 3"}, "bye\n", 3},
		"a child's signal is 128 and its number":    {[]string{"-c", sh + " -c 'kill -9 $$'; echo $?"}, "137\n", 0},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			cmd := exec.Command(sh, test.args...)
			cmd.Stdout = &out
			err := cmd.Run()
			if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
				t.Fatal(err)
			}
			if code := cmd.ProcessState.ExitCode(); code != test.code || out.String() != test.out {
				t.Errorf("code %d, output %q; want %d, %q", code, out.String(), test.code, test.out)
			}
		})
	}
}

func TestTermEndsTheShellWith143AfterItsTrap(t *testing.T) {
	sh := installShell(t, "sh")
	for name, test := range map[string]struct {
		program, rest string
		code          int
	}{
		"by default":            {"echo ready; sleep 60", "", 143},
		"with a child":          {"echo ready; " + sh + " -c 'sleep 60'", "", 143},
		"with a trap":           {"trap 'echo bye' TERM; echo ready; sleep 60", "bye\n", 143},
		"with a trap that ends": {"trap 'echo bye; exit 7' TERM; echo ready; sleep 60", "bye\n", 7},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), sh, "-c", test.program)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			ready := make([]byte, len("ready\n"))
			if _, err := io.ReadFull(out, ready); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			rest, err := io.ReadAll(out)
			if err != nil {
				t.Fatal(err)
			}
			err = cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != test.code || string(rest) != test.rest {
				t.Errorf("code %d (%v), output %q; want %d, %q", code, err, rest, test.code, test.rest)
			}
		})
	}
}

func TestTheProgramIsTheCommandItIsCalledBy(t *testing.T) {
	out, err := exec.Command(installShell(t, "seq"), "3").Output()
	if err != nil || string(out) != "1\n2\n3\n" {
		t.Errorf("seq 3 = %q, %v", out, err)
	}
}
