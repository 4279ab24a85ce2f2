package gitfetch_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/gitfetch"
	"fairlead.dev/fairlead/internal/secret"
)

// token is what the private host takes.
const token = "ghp_right0hunter2"

// gitEnvironment keeps the configuration of this machine out of git, and makes
// commits the same at every run.
var gitEnvironment = []string{
	"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
	"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.com", "GIT_AUTHOR_DATE=2026-01-02T03:04:05Z",
	"GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.com", "GIT_COMMITTER_DATE=2026-01-02T03:04:05Z",
}

// git runs git in a directory and returns what it prints.
func git(t testing.TB, dir string, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), "git", args...)
	command.Dir, command.Env = dir, append(os.Environ(), gitEnvironment...)
	text, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, text)
	}
	return strings.TrimSpace(string(text))
}

// repository is a repository of a host, which the test writes to directly.
type repository struct {
	t   testing.TB
	dir string
}

// newRepository makes root/name with one commit on the branch main.
func newRepository(t testing.TB, root, name string) repository {
	t.Helper()
	r := repository{t, filepath.Join(root, name)}
	git(t, root, "init", "-q", "-b", "main", r.dir)
	r.commit("first", map[string]string{"valohai.yaml": "- step: {name: train}\n"})
	return r
}

func (r repository) git(args ...string) string {
	r.t.Helper()
	return git(r.t, r.dir, args...)
}

func (r repository) write(files map[string]string) {
	r.t.Helper()
	for name, text := range files {
		path := filepath.Join(r.dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			r.t.Fatal(err)
		}
	}
}

// commit writes files and commits all that is there.
func (r repository) commit(message string, files map[string]string) string {
	r.t.Helper()
	r.write(files)
	r.git("add", "-A", "-f")
	r.git("commit", "-q", "--allow-empty", "-m", message)
	return r.git("rev-parse", "HEAD")
}

// webHost serves the repositories below root over https, with git's own server.
type webHost struct {
	root   string
	server *httptest.Server

	// first sees each request before git does, and answers it itself if it
	// returns true.
	first atomic.Pointer[func(w http.ResponseWriter, r *http.Request) bool]
}

// before lets answer, or nobody, see each request first from now on.
func (h *webHost) before(answer func(w http.ResponseWriter, r *http.Request) bool) {
	if answer == nil {
		answer = func(http.ResponseWriter, *http.Request) bool { return false }
	}
	h.first.Store(&answer)
}

func newWebHost(t testing.TB, private bool) *webHost {
	t.Helper()
	h := &webHost{root: t.TempDir()}
	h.before(nil)
	backend := &cgi.Handler{
		Path: filepath.Join(git(t, ".", "--exec-path"), "git-http-backend"),
		Env:  append([]string{"GIT_PROJECT_ROOT=" + h.root, "GIT_HTTP_EXPORT_ALL=1"}, gitEnvironment...),
	}
	h.server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if (*h.first.Load())(w, r) {
			return
		}
		if _, password, _ := r.BasicAuth(); private && password != token {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			http.Error(w, "no: "+r.Header.Get("Authorization")+password, http.StatusUnauthorized)
			return
		}
		backend.ServeHTTP(w, r)
	}))
	t.Cleanup(h.server.Close)
	return h
}

func (h *webHost) url(name string) string { return h.server.URL + "/" + name }

// remote is a repository of the host, with the right token.
func (h *webHost) remote(name string) gitfetch.Remote {
	return gitfetch.Remote{URL: h.url(name), Token: secret.New(token)}
}

// fetcher starts a Fetcher that trusts the hosts.
func fetcher(t testing.TB, config gitfetch.Config, hosts ...*webHost) *gitfetch.Fetcher {
	t.Helper()
	if config.Dir == "" {
		config.Dir = filepath.Join(t.TempDir(), "repositories")
	}
	config.RootCAs = x509.NewCertPool()
	for _, h := range hosts {
		config.RootCAs.AddCert(h.server.Certificate())
	}
	f, err := gitfetch.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

// sshHost serves the repositories below root over ssh, with git-upload-pack.
type sshHost struct {
	t        testing.TB
	root     string
	listener net.Listener
	config   *ssh.ServerConfig
	key      ssh.PublicKey // of the host
	login    secret.Text   // the private key that it takes
	onLogin  atomic.Pointer[func()]
	running  sync.WaitGroup
}

// newKey makes a key pair.
func newKey(t testing.TB) (ssh.Signer, secret.Text) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer, secret.New(string(pem.EncodeToMemory(block)))
}

