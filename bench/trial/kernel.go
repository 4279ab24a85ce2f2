package trial

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// processor is the processor time in seconds of this process, or of its
// children that have ended and theirs.
func processor(who int) float64 {
	var u unix.Rusage
	if err := unix.Getrusage(who, &u); err != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// ticks are what /proc counts processor time in, in a second.
const ticks = 100

// machine is the processor time in seconds of everything on this machine
// (https://man7.org/linux/man-pages/man5/proc_stat.5.html).
func machine() (seconds float64, err error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	const idle, iowait, guest = 4, 5, 9 // guests are in user already
	for i, field := range strings.Fields(line) {
		if i == 0 || i == idle || i == iowait || i >= guest {
			continue
		}
		n, err := strconv.ParseFloat(field, 64)
		if err != nil {
			return 0, err
		}
		seconds += n / ticks
	}
	return seconds, nil
}

type stat struct {
	parent string
	cpu    float64 // with the children that have ended
}

// readStat reads /proc/PID/stat (https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html).
func readStat(pid string) (s stat, err error) {
	text, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return s, err
	}
	// The fields after the name, which is in parentheses and may hold anything.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	const parent, utime, cstime = 1, 11, 14
	s.parent = fields[parent]
	for _, field := range fields[utime : cstime+1] {
		n, err := strconv.ParseFloat(field, 64)
		if err != nil {
			return s, err
		}
		s.cpu += n / ticks
	}
	return s, nil
}

// written is how many bytes a process, and its children that have ended, gave
// to the disk to write.
func written(pid string) (int64, error) { return number(pid, "io", "write_bytes:") }

// highWater is the most memory that a process had.
func highWater(pid string) (int64, error) {
	kB, err := number(pid, "status", "VmHWM:")
	return kB << 10, err
}

func number(pid, file, name string) (int64, error) {
	text, err := os.ReadFile("/proc/" + pid + "/" + file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == name {
			return strconv.ParseInt(fields[1], 10, 64)
		}
	}
	return 0, fmt.Errorf("/proc/%s/%s has no %s", pid, file, name)
}
