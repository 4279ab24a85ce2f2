package gitfetch_test

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/gitfetch"
	"fairlead.dev/fairlead/internal/secret"
)

// files are the files of a kind in the copies below dir.
func files(t *testing.T, dir, pattern string) []string {
	t.Helper()
	var all []string
	for _, depth := range []string{"*", "*/*", "*/*/*", "*/*/*/*"} {
		found, err := filepath.Glob(filepath.Join(dir, depth))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			if match, _ := filepath.Match(pattern, filepath.Base(path)); match {
				all = append(all, path)
			}
		}
	}
	return all
}

func TestABrokenCopyIsMadeAnew(t *testing.T) {
	h := newWebHost(t, true)
	r := newRepository(t, h.root, "a")
	commit := r.git("rev-parse", "HEAD")
	for name, harm := range map[string]func(path string) error{
		"state.json empty":   func(path string) error { return os.Truncate(path, 0) },
		"state.json half":    func(path string) error { return os.Truncate(path, 10) },
		"state.json removed": os.Remove,
		"*.pack removed":     os.Remove,
		"*.idx removed":      os.Remove,
		"*.pack empty":       func(path string) error { return os.Truncate(path, 0) },
		"*.idx empty":        func(path string) error { return os.Truncate(path, 0) },
		"*.idx half":         func(path string) error { return os.Truncate(path, 500) },
		"pack removed":       os.RemoveAll, // the directory
	} {
		t.Run(strings.ReplaceAll(name, "*", ""), func(t *testing.T) {
			dir := t.TempDir()
			f := fetcher(t, gitfetch.Config{Dir: dir}, h)
			want := packed(t, f, h.remote("a"), commit)
			pattern, _, _ := strings.Cut(name, " ")
			found := files(t, dir, pattern)
			if len(found) != 1 {
				t.Fatalf("found %q", found)
			}
			if err := harm(found[0]); err != nil {
				t.Fatal(err)
			}
			// A fetch comes first, or packing does, and either mends it.
			if name != "*.pack removed" {
				if refs := mustFetch(t, f, h.remote("a")); len(refs) != 1 || refs[0].Commit != commit {
					t.Errorf("got %v", refs)
				}
			}
			if got := packed(t, f, h.remote("a"), commit); string(got) != string(want) {
				t.Error("the package is another one")
			}
		})
	}
}

