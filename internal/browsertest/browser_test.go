package browsertest_test

import (
	"bufio"
	"errors"
	"fmt"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/browsertest"
)

func TestMain(m *testing.M) { browsertest.Main(m) }

// recorder is a test that only remembers what failed.
type recorder struct {
	testing.TB
	mu    sync.Mutex
	said  strings.Builder
	after []func()
}

func (r *recorder) Helper()          {}
func (r *recorder) Cleanup(f func()) { r.after = append(r.after, f) }

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(&r.said, format+"\n", args...)
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Fatal(args ...any) { r.Fatalf("%s", fmt.Sprint(args...)) }

// failure is what a test says that failed; "": it did not.
func failure(t *testing.T, test func(b *browsertest.Browser)) string {
	t.Helper()
	r := &recorder{TB: t}
	var running sync.WaitGroup
	running.Go(func() {
		test(browsertest.New(r))
	})
	running.Wait()
	for _, f := range r.after {
		f()
	}
	return r.said.String()
}

// site serves pages by their paths, each of which is what its body holds.
type site map[string]string

func (s site) serve(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, found := s[r.URL.Path]
		if !found {
			w.WriteHeader(http.StatusNotFound)
		}
		page(w, body)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func page(w http.ResponseWriter, body string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = io.WriteString(w, `<!doctype html><html lang="en"><title>Fairlead</title><meta name="viewport" content="width=device-width, initial-scale=1"><main><h1>Registries</h1>`+body+`</main></html>`)
}

// wants fails the test unless the text holds all that it should.
func wants(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing in:\n%s", part, text)
		}
	}
}

const form = `<form action="/added"><label>Name <input name="name" value="old"></label> <label>Day <input type="date" name="day"></label>
	<label for="kind">Kind</label> <select id="kind" name="kind"><option>generic</option><option>azure</option></select>
	<fieldset><legend>Role</legend><label><input type="radio" name="role" value="admin">Admin</label><label><input type="radio" name="role" value="member">Member</label></fieldset>
	<label><input type="checkbox" name="check"> Check it now</label> <label>Note <textarea name="note">old</textarea></label>
	<button>Add a registry</button></form>`

func TestAFormIsFilledByItsLabelsWithScriptsAndWithout(t *testing.T) {
	t.Parallel()
	for _, scripts := range []bool{true, false} {
		b := browsertest.New(t)
		if !scripts {
			b.NoScript()
		}
		b.Visit(site{"/": form, "/added": "Added <script>document.write('by script')</script>"}.serve(t))
		b.Holds("Name", "old")
		b.Fill("Name", "acme & co")
		b.Fill("Day", "2026-01-02")
		b.Fill("Note", "")
		b.Choose("Kind", "azure")
		b.Choose("Role", "Member")
		b.Click("Check it now")
		b.Click("Add a registry")
		b.Sees("Added")
		b.At("/added?name=acme+%26+co&day=2026-01-02&kind=azure&role=member&check=on&note=")
		if scripts {
			b.Sees("by script")
		} else {
			b.SeesNot("by script")
		}
	}
}

func TestKeysGoWhereTheFocusIs(t *testing.T) {
	t.Parallel()
	b := browsertest.New(t)
	b.Visit(site{"/": form + `<p id="key"></p><script>addEventListener("keydown", e => key.textContent += (e.ctrlKey ? "Control+" : "") + (e.shiftKey ? "Shift+" : "") + e.key + " ")</script>`, "/added": "Added"}.serve(t))
	b.Press("Control+k")
	b.Press("/")
	b.Press("Escape")
	b.Sees("Control+k / Escape")
	b.Fill("Name", "acme")
	b.Press("Tab")
	b.Press("Shift+Tab")
	b.Press("End")
	b.Press("+")
	b.Holds("Name", "acme+")
	b.Press("Enter")
	b.Sees("Added")
}

