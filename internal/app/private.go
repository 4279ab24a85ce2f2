package app

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// KeepMemoryPrivate has the kernel write no core of this process, whatever ends
// it, and lets no other process of the same user look into its memory: both
// would show secrets and grants. What it starts is as free as before.
// https://man7.org/linux/man-pages/man2/pr_set_dumpable.2const.html
func KeepMemoryPrivate() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("keeping the memory out of core files: %w", err)
	}
	return nil
}
