package gitfetch_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/gitfetch"
	"fairlead.dev/fairlead/internal/secret"
)

func TestAWrongTokenIsToldApartFromAMissingRepository(t *testing.T) {
	h := newWebHost(t, true)
	newRepository(t, h.root, "a")
	f := fetcher(t, gitfetch.Config{}, h)

	remote := h.remote("a")
	remote.Token = secret.New("wrong-hunter2")
	_, err := f.Fetch(t.Context(), remote)
	wantFault(t, err, fault.Unauthenticated, "git_login_refused")

	remote.Token = secret.Text{}
	_, err = f.Fetch(t.Context(), remote)
	wantFault(t, err, fault.Unauthenticated, "git_login_refused")

	_, err = f.Fetch(t.Context(), h.remote("missing"))
	wantFault(t, err, fault.NotFound, "git_repository_unknown")
}

func TestAWrongKeyIsToldApartFromAMissingRepository(t *testing.T) {
	h := newSSHHost(t)
	newRepository(t, h.root, "a")
	f := fetcher(t, gitfetch.Config{})

	remote := h.remote("a")
	_, remote.SSHKey = newKey(t)
	_, err := f.Fetch(t.Context(), remote)
	wantFault(t, err, fault.Unauthenticated, "git_login_refused")

	_, err = f.Fetch(t.Context(), h.remote("missing"))
	wantFault(t, err, fault.NotFound, "git_repository_unknown")

	// No part of a path is a command of the far side's shell.
	_, err = f.Fetch(t.Context(), h.remote("a';echo${IFS}hunter3;'"))
	wantFault(t, err, fault.NotFound, "git_repository_unknown")
}

func TestWhatTheHostAnswersIsExplained(t *testing.T) {
	h := newWebHost(t, false)
	newRepository(t, h.root, "a")
	f := fetcher(t, gitfetch.Config{}, h)
	for code, want := range map[int]struct {
		kind fault.Kind
		code string
	}{
		401: {fault.Unauthenticated, "git_login_refused"}, 403: {fault.Denied, "git_denied"}, 404: {fault.NotFound, "git_repository_unknown"},
		429: {fault.Unavailable, "git_unreachable"}, 503: {fault.Unavailable, "git_unreachable"}, 400: {fault.Invalid, "git_not_a_repository"},
		200: {fault.Invalid, "git_not_a_repository"},
	} {
		h.before(func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Retry-After", "17")
			w.WriteHeader(code)
			_, password, _ := r.BasicAuth()
			_, _ = io.WriteString(w, "<html>"+password)
			return true
		})
		_, err := f.Fetch(t.Context(), h.remote("a"))
		got := wantFault(t, err, want.kind, want.code)
		if code == 429 && got.RetryAfter != 17*time.Second {
			t.Errorf("to wait: %s", got.RetryAfter)
		}
	}
	h.before(func(w http.ResponseWriter, r *http.Request) bool { // says that it is git, and is not
		_, password, _ := r.BasicAuth()
		w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
		_, _ = io.WriteString(w, "0010ERR "+password)
		return true
	})
	_, err := f.Fetch(t.Context(), h.remote("a"))
	wantFault(t, err, fault.Unavailable, "git_unreachable")

	remote := h.remote("a")
	h.server.Close()
	_, err = f.Fetch(t.Context(), remote)
	wantFault(t, err, fault.Unavailable, "git_unreachable")
}

func TestACertificateOfAnUnknownAuthorityIsRefused(t *testing.T) {
	h := newWebHost(t, false)
	_, err := fetcher(t, gitfetch.Config{}).Fetch(t.Context(), h.remote("a"))
	wantFault(t, err, fault.Unavailable, "git_certificate")
}

func TestARedirectTakesTheTokenToNoOtherHost(t *testing.T) {
	h, other := newWebHost(t, true), newWebHost(t, false)
	newRepository(t, h.root, "new")
	newRepository(t, other.root, "new")
	var visits atomic.Int32
	other.before(func(_ http.ResponseWriter, _ *http.Request) bool {
		visits.Add(1)
		return false
	})
	f := fetcher(t, gitfetch.Config{}, h, other)
	var target string
	h.before(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, "/old") {
			return false
		}
		http.Redirect(w, r, target+strings.TrimPrefix(r.URL.RequestURI(), "/old"), http.StatusMovedPermanently)
		return true
	})
	for _, target = range []string{other.url("new"), strings.Replace(h.url("new"), "https:", "http:", 1), strings.Replace(h.url("new"), "127.0.0.1", "localhost", 1)} {
		_, err := f.Fetch(t.Context(), h.remote("old"))
		wantFault(t, err, fault.Invalid, "git_moved")
	}
	if visits.Load() > 0 {
		t.Error("the other host was asked")
	}
	target = h.url("new") // renamed at the same host
	if refs := mustFetch(t, f, h.remote("old")); len(refs) != 1 {
		t.Errorf("got %v", refs)
	}
	target = h.url("old")
	_, err := f.Fetch(t.Context(), h.remote("old"))
	wantFault(t, err, fault.Invalid, "git_not_a_repository")
}

