package gitfetch_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/gitfetch"
)

func mustFetch(t *testing.T, f *gitfetch.Fetcher, r gitfetch.Remote) []gitfetch.Ref {
	t.Helper()
	refs, err := f.Fetch(t.Context(), r)
	if err != nil {
		t.Fatalf("fetching: %v", err)
	}
	return refs
}

// heads are refs as "name commit".
func heads(refs []gitfetch.Ref) []string {
	var all []string
	for _, ref := range refs {
		all = append(all, ref.Name+" "+ref.Commit)
	}
	return all
}

func mustResolve(t *testing.T, f *gitfetch.Fetcher, r gitfetch.Remote, rev string) gitfetch.Commit {
	t.Helper()
	found, err := f.Resolve(t.Context(), r, rev)
	if err != nil {
		t.Fatalf("resolving %s: %v", rev, err)
	}
	return found
}

// everyWay runs a test over https and over ssh.
func everyWay(t *testing.T, test func(t *testing.T, root string, f *gitfetch.Fetcher, remote gitfetch.Remote)) {
	t.Run("https", func(t *testing.T) {
		h := newWebHost(t, true)
		test(t, h.root, fetcher(t, gitfetch.Config{Depth: 3}, h), h.remote("team/model"))
	})
	t.Run("ssh", func(t *testing.T) {
		h := newSSHHost(t)
		test(t, h.root, fetcher(t, gitfetch.Config{Depth: 3}), h.remote("team/model"))
	})
}

func TestBranchesAndTagsAreListedWithTheirCommits(t *testing.T) {
	everyWay(t, func(t *testing.T, root string, f *gitfetch.Fetcher, remote gitfetch.Remote) {
		r := newRepository(t, root, "team/model")
		first := r.git("rev-parse", "HEAD")
		r.git("tag", "light")
		second := r.commit("second\n\nwith a body", map[string]string{"a.py": "1"})
		r.git("tag", "-a", "v1", "-m", "annotated")
		r.git("branch", "feature/x", first)
		r.git("tag", "of-a-tree", "HEAD^{tree}")
		r.git("update-ref", "refs/pull/1/head", first)

		refs := mustFetch(t, f, remote)
		want := []string{"refs/heads/feature/x " + first, "refs/heads/main " + second, "refs/tags/light " + first, "refs/tags/v1 " + second}
		if diff := cmp.Diff(want, heads(refs)); diff != "" {
			t.Fatal(diff)
		}
		if refs[1].Message != "second\n\nwith a body" || refs[1].Time.Format("2006-01-02 15:04:05") != "2026-01-02 03:04:05" {
			t.Errorf("got %+v", refs[1])
		}
		if !refs[1].Default || refs[0].Default || refs[0].Short() != "feature/x" || refs[3].Short() != "v1" {
			t.Errorf("got %+v", refs)
		}
	})
}

func TestASecondFetchBringsWhatChanged(t *testing.T) {
	everyWay(t, func(t *testing.T, root string, f *gitfetch.Fetcher, remote gitfetch.Remote) {
		r := newRepository(t, root, "team/model")
		for _, name := range []string{"b", "c", "d", "e"} {
			r.commit("add "+name, map[string]string{name: name})
		}
		r.git("branch", "old")
		mustFetch(t, f, remote)
		if refs := mustFetch(t, f, remote); len(refs) != 2 {
			t.Fatalf("nothing changed, and there is %v", refs)
		}

		for range 5 { // further than the depth, so that there is a gap between
			r.commit("more", nil)
		}
		last := r.commit("last", map[string]string{"b": "changed"})
		r.git("branch", "-D", "old")
		r.git("branch", "-f", "forced", "HEAD~3")
		want := []string{"refs/heads/forced " + r.git("rev-parse", "forced"), "refs/heads/main " + last}
		if diff := cmp.Diff(want, heads(mustFetch(t, f, remote))); diff != "" {
			t.Fatal(diff)
		}
		r.git("checkout", "-q", "--orphan", "lonely")
		lonely := r.commit("lonely", nil)
		r.git("branch", "-f", "main", lonely)
		r.git("branch", "-f", "forced", last)
		want = []string{"refs/heads/forced " + last, "refs/heads/lonely " + lonely, "refs/heads/main " + lonely}
		if diff := cmp.Diff(want, heads(mustFetch(t, f, remote))); diff != "" {
			t.Fatal(diff)
		}
		for _, commit := range []string{last, lonely} {
			if got := packed(t, f, remote, commit); len(got) == 0 {
				t.Errorf("nothing is packed of %s", commit)
			}
		}
	})
}