func TestACopyThatRotsIsMadeAnewAfterItWasNoticed(t *testing.T) {
	h := newWebHost(t, true)
	r := newRepository(t, h.root, "a")
	commit := r.commit("long", map[string]string{"a": strings.Repeat(fmt.Sprintln("some text that is longer than a pointer"), 100)})
	dir := t.TempDir()
	f := fetcher(t, gitfetch.Config{Dir: dir}, h)
	want := packed(t, f, h.remote("a"), commit)
	pack := files(t, dir, "*.pack")[0]
	text, err := os.ReadFile(pack)
	if err != nil {
		t.Fatal(err)
	}
	for at := len(text) - 70; at < len(text)-20; at++ {
		text[at] ^= 0xff
	}
	if err := os.WriteFile(pack, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Pack(t.Context(), h.remote("a"), commit, io.Discard); err != nil {
		wantFault(t, err, fault.Unavailable, "git_copy_broken")
	}
	if got := packed(t, f, h.remote("a"), commit); string(got) != string(want) {
		t.Error("the package is another one")
	}
}

func TestManySmallFetchesAreMadeOneCopyAgain(t *testing.T) {
	h := newWebHost(t, true)
	r := newRepository(t, h.root, "a")
	dir := t.TempDir()
	f := fetcher(t, gitfetch.Config{Dir: dir}, h)
	most := 0
	for i := range 45 {
		commit := r.commit("more", map[string]string{"a": strconv.Itoa(i)})
		if refs := mustFetch(t, f, h.remote("a")); refs[0].Commit != commit {
			t.Fatalf("got %v, want %s", refs, commit)
		}
		most = max(most, len(files(t, dir, "*.pack")))
	}
	if packs := len(files(t, dir, "*.pack")); packs >= most || most > 41 {
		t.Errorf("there are %d packs, at most there were %d", packs, most)
	}
	if left := files(t, dir, "*.old-*"); len(left) > 0 {
		t.Errorf("left over: %q", left)
	}
}

func TestAForgottenCopyIsGone(t *testing.T) {
	h := newWebHost(t, true)
	r := newRepository(t, h.root, "a")
	dir := t.TempDir()
	f := fetcher(t, gitfetch.Config{Dir: dir}, h)
	for range 2 {
		packed(t, f, h.remote("a"), r.git("rev-parse", "HEAD"))
		if err := f.Forget(t.Context(), h.remote("a")); err != nil {
			t.Fatal(err)
		}
		if left := files(t, dir, "*"); len(left) > 0 {
			t.Errorf("left over: %q", left)
		}
	}
}

// The child of TestAFetchThatWasKilledIsRepaired fetches until it is killed.
func TestMain(m *testing.M) {
	if url := os.Getenv("FETCH_AND_BE_KILLED"); url != "" {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM([]byte(os.Getenv("FETCH_ROOTS")))
		f, err := gitfetch.New(gitfetch.Config{Dir: os.Getenv("FETCH_DIR"), RootCAs: roots})
		if err == nil {
			_, err = f.Fetch(context.Background(), gitfetch.Remote{URL: url, Token: secret.New(token)})
		}
		fmt.Println("it was not killed:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func TestAFetchThatWasKilledIsRepaired(t *testing.T) {
	h := newWebHost(t, true)
	r := newRepository(t, h.root, "a")
	dir := t.TempDir()
	half := make(chan struct{}, 1)
	cut := func(w http.ResponseWriter, q *http.Request) bool {
		if !strings.HasSuffix(q.URL.Path, "/git-upload-pack") {
			return false
		}
		_, _ = io.Copy(io.Discard, q.Body)
		w.Header().Set("Content-Type", "application/x-git-upload-pack-result")
		_, _ = io.WriteString(w, "00000008NAK\n0011\x01PACK\x00\x00\x00\x02\x00\x00\x00\x09") // and no more
		// More progress than the network holds, so that the child read of the pack.
		_, _ = io.WriteString(w, strings.Repeat("fff0\x02"+strings.Repeat(".", 0xfff0-5), 512))
		half <- struct{}{}
		<-q.Context().Done()
		return true
	}
	for _, first := range []bool{true, false} { // of a clone, and of a later fetch
		commit := r.commit("more", map[string]string{"a": strconv.FormatBool(first)})
		h.before(cut)
		child := exec.CommandContext(t.Context(), os.Args[0])
		child.Env = append(os.Environ(), "FETCH_AND_BE_KILLED="+h.url("a"), "FETCH_DIR="+dir,
			"FETCH_ROOTS="+string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.server.Certificate().Raw})))
		output, err := child.StdoutPipe()
		if err := errors.Join(err, child.Start()); err != nil {
			t.Fatal(err)
		}
		ended := make(chan string, 1)
		go func() {
			line, _ := bufio.NewReader(output).ReadString('\n')
			ended <- line
		}()
		select {
		case <-half:
		case line := <-ended:
			t.Fatalf("the child ended: %s", line)
		}
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait() // killed
		h.before(nil)
		if len(files(t, dir, "incoming-*")) != 1 {
			t.Fatalf("the child left no half pack: %q", files(t, dir, "*"))
		}

		f := fetcher(t, gitfetch.Config{Dir: dir}, h)
		if refs := mustFetch(t, f, h.remote("a")); len(refs) != 1 || refs[0].Commit != commit {
			t.Errorf("got %v", refs)
		}
		packed(t, f, h.remote("a"), commit)
		if left := append(files(t, dir, "incoming-*"), files(t, dir, "*.new-*")...); len(left) > 0 {
			t.Errorf("left over: %q", left)
		}
	}
}