func newSSHHost(t testing.TB) *sshHost {
	t.Helper()
	h := &sshHost{t: t, root: t.TempDir()}
	hostKey, _ := newKey(t)
	user, login := newKey(t)
	h.key, h.login = hostKey.PublicKey(), login
	h.config = &ssh.ServerConfig{PublicKeyCallback: func(c ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if hear := h.onLogin.Load(); hear != nil {
			(*hear)()
		}
		if c.User() != "git" || !bytes.Equal(key.Marshal(), user.PublicKey().Marshal()) {
			return nil, errors.New("unknown key")
		}
		return &ssh.Permissions{}, nil
	}}
	h.config.AddHostKey(hostKey)
	var err error
	if h.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	h.running.Go(h.serve)
	t.Cleanup(func() {
		_ = h.listener.Close()
		h.running.Wait()
	})
	return h
}

func (h *sshHost) serve() {
	for {
		conn, err := h.listener.Accept()
		if err != nil {
			return
		}
		h.running.Go(func() {
			defer func() { _ = conn.Close() }()
			_, channels, requests, err := ssh.NewServerConn(conn, h.config)
			if err != nil {
				return
			}
			h.running.Go(func() { ssh.DiscardRequests(requests) })
			for offered := range channels {
				channel, requests, err := offered.Accept()
				if err != nil {
					return
				}
				h.running.Go(func() { h.run(channel, requests) })
			}
		})
	}
}

// run runs the command that a client asks for, with a shell as sshd does.
func (h *sshHost) run(channel ssh.Channel, requests <-chan *ssh.Request) {
	defer func() { _ = channel.Close() }()
	for request := range requests {
		var asked struct{ Command string }
		if request.Type != "exec" || ssh.Unmarshal(request.Payload, &asked) != nil {
			_ = request.Reply(false, nil)
			continue
		}
		_ = request.Reply(true, nil)
		command := exec.Command("sh", "-c", asked.Command)
		command.Dir, command.Env = h.root, append(os.Environ(), gitEnvironment...)
		in, err := command.StdinPipe()
		if err != nil {
			return
		}
		command.Stdout, command.Stderr = channel, channel.Stderr()
		if err := command.Start(); err != nil {
			return
		}
		h.running.Go(func() { // ends when the client closes its side
			_, _ = io.Copy(in, channel)
			_ = in.Close()
		})
		code := uint32(0)
		if err := command.Wait(); err != nil {
			code = uint32(command.ProcessState.ExitCode())
		}
		_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{code}))
		return
	}
}

// remote is a repository of the host, with the right key and known host.
func (h *sshHost) remote(name string) gitfetch.Remote {
	address := h.listener.Addr().String()
	return gitfetch.Remote{
		URL: fmt.Sprintf("ssh://git@%s%s/%s", address, h.root, name), SSHKey: h.login,
		KnownHosts: knownhosts.Line([]string{knownhosts.Normalize(address)}, h.key),
	}
}

// wantFault looks for a fault of that kind and code, that tells no secret and
// says what to do next.
func wantFault(t testing.TB, err error, kind fault.Kind, code string) *fault.Error {
	t.Helper()
	f := fault.From(err)
	if f == nil || f.Kind != kind || f.Code != code {
		t.Fatalf("got %v, want a fault %s %s", err, kind, code)
	}
	if f.Hint == "" {
		t.Errorf("no next step in %q", f.Message)
	}
	for _, text := range []string{f.Error(), f.Sentence()} {
		if strings.Contains(text, token) || strings.Contains(text, "hunter2") || strings.Contains(text, "PRIVATE KEY") {
			t.Errorf("a secret in %q", text)
		}
	}
	return f
}
