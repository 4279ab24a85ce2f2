package gitfetch_test

import (
	"encoding/hex"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// raw is a hash as a tree holds it.
func raw(hash string) string {
	text, _ := hex.DecodeString(hash)
	return string(text)
}

// rawObject writes an object that git would not make.
func rawObject(t *testing.T, r repository, kind, content string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), "git", "hash-object", "--literally", "-w", "--stdin", "-t", kind)
	command.Dir, command.Env, command.Stdin = r.dir, append(os.Environ(), gitEnvironment...), strings.NewReader(content)
	hash, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(hash))
}

// rawCommit commits a tree that git would not make.
func rawCommit(t *testing.T, r repository, tree string) string {
	t.Helper()
	return r.git("commit-tree", rawObject(t, r, "tree", tree), "-m", "raw")
}
