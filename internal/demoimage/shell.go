package demoimage

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"fairlead.dev/fairlead/internal/fault"
)

const shellPackage = "fairlead.dev/fairlead/internal/demoimage/shell"

// embedded holds the shell if the build put it there.
//
//go:embed embedded
var embedded embed.FS

// sources name what the shell is built from, so that an old one is not reused.
//
//go:embed shell/*.go
var sources embed.FS

// Shell is the static Linux program of the images, for the architecture that
// this process runs on. It is the embedded one if the build put one there.
// Otherwise it is built with the go command from this module and kept in the
// user's cache directory; that takes some seconds the first time, and ctx ends it.
func Shell(ctx context.Context) ([]byte, error) {
	program, err := embeddedShell()
	if !errors.Is(err, fs.ErrNotExist) {
		return program, err
	}
	path, err := cachePath()
	if err != nil {
		return nil, err
	}
	if program, err := os.ReadFile(path); err == nil { // our own cache
		return program, nil
	}
	if err := buildShell(ctx, path); err != nil {
		return nil, fault.New(fault.Unavailable, "demo_shell_missing", "this build of Fairlead holds no shell for its demo images, and it could not be built").
			WithHint("Build Fairlead with `make`, which embeds it, or run in a checkout with the go command.").WithCause(err)
	}
	return os.ReadFile(path) // our own cache
}

func embeddedShell() ([]byte, error) {
	file, err := embedded.Open("embedded/sh-linux-" + runtime.GOARCH + ".gz")
	if err != nil {
		return nil, err
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		return nil, fmt.Errorf("embedded shell: %w", err)
	}
	return io.ReadAll(unzipped)
}

// cachePath is where the shell of these very sources and this Go lies, built.
func cachePath() (string, error) {
	hash := sha256.New()
	fmt.Fprintln(hash, runtime.Version(), runtime.GOARCH)
	err := fs.WalkDir(sources, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := sources.ReadFile(path)
		fmt.Fprintln(hash, path, len(text))
		hash.Write(text)
		return err
	})
	if err != nil {
		return "", err
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir()
	}
	name := "sh-linux-" + runtime.GOARCH + "-" + hex.EncodeToString(hash.Sum(nil)[:12])
	return filepath.Join(dir, "fairlead", "demoimage", name), nil
}

// buildShell builds the shell to path; a path that exists is a whole program.
func buildShell(ctx context.Context, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	scratch, err := os.MkdirTemp(filepath.Dir(path), "building-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	built := filepath.Join(scratch, "sh")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", built, shellPackage) //nolint:gosec // fixed words
	cmd.Dir = moduleDir()
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+runtime.GOARCH, "GOFLAGS=-mod=readonly -buildvcs=false")
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s: %w: %s", shellPackage, err, bytes.TrimSpace(output))
	}
	return os.Rename(built, path)
}

// moduleDir is where this source file was compiled, and the working directory
// ("") if that is not here any more.
func moduleDir() string {
	_, file, _, ok := runtime.Caller(0)
	if !ok || !filepath.IsAbs(file) {
		return ""
	}
	if info, err := os.Stat(filepath.Dir(file)); err != nil || !info.IsDir() {
		return ""
	}
	return filepath.Dir(file)
}