func TestWhatStrangersWriteIntoCommitsIsTamed(t *testing.T) {
	h := newWebHost(t, true)
	r := newRepository(t, h.root, "a")
	tree := r.git("rev-parse", "HEAD^{tree}")
	commit := rawObject(t, r, "commit", "tree "+tree+"\nauthor A\x1b[2J <a> 1 +0000\ncommitter C <c> 99999999999999 +0000\n\nred \x1b[31m\xff\n")
	r.git("update-ref", "refs/heads/main", commit)
	refs := mustFetch(t, fetcher(t, gitfetch.Config{}, h), h.remote("a"))
	if _, err := refs[0].Time.MarshalJSON(); err != nil {
		t.Error(err)
	}
	if strings.ContainsRune(refs[0].Message, 0x1b) || !utf8.ValidString(refs[0].Message) || !strings.HasPrefix(refs[0].Message, "red ") {
		t.Errorf("got %q", refs[0].Message)
	}
}

func TestAnEmptyRepositoryHasNoRefs(t *testing.T) {
	everyWay(t, func(t *testing.T, root string, f *gitfetch.Fetcher, remote gitfetch.Remote) {
		git(t, root, "init", "-q", "-b", "main", "team/model")
		for range 2 {
			if refs := mustFetch(t, f, remote); len(refs) != 0 {
				t.Fatalf("got %v", refs)
			}
		}
		_, err := f.Resolve(t.Context(), remote, "HEAD")
		wantFault(t, err, fault.NotFound, "git_rev_unknown")
		first := repository{t, root + "/team/model"}.commit("first", map[string]string{"a": "1"})
		if got := mustResolve(t, f, remote, "HEAD"); got.Hash != first {
			t.Errorf("after the first commit there is %+v", got)
		}
	})
}

func TestACommitIsFoundByNameAndByHash(t *testing.T) {
	everyWay(t, func(t *testing.T, root string, f *gitfetch.Fetcher, remote gitfetch.Remote) {
		r := newRepository(t, root, "team/model")
		first := r.git("rev-parse", "HEAD")
		r.git("tag", "both")
		second := r.commit("second", map[string]string{"a.py": "1"})
		r.git("branch", "both")
		r.git("branch", "cafecafe", first) // a name that looks like a hash

		for rev, want := range map[string][2]string{
			"main": {second, "refs/heads/main"}, "refs/heads/both": {second, "refs/heads/both"}, "HEAD": {second, "refs/heads/main"},
			"both": {first, "refs/tags/both"}, "cafecafe": {first, "refs/heads/cafecafe"},
			first: {first, ""}, first[:7]: {first, ""}, strings.ToUpper(second[:11]): {second, ""},
		} {
			got := mustResolve(t, f, remote, rev)
			if got.Hash != want[0] || got.Ref != want[1] || got.Author != "Ada" || got.Message == "" {
				t.Errorf("%s is %+v, want %v", rev, got, want)
			}
		}
		for _, rev := range []string{"nowhere", second[:6], "0123456789", strings.Repeat("0123456789", 4), r.git("rev-parse", "HEAD^{tree}")} {
			_, err := f.Resolve(t.Context(), remote, rev)
			wantFault(t, err, fault.NotFound, "git_rev_unknown")
		}
		for _, rev := range []string{"", "a b", "a\x00", strings.Repeat("x", 256)} {
			_, err := f.Resolve(t.Context(), remote, rev)
			wantFault(t, err, fault.Invalid, "git_rev")
		}
		third := r.commit("third", nil)
		if got := mustResolve(t, f, remote, "main"); got.Hash != third {
			t.Errorf("main moved to %s, and is found as %+v", third, got)
		}
	})
}

