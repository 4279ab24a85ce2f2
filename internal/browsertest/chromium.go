// Package browsertest is what tests of web pages stand on: a real Chromium, told
// what to do in the words of a person who looks at the page and reads labels.
//
// One browser is shared by the tests of a package, whose TestMain calls Main; each
// test gets a profile of its own, without cookies and cache, from New. Nothing here
// sleeps: whatever is looked for is waited for, from one change of the page to the
// next, and what does not come fails the test with the page's text and a picture of
// it. So does, at the end of the test, whatever the page complained of: errors,
// breaches of its content security policy, requests that failed, dialogs.
//
// The browser resolves no names but localhost: a page that asks for something from
// elsewhere fails its test.
package browsertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/chromedp/chromedp"
	"golang.org/x/sys/unix"
)

// programs are the names of Chromium, in the order in which they are tried.
var programs = []string{"chromium", "chromium-browser", "google-chrome"}

// smallShm is how large /dev/shm has to be, in bytes, for the browser to use it;
// containers often have 64 MiB, and a page that finds no room there crashes.
const smallShm = 256 << 20

// chromium is the browser of this process.
var chromium struct {
	sync.Mutex
	ended   bool
	mayRun  bool            // Main was called
	started context.Context // of the browser; nil: not started
	stop    context.CancelFunc
	groups  []int // of its processes: its own first, then of those that watch for its crashes
	profile string
}

// Main runs a package's tests and ends the browser that they shared; TestMain calls
// it, and it does not return. m is a *testing.M, or what wraps one.
func Main(m interface{ Run() int }) {
	chromium.Lock()
	chromium.mayRun = true
	chromium.Unlock()
	code := m.Run()
	if err := stop(); err != nil {
		slog.New(slog.NewTextHandler(os.Stderr, nil)).Error("ending the browser", "error", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// start gives the context of the browser, which it starts if nobody did before.
func start() (context.Context, error) {
	chromium.Lock()
	defer chromium.Unlock()
	switch {
	case !chromium.mayRun:
		return nil, errors.New("no browser without its end: let the package's TestMain call browsertest.Main(m)")
	case chromium.ended:
		return nil, errors.New("the browser has ended with the tests")
	case chromium.started != nil:
		return chromium.started, nil
	}
	program, err := find()
	if err != nil {
		return nil, err
	}
	profile, err := os.MkdirTemp("", "browsertest-")
	if err != nil {
		return nil, err
	}
	if err := adopt(true); err != nil {
		return nil, err
	}
	defer func() { _ = adopt(false) }()
	allocator, stopAllocator := chromedp.NewExecAllocator(context.Background(), options(program, profile)...)
	ctx, cancel := chromedp.NewContext(allocator, chromedp.WithErrorf(func(string, ...any) {})) // of events that this version does not know
	chromium.profile, chromium.stop = profile, func() { cancel(); stopAllocator() }
	if err := chromedp.Do(ctx); err != nil {
		chromium.stop()
		return nil, errors.Join(fmt.Errorf("starting %s: %w", program, err), os.RemoveAll(profile))
	}
	chromium.started, chromium.groups = ctx, append([]int{chromedp.FromContext(ctx).Browser.Process().Pid}, watchers(profile)...)
	return ctx, nil
}

// adopt has processes below this one become its children when they lose their parent,
// as long as it is on, so that none is left as a zombie for an init that may not care.
func adopt(on bool) error {
	value := uintptr(0)
	if on {
		value = 1
	}
	return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, value, 0, 0, 0)
}

// watchers are the processes that the browser starts to watch for its crashes. They
// leave its group and lose their parent.
func watchers(profile string) []int {
	var found []int
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline") // the pattern is right
	for _, path := range all {
		line, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(line, []byte("--database="+profile)) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
			if group, err := unix.Getpgid(pid); err == nil {
				found = append(found, group)
			}
		}
	}
	return found
}

func find() (string, error) {
	for _, name := range programs {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("there is no chromium on PATH: make test-prerequisites installs it")
}

// options are what the browser is started with: no window, no network but this
// machine's, nothing of the person whose machine it is, and a group of its own that
// it ends with.
func options(program, profile string) []chromedp.ExecAllocatorOption {
	var shm unix.Statfs_t
	small := unix.Statfs("/dev/shm", &shm) != nil || shm.Bavail*uint64(shm.Bsize) < smallShm
	return append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program),
		chromedp.UserDataDir(profile),
		chromedp.Env("HOME="+profile, "XDG_CONFIG_HOME="+profile, "XDG_CACHE_HOME="+profile, "DBUS_SESSION_BUS_ADDRESS=disabled:", "TZ=UTC", "LANG=C.UTF-8"),
		chromedp.Flag("no-sandbox", os.Getuid() == 0), // root's sandbox would be none
		chromedp.Flag("disable-dev-shm-usage", small),
		chromedp.Flag("disable-gpu", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-features", "Translate,OptimizationHints,MediaRouter,AutofillServerCommunication,PasswordLeakDetection"),
		chromedp.Flag("disk-cache-size", "1048576"),
		chromedp.Flag("hide-scrollbars", true),
		chromedp.Flag("lang", "en-GB"),
		chromedp.Flag("mute-audio", true),
		chromedp.Flag("no-proxy-server", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE *.localhost, EXCLUDE 127.0.0.1"),
		chromedp.WindowSize(1280, 800),
		chromedp.ModifyCmdFunc(func(command *exec.Cmd) {
			command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
		}),
	)
}

// stop ends the browser and all of its processes, and removes its profile.
func stop() error {
	chromium.Lock()
	defer chromium.Unlock()
	chromium.ended = true
	if chromium.started == nil {
		return nil
	}
	if err := adopt(true); err != nil {
		return err
	}
	politely, done := context.WithTimeout(chromium.started, 5*time.Second)
	_ = chromedp.Cancel(politely) // or it is killed
	done()
	for _, group := range chromium.groups {
		_ = unix.Kill(-group, unix.SIGKILL) // it may have ended
	}
	chromium.stop()
	for _, group := range chromium.groups {
		for {
			if _, err := unix.Wait4(-group, nil, 0, nil); err != nil && !errors.Is(err, unix.EINTR) {
				break // none is left
			}
		}
	}
	chromium.started = nil
	return errors.Join(adopt(false), os.RemoveAll(chromium.profile))
}
