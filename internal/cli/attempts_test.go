package cli_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// attemptsOf are the attempts of which processes live now that have a mark in
// their environment, as the kernel knows it: whatever anybody believes to have
// ended.
func attemptsOf(mark string) []string {
	var attempts []string
	files, _ := filepath.Glob("/proc/[0-9]*/environ") // the pattern is a good one
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil { // it has ended
			continue
		}
		variables := strings.Split(string(text), "\x00")
		if !slices.Contains(variables, "MARK="+mark) {
			continue
		}
		for _, variable := range variables {
			if attempt, found := strings.CutPrefix(variable, "FAIRLEAD_ATTEMPT="); found && !slices.Contains(attempts, attempt) {
				attempts = append(attempts, attempt)
			}
		}
	}
	slices.Sort(attempts)
	return attempts
}

const lookEvery = 20 * time.Millisecond

// waitForAttempts waits until exactly the named attempts of an execution have
// processes.
func waitForAttempts(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: attempts MARK [ATTEMPT…]")
	}
	deadline := time.After(2 * time.Minute)
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		got := attemptsOf(args[0])
		if slices.Equal(got, args[1:]) {
			return
		}
		select {
		case <-look.C:
		case <-deadline:
			ts.Fatalf("the attempts %q live, want %q", got, args[1:])
		}
	}
}

// neverTwice watches until the end of the story that no two attempts of an
// execution live at the same time.
func neverTwice(ts *testscript.TestScript, _ bool, args []string) {
	done := make(chan struct{})
	var watching sync.WaitGroup
	var together []string
	watching.Go(func() {
		look := time.NewTicker(lookEvery)
		defer look.Stop()
		for {
			if got := attemptsOf(args[0]); len(got) > 1 {
				together = got
			}
			select {
			case <-look.C:
			case <-done:
				return
			}
		}
	})
	ts.Defer(func() {
		close(done)
		watching.Wait()
		if together != nil {
			ts.Fatalf("the attempts %q lived at the same time", together)
		}
	})
}

// smallDisk mounts a file system of a size on a directory, or changes the size
// of the one that is there.
func smallDisk(ts *testscript.TestScript, _ bool, args []string) {
	dir, flags := ts.MkAbs(args[0]), uintptr(0)
	if _, err := os.Stat(dir); err == nil {
		flags = unix.MS_REMOUNT
	} else {
		ts.Check(os.MkdirAll(dir, 0o700))
		ts.Defer(func() { ts.Check(unix.Unmount(dir, unix.MNT_DETACH)) })
	}
	ts.Check(unix.Mount("none", dir, "tmpfs", flags, "size="+args[1]))
}