func TestTheKeyOfAnSSHHostIsLookedAtFirst(t *testing.T) {
	h := newSSHHost(t)
	newRepository(t, h.root, "a")
	f := fetcher(t, gitfetch.Config{})
	var logins atomic.Int32
	hear := func() { logins.Add(1) }
	h.onLogin.Store(&hear)
	address := knownhosts.Normalize(h.listener.Addr().String())
	right := h.remote("a").KnownHosts
	other, _ := newKey(t)
	hashed := knownhosts.HashHostname(address) + " " + strings.SplitN(right, " ", 2)[1]
	for lines, want := range map[string]string{
		"":              "git_host_key_unknown",
		"# a comment\n": "git_host_key_unknown",
		"example.com " + strings.SplitN(right, " ", 2)[1]:     "git_host_key_unknown",
		knownhosts.Line([]string{address}, other.PublicKey()): "git_host_key_changed",
		"@revoked " + right + "\n" + right:                    "git_host_key_changed",
		address + " ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEmKSENjQEezOmxkZMy7opKgwFB9nkt5YRrYMjNuG5N87uRgg6CLrbo5wAdT/y6v0mKV0U2w0WZ2YB/++Tpockg=": "git_host_key_changed",
	} {
		remote := h.remote("a")
		remote.KnownHosts = lines
		_, err := f.Fetch(t.Context(), remote)
		kind := fault.Invalid
		if want == "git_host_key_changed" {
			kind = fault.Denied
		}
		got := wantFault(t, err, kind, want)
		if !strings.Contains(got.Hint, "ssh-keyscan -p ") {
			t.Errorf("%q does not say how to get the key", got.Hint)
		}
		if want == "git_host_key_unknown" && !strings.Contains(got.Message, ssh.FingerprintSHA256(h.key)) {
			t.Errorf("%q does not say which key it was", got.Message)
		}
	}
	if logins.Load() > 0 {
		t.Error("a login was tried at a host that is not known")
	}
	for _, lines := range []string{right, hashed, knownhosts.Line([]string{address}, other.PublicKey()) + "\n" + right} {
		remote := h.remote("a")
		remote.KnownHosts = lines
		if refs := mustFetch(t, f, remote); len(refs) != 1 {
			t.Errorf("got %v", refs)
		}
	}
}

