package app_test

import (
	"testing"

	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/app"
)

// dumpable is whether the kernel would write a core of this process.
func dumpable(t *testing.T) int {
	t.Helper()
	got, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestNoCoreIsWrittenOfAProcessThatHoldsSecrets(t *testing.T) {
	before := dumpable(t)
	t.Cleanup(func() {
		if err := unix.Prctl(unix.PR_SET_DUMPABLE, uintptr(before), 0, 0, 0); err != nil {
			t.Error(err)
		}
	})
	if err := app.KeepMemoryPrivate(); err != nil {
		t.Fatal(err)
	}
	if got := dumpable(t); got != 0 {
		t.Errorf("the kernel would write a core: %d", got)
	}
}