func TestWhatIsNotThereFailsWithTheTextOfThePageAndAPicture(t *testing.T) {
	t.Parallel()
	url := site{"/": form + `<p style="display: none">hidden</p>`}.serve(t)
	for want, look := range map[string]func(b *browsertest.Browser){
		`seeing "Projects": it is not shown`:                            func(b *browsertest.Browser) { b.Sees("Projects") },
		`seeing "hidden": it is not shown`:                              func(b *browsertest.Browser) { b.Sees("hidden") },
		`not seeing "Registries": it is shown`:                          func(b *browsertest.Browser) { b.SeesNot("Registries") },
		`clicking "Delete": nothing is named "Delete"`:                  func(b *browsertest.Browser) { b.Click("Delete") },
		`filling "Add a registry": nothing of the roles`:                func(b *browsertest.Browser) { b.Fill("Add a registry", "x") },
		`"Name" holding "new": it holds "old"`:                          func(b *browsertest.Browser) { b.Holds("Name", "new") },
		`choosing "gcp" of "Kind": it has only the options generic, az`: func(b *browsertest.Browser) { b.Choose("Kind", "gcp") },
		`waiting for p: none is visible`:                                func(b *browsertest.Browser) { b.WaitFor("p") },
		`being at /elsewhere: it is at /`:                               func(b *browsertest.Browser) { b.At("/elsewhere") },
	} {
		said := failure(t, func(b *browsertest.Browser) {
			b.Visit(url)
			b.SetPatience(300 * time.Millisecond)
			look(b)
		})
		wants(t, said, want, "at: "+url+"/\n", "the page shows:\nRegistries")
		_, rest, _ := strings.Cut(said, "picture: ")
		picture, _, _ := strings.Cut(rest, "\n")
		if _, err := os.Stat(picture); err != nil {
			t.Error(err)
		}
		_ = os.Remove(picture)
	}
}

func TestWhatComesLaterIsWaitedFor(t *testing.T) {
	t.Parallel()
	b := browsertest.New(t)
	b.Visit(site{"/": `<button disabled>Run</button><p id="later" hidden>Later</p><div id="cover" style="position: fixed; inset: 0">Loading</div>
		<script>
			setTimeout(() => later.hidden = false, 200);
			setTimeout(() => cover.remove(), 300);
			setTimeout(() => document.querySelector("button").disabled = false, 400);
			document.querySelector("button").onclick = () => document.body.append("It runs");
		</script>`}.serve(t))
	b.WaitFor("#later")
	b.Click("Run")
	b.Sees("It runs")
	b.SeesNot("Loading")
}

func TestWhatIsCoveredOrDisabledIsNotClicked(t *testing.T) {
	t.Parallel()
	url := site{"/": `<button disabled>Run</button><button>Stop</button><div style="position: fixed; inset: 0">Loading</div>`}.serve(t)
	said := failure(t, func(b *browsertest.Browser) { b.Visit(url); b.SetPatience(300 * time.Millisecond); b.Click("Run") })
	wants(t, said, `clicking "Run": it is disabled`)
	said = failure(t, func(b *browsertest.Browser) { b.Visit(url); b.SetPatience(300 * time.Millisecond); b.Click("Stop") })
	wants(t, said, `clicking "Stop": it is covered by <div`)
}

// The next page has a field of the same name, and takes its time.
func TestWhatFollowsAClickIsDoneOnTheNextPage(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/added" {
			late := time.NewTimer(300 * time.Millisecond)
			defer late.Stop()
			<-late.C
		}
		page(w, form+r.URL.RawQuery)
	}))
	defer server.Close()
	b := browsertest.New(t)
	b.Visit(server.URL)
	b.Fill("Name", "first")
	b.Click("Add a registry")
	b.Fill("Name", "second")
	b.Click("Add a registry")
	b.Sees("name=second")
}

const table = `<table><tr><th scope="col">Image</th><th scope="col">Action</th></tr>
	<tr><td>ghcr.io/acme/*</td><td><button onclick="document.body.append('the first')">Delete</button></td></tr>
	<tr><td>quay.io/acme/*</td><td><button onclick="document.body.append('the second')">Delete</button></td></tr></table>`

func TestOneOfManyIsFoundInItsPartOfThePage(t *testing.T) {
	t.Parallel()
	url := site{"/": table}.serve(t)
	b := browsertest.New(t)
	b.Visit(url)
	b.In("row", "quay.io/acme/*").Sees("Delete")
	b.In("row", "quay.io/acme/*").SeesNot("ghcr.io")
	b.In("row", "quay.io/acme/*").Click("Delete")
	b.Sees("the second")

	said := failure(t, func(b *browsertest.Browser) { b.Visit(url); b.SetPatience(300 * time.Millisecond); b.Click("Delete") })
	wants(t, said, `2 elements are named "Delete": say which one with In`)
	said = failure(t, func(b *browsertest.Browser) {
		b.Visit(url)
		b.SetPatience(300 * time.Millisecond)
		b.In("row", "gcr.io").Click("Delete")
	})
	wants(t, said, `no row is named "gcr.io" or shows it`)
}

