package app

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// letGoOfStart takes the pages of the program's own file out of this process. A
// start runs through much of it, such as the tables of every cloud's library, that
// an idle server never looks at again; what it needs comes back from the kernel's
// cache at the next use. It only saves memory, so that what fails is of no matter.
func letGoOfStart() {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return
	}
	defer maps.Close()
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		const path, permissions = 5, 1
		if len(fields) <= path || fields[path] != self || strings.Contains(fields[permissions], "w") {
			continue // written pages are nowhere else
		}
		var begin, end uintptr
		if _, err := fmt.Sscanf(fields[0], "%x-%x", &begin, &end); err != nil {
			continue
		}
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, begin, end-begin, unix.MADV_DONTNEED)
	}
}
