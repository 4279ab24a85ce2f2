// Package gittest is a git host for tests: git's own server program behind TLS
// and a login. It needs git, as whoever cloned this module has.
package gittest

import (
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/cgi" //nolint:gosec // a test server of this Go version, which knows of httpoxy
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Host is a git host over https, whose repositories only its token reads. It
// ends with its test.
type Host struct {
	server *httptest.Server
	root   string
}

// New starts a host whose repositories want that token.
func New(t testing.TB, token string) *Host {
	t.Helper()
	h := &Host{root: t.TempDir()}
	program, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	backend := &cgi.Handler{
		Path: program, Args: []string{"http-backend"},
		Env: append([]string{"GIT_PROJECT_ROOT=" + h.root, "GIT_HTTP_EXPORT_ALL=1"}, quiet...),
	}
	h.server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password != token {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		backend.ServeHTTP(w, r)
	}))
	t.Cleanup(h.server.Close)
	return h
}

// Address is the host's HOST:PORT.
func (h *Host) Address() string { return h.server.Listener.Addr().String() }

// URL is the address of a repository.
func (h *Host) URL(repository string) string { return h.server.URL + "/" + repository }

// CA is the certificate that the host is trusted by, in PEM.
func (h *Host) CA() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.server.Certificate().Raw})
}

// Commit writes the files into a repository, which is made where it is not
// there, on its branch, and returns the commit's hash.
func (h *Host) Commit(t testing.TB, repository, branch, message string, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(h.root, repository)
	if _, err := os.Stat(dir); err != nil {
		run(t, h.root, "init", "-q", "-b", branch, dir)
	} else if run(t, dir, "branch", "--show-current") != branch {
		run(t, dir, "checkout", "-q", "-B", branch)
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	run(t, dir, "add", "-A")
	run(t, dir, "commit", "-q", "-m", message)
	return run(t, dir, "rev-parse", "HEAD")
}

// quiet keeps the configuration of this machine out of git.
var quiet = []string{
	"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
	"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.com", "GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.com",
}

func run(t testing.TB, dir string, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), "git", args...) //nolint:gosec // a test says which command of git
	command.Dir, command.Env = dir, append(os.Environ(), quiet...)
	text, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, text)
	}
	return strings.TrimSpace(string(text))
}