func TestWhatAPageComplainsOfFailsItsTest(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	t.Cleanup(elsewhere.Close)
	for _, c := range []struct{ name, policy, body, until, want string }{
		{"an error on the console", "", `<script>console.error("it", {is: 1}, "wrong")</script>`, "h1", "console: it Object wrong"},
		{"an exception", "", `<script>throw new TypeError("no such thing")</script>`, "h1", "script: TypeError: no such thing"},
		{"a promise", "", `<script>Promise.reject(new Error("nobody waits"))</script>`, "h1", "nobody waits"},
		{"an inline script", "default-src 'self'", `<script>1</script>`, "h1", "security: Executing inline script violates the following Content Security Policy"},
		{"an inline style", "default-src 'self'", `<p style="color: red">`, "h1", "security: Applying inline style violates the following Content Security Policy"},
		{"a form to elsewhere", "form-action 'self'", `<form action="http://localhost:1"><button>Send</button></form><script>document.forms[0].submit()</script>`, "h1", "security: Sending form data to 'http://localhost:1/?' violates"},
		{"a missing image", "", `<img src="/missing.png" alt="x">`, "h1", "/missing.png: 404 Not Found"},
		{"an image of elsewhere", "", `<img src="http://registry.example.com/x.png" alt="x">`, "h1", "GET http://registry.example.com/x.png: net::ERR_NAME_NOT_RESOLVED"},
		{"a server that is gone", "", `<script>fetch("` + elsewhere.URL + `").catch(() => document.body.id = "gone")</script>`, "#gone", "GET " + elsewhere.URL + "/: "},
		{"a dialog", "", `<script>alert("xss")</script>`, "h1", "the page opened a dialog (alert): xss"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if c.policy != "" {
					w.Header().Set("Content-Security-Policy", c.policy)
				}
				if r.URL.Path != "/" {
					w.WriteHeader(http.StatusNotFound)
				}
				page(w, c.body)
			}))
			defer server.Close()
			said := failure(t, func(b *browsertest.Browser) {
				b.Visit(server.URL)
				b.WaitFor(c.until)
			})
			wants(t, said, "the page complained: ", c.want)
		})
	}
}

func TestAComplaintThatIsExpectedFailsNothing(t *testing.T) {
	t.Parallel()
	b := browsertest.New(t)
	b.Expect("/missing.png: 404")
	b.Visit(site{"/": `<img src="/missing.png" alt="x"><script>console.error("wrong")</script>`}.serve(t))
	b.Expect("console: wrong")
}

func TestAComplaintThatIsExpectedAndNeverComesFailsTheTest(t *testing.T) {
	t.Parallel()
	said := failure(t, func(b *browsertest.Browser) { b.Expect("422"); b.Visit(site{"/": form}.serve(t)) })
	wants(t, said, `the page never complained of "422"`)
}

func TestAPhoneADarkPageAndAnotherPersonAreEmulated(t *testing.T) {
	t.Parallel()
	url := site{"/": `<style>.dark, .small { display: none } @media (prefers-color-scheme: dark) { .dark { display: block } } @media (max-width: 400px) { .small { display: block } }</style>
		<p class="dark">dark</p><p class="small">small</p><p id="cookie"></p><script>cookie.textContent = document.cookie || "nobody"; document.cookie = "name=ada"</script>`}.serve(t)
	b := browsertest.New(t)
	b.Visit(url)
	b.SeesNot("dark")
	b.SeesNot("small")
	b.Sees("nobody")
	b.Dark()
	b.Sees("dark")
	b.Phone()
	b.Reload()
	b.Sees("small")
	b.Sees("name=ada")

	other := browsertest.New(t)
	other.Visit(url)
	other.Sees("nobody")
}