func TestACopyIsGivenToNoLoginThatTheHostDoesNotLetIn(t *testing.T) {
	h := newWebHost(t, true)
	r := newRepository(t, h.root, "a")
	commit := r.git("rev-parse", "HEAD")
	f := fetcher(t, gitfetch.Config{}, h)
	now := time.Now()
	f.SetNow(func() time.Time { return now })
	var visits atomic.Int32
	h.before(func(http.ResponseWriter, *http.Request) bool {
		visits.Add(1)
		return false
	})
	packed(t, f, h.remote("a"), commit)
	after := visits.Load()
	packed(t, f, h.remote("a"), commit)
	mustResolve(t, f, h.remote("a"), commit[:8])
	if visits.Load() != after {
		t.Error("the host was asked again for a commit that is here")
	}

	for _, wrong := range []secret.Text{secret.New("wrong"), {}} {
		remote := h.remote("a")
		remote.Token = wrong
		_, err := f.Pack(t.Context(), remote, commit, io.Discard)
		wantFault(t, err, fault.Unauthenticated, "git_login_refused")
		_, err = f.Resolve(t.Context(), remote, commit)
		wantFault(t, err, fault.Unauthenticated, "git_login_refused")
	}

	now = now.Add(gitfetch.ProofLives)
	before := visits.Load()
	packed(t, f, h.remote("a"), commit)
	if visits.Load() == before {
		t.Error("the right to a copy does not end")
	}
	h.before(func(w http.ResponseWriter, _ *http.Request) bool { // revoked
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
	_, err := f.Fetch(t.Context(), h.remote("a"))
	wantFault(t, err, fault.Unauthenticated, "git_login_refused")
	_, err = f.Pack(t.Context(), h.remote("a"), commit, io.Discard)
	wantFault(t, err, fault.Unauthenticated, "git_login_refused")
}

func TestEveryConnectionGoesThroughTheDialer(t *testing.T) {
	web, shell := newWebHost(t, true), newSSHHost(t)
	newRepository(t, web.root, "a")
	newRepository(t, shell.root, "a")
	refuse := errors.New("not to there")
	f := fetcher(t, gitfetch.Config{Dial: func(context.Context, string, string) (net.Conn, error) { return nil, refuse }}, web)
	for _, remote := range []gitfetch.Remote{web.remote("a"), shell.remote("a")} {
		_, err := f.Fetch(t.Context(), remote)
		wantFault(t, err, fault.Unavailable, "git_unreachable")
	}
	own := fault.New(fault.Denied, "address_refused", "not to there").WithHint("Ask the operator.")
	f = fetcher(t, gitfetch.Config{Dial: func(context.Context, string, string) (net.Conn, error) { return nil, own }}, web)
	for _, remote := range []gitfetch.Remote{web.remote("a"), shell.remote("a")} {
		_, err := f.Fetch(t.Context(), remote)
		wantFault(t, err, fault.Denied, "address_refused")
	}
}

func TestARemoteIsCheckedFieldByField(t *testing.T) {
	_, key := newKey(t)
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte("hunter2"))
	if err != nil {
		t.Fatal(err)
	}
	locked := secret.New(string(pem.EncodeToMemory(block)))
	https, shell := "https://github.com/a/b.git", "git@github.com:a/b.git"
	for _, good := range []gitfetch.Remote{
		{URL: https},
		{URL: https, Token: secret.New("t")},
		{URL: https, Username: "u", Token: secret.New("t")},
		{URL: "http://127.0.0.1:99/a"},
		{URL: shell, SSHKey: key},
		{URL: "ssh://git@github.com:2222/a/b", SSHKey: key, KnownHosts: "# none\n"},
		{URL: "git@[::1]:a", SSHKey: key},
		{URL: "https://[::1]:8443/a%20b"},
		{URL: "ssh://host/~ada/b", SSHKey: key},
	} {
		if err := gitfetch.Check(good); err != nil {
			t.Errorf("%s: %v", good.URL, err)
		}
	}
	for _, text := range []string{
		"", "file:///etc", "/etc", "./a", "../a", "a", "host:path", "ext::sh -c x", "ext::x@y", "x@ext::y", "git://github.com/a", "ftp://h/a",
		"https://ada:hunter2@github.com/a", "https://hunter2@github.com/a", "ssh://git:hunter2@github.com/a", "https://github.com", "https:///a",
		"https://github.com/a?x=hunter2", "https://github.com/a#b", "http://github.com/a", "https://h:0/a", "https://h:70000/a", "https://h/a\nb",
		"ssh://git@h/a%0ab", "ssh://-oProxyCommand=x/a", "git@h:-x", "-x@h:a", "https://h_<>/a", "https://[fe80::1%25eth0]/a", "C:\\a@b:c",
		"https://" + strings.Repeat("x", 3000), "https://h/%zz-hunter2",
	} {
		err := gitfetch.Check(gitfetch.Remote{URL: text})
		if f := wantFault(t, err, fault.Invalid, "git_url"); len(f.Fields) != 1 || f.Fields[0].Name != "url" || f.Fields[0].Code != "git_url" {
			t.Errorf("%q: %+v", text, f)
		}
	}
	for _, bad := range []struct {
		remote gitfetch.Remote
		field  string
	}{
		{gitfetch.Remote{URL: https, Token: secret.New("t"), SSHKey: key}, "token"},
		{gitfetch.Remote{URL: https, SSHKey: key}, "ssh_key"},
		{gitfetch.Remote{URL: https, Username: "u"}, "username"},
		{gitfetch.Remote{URL: https, Username: "a:b", Token: secret.New("t")}, "username"},
		{gitfetch.Remote{URL: https, Token: secret.New("hunter2\n")}, "token"},
		{gitfetch.Remote{URL: shell}, "ssh_key"},
		{gitfetch.Remote{URL: shell, Token: secret.New("t")}, "token"},
		{gitfetch.Remote{URL: shell, SSHKey: secret.New("hunter2")}, "ssh_key"},
		{gitfetch.Remote{URL: shell, SSHKey: locked}, "ssh_key"},
		{gitfetch.Remote{URL: shell, SSHKey: key, KnownHosts: "github.com nonsense"}, "known_hosts"},
		{gitfetch.Remote{URL: shell, SSHKey: key, KnownHosts: strings.Repeat("#\n", 64<<10)}, "known_hosts"},
	} {
		err := gitfetch.Check(bad.remote)
		f := fault.From(err)
		if f == nil || f.Kind != fault.Invalid || len(f.Fields) == 0 || f.Fields[0].Name != bad.field || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("got %v, want a finding of %s", err, bad.field)
		}
	}
}

func TestPlainHTTPIsRefusedUnlessItIsAllowed(t *testing.T) {
	remote := gitfetch.Remote{URL: "http://127.0.0.1:1/a"}
	_, err := fetcher(t, gitfetch.Config{}).Fetch(t.Context(), remote)
	wantFault(t, err, fault.Invalid, "git_url")
	_, err = fetcher(t, gitfetch.Config{AllowPlain: true}).Fetch(t.Context(), remote)
	wantFault(t, err, fault.Unavailable, "git_unreachable")
}
