package trial

import (
	"os"
	"strconv"
	"testing"
)

func TestTheKernelIsReadAsItWrites(t *testing.T) {
	own, err := readStat(strconv.Itoa(os.Getpid()))
	if err != nil || own.parent != strconv.Itoa(os.Getppid()) {
		t.Errorf("our parent is %q: %v", own.parent, err)
	}
	if used, err := machine(); err != nil || used <= 0 {
		t.Errorf("the machine used %v s: %v", used, err)
	}
	if peak, err := highWater("self"); err != nil || peak <= 1<<20 {
		t.Errorf("the most memory was %d bytes: %v", peak, err)
	}
	if _, err := written("self"); err != nil {
		t.Error(err)
	}
}