func TestBytesOfTheFirstLoadAreCounted(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/style.css" {
			w.Header().Set("Cache-Control", "max-age=3600")
			w.Header().Set("Content-Type", "text/css")
			_, _ = io.WriteString(w, "p { color: #000 }\n"+strings.Repeat("/* */\n", 10_000))
			return
		}
		page(w, `<link rel="stylesheet" href="/style.css"><p>styled</p>`)
	}))
	defer server.Close()
	b := browsertest.New(t)
	b.Visit(server.URL)
	if got := b.Transferred(); got < 60_000 || got > 62_000 {
		t.Errorf("%d bytes were transferred", got)
	}
	b.Visit(server.URL + "/again")
	if got := b.Transferred(); got < 200 || got > 2000 {
		t.Errorf("with the style in the cache, %d bytes were transferred", got)
	}
}

func TestAPictureShowsAllOfThePage(t *testing.T) {
	t.Parallel()
	b := browsertest.New(t)
	b.Visit(site{"/": `<p style="height: 3000px">long</p>`}.serve(t))
	b.Screenshot("browsertest/whole")
	path := filepath.Join("..", "..", "build", "screenshots", "browsertest-whole.png")
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	picture, err := png.Decode(file)
	if err != nil {
		t.Fatal(err)
	}
	if size := picture.Bounds().Size(); size.X != 1280 || size.Y < 3000 {
		t.Errorf("it is %v", size)
	}
}

// asChild has TestAPageStaysOpen run.
const asChild = "FAIRLEAD_TEST_BROWSER_CHILD"

// TestAPageStaysOpen is what the tests below run: it opens a page and tells of the
// browser.
func TestAPageStaysOpen(t *testing.T) {
	if os.Getenv(asChild) == "" {
		t.Skip("it is for a process that another test starts")
	}
	b := browsertest.New(t)
	b.Visit(site{"/": form}.serve(t))
	fmt.Println("browser:", browsertest.Groups())
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// child is a test binary with an open page.
type child struct {
	command *exec.Cmd
	hold    io.Closer
	drained chan struct{}
	groups  []int  // of the browser's processes
	temp    string // where it keeps files
}

func newChild(t *testing.T) *child {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := &child{command: exec.CommandContext(t.Context(), self, "-test.run", "^TestAPageStaysOpen$", "-test.v"), drained: make(chan struct{})}
	if c.temp, err = os.MkdirTemp("", "child-"); err != nil { //nolint:usetesting // t.TempDir is too long for the browser's socket
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(c.temp) })
	c.command.Env = append(os.Environ(), asChild+"=1", "TMPDIR="+c.temp)
	if c.hold, err = c.command.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.command.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for len(c.groups) == 0 && lines.Scan() {
		list, _ := strings.CutPrefix(lines.Text(), "browser: [")
		for word := range strings.FieldsSeq(strings.TrimSuffix(list, "]")) {
			if group, err := strconv.Atoi(word); err == nil {
				c.groups = append(c.groups, group)
			}
		}
	}
	if len(c.groups) == 0 {
		t.Fatal("it opened no page")
	}
	go func() {
		defer close(c.drained)
		_, _ = io.Copy(io.Discard, out)
	}()
	return c
}

func TestTheBrowserEndsWithTheTestsAndLeavesNoProcess(t *testing.T) {
	c := newChild(t)
	_ = c.hold.Close()
	<-c.drained
	if err := c.command.Wait(); err != nil {
		t.Error(err)
	}
	for _, group := range c.groups {
		if err := unix.Kill(-group, 0); !errors.Is(err, unix.ESRCH) { // zombies are there, too
			t.Errorf("processes of the browser are left: %v", err)
		}
	}
	if left, err := os.ReadDir(c.temp); err != nil || len(left) > 0 {
		t.Errorf("it left %v, %v", left, err)
	}
}

func TestTheBrowserEndsWhenTheTestsAreKilled(t *testing.T) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0) }()
	c := newChild(t)
	if err := c.command.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = c.command.Wait() // with the signal
	<-c.drained
	ended := 0
	for _, group := range c.groups {
		for {
			_, err := unix.Wait4(-group, nil, 0, nil)
			if err == nil {
				ended++
			} else if !errors.Is(err, unix.EINTR) {
				break // none is left
			}
		}
	}
	if ended == 0 {
		t.Error("it had no process")
	}
}