func TestACommitOlderThanTheDepthIsFoundWhereTheHostGivesIt(t *testing.T) {
	everyWay(t, func(t *testing.T, root string, f *gitfetch.Fetcher, remote gitfetch.Remote) {
		r := newRepository(t, root, "team/model")
		first := r.git("rev-parse", "HEAD")
		for range 6 {
			r.commit("more", map[string]string{"a": "b"})
		}
		_, err := f.Resolve(t.Context(), remote, first)
		wantFault(t, err, fault.NotFound, "git_rev_unknown")

		r.git("config", "uploadpack.allowReachableSHA1InWant", "true")
		if got := mustResolve(t, f, remote, first); got.Hash != first || got.Message != "first" {
			t.Errorf("got %+v", got)
		}
		if got := packed(t, f, remote, first); len(got) == 0 {
			t.Error("nothing is packed")
		}
		mustFetch(t, f, remote)
	})
}

func TestOneRepositoryIsFetchedByOneAtATimeAndOthersBeside(t *testing.T) {
	h := newWebHost(t, true)
	newRepository(t, h.root, "a")
	newRepository(t, h.root, "b")
	f := fetcher(t, gitfetch.Config{}, h)
	var inA atomic.Int32
	var once sync.Once
	othersDone := make(chan struct{})
	h.before(func(_ http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, "/a/") {
			return false
		}
		if inA.Add(1) > 1 {
			t.Error("two fetch the same repository at once")
		}
		once.Do(func() { // a is held until b was fetched by all
			select {
			case <-othersDone:
			case <-r.Context().Done():
			}
		})
		inA.Add(-1)
		return false
	})
	fetch := func(name string) {
		refs, err := f.Fetch(t.Context(), h.remote(name))
		if err != nil || len(refs) != 1 {
			t.Errorf("got %v, %v", refs, err)
		}
	}
	var a, b sync.WaitGroup
	for range 4 {
		a.Go(func() { fetch("a") })
		b.Go(func() { fetch("b") })
	}
	b.Wait()
	close(othersDone)
	a.Wait()
}

func TestAnEndedContextStopsAFetch(t *testing.T) {
	h := newWebHost(t, true)
	newRepository(t, h.root, "a")
	f := fetcher(t, gitfetch.Config{}, h)
	for _, part := range []string{"/info/refs", "/git-upload-pack"} {
		ctx, cancel := context.WithCancel(t.Context())
		h.before(func(_ http.ResponseWriter, r *http.Request) bool {
			if !strings.HasSuffix(r.URL.Path, part) {
				return false
			}
			_, _ = io.Copy(io.Discard, r.Body) // the server sees the client go only then
			cancel()
			<-r.Context().Done()
			return true
		})
		_, err := f.Fetch(ctx, h.remote("a"))
		if !errors.Is(err, context.Canceled) {
			t.Errorf("in %s, it ended with %v", part, err)
		}
		_, err = f.Fetch(ctx, h.remote("a"))
		if !errors.Is(err, context.Canceled) {
			t.Errorf("waiting, it ended with %v", err)
		}
	}
	h.before(nil)
	if refs := mustFetch(t, f, h.remote("a")); len(refs) != 1 {
		t.Errorf("afterwards there is %v", refs)
	}
}

func TestAnEndedContextStopsAVisitOverSSH(t *testing.T) {
	h := newSSHHost(t)
	newRepository(t, h.root, "a")
	f := fetcher(t, gitfetch.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	hear := func() { cancel() } // in the middle of the login
	h.onLogin.Store(&hear)
	_, err := f.Fetch(ctx, h.remote("a"))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
	if refs := mustFetch(t, f, h.remote("a")); len(refs) != 1 {
		t.Errorf("afterwards there is %v", refs)
	}
}
