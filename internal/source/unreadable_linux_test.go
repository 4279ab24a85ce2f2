package source_test

import (
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/source"
)

func TestAFileThatCannotBeReadIsNamedWithTheMend(t *testing.T) {
	for _, name := range []string{"a/key.pem", "a"} {
		dir := t.TempDir()
		plant(t, dir, map[string]string{"a/key.pem": "", "b": ""})
		if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(dir, name), 0); err != nil {
			t.Fatal(err)
		}
		err := asNobody(t, func() error {
			_, err := source.Pack(t.Context(), dir, io.Discard, source.Options{})
			return err
		})
		if f := fault.From(err); f.Kind != fault.Invalid || f.Code != "source_unreadable" ||
			!strings.Contains(f.Message, `"`+name+`"`) || !strings.Contains(f.Hint, ".vhignore") {
			t.Errorf("Pack = %v", err)
		}
	}
}

// asNobody calls do with the file permissions of a user other than root, whom
// no mode keeps out.
func asNobody(t *testing.T, do func() error) error {
	t.Helper()
	done := make(chan error)
	go func() {
		// Never unlocked, so that the thread ends with the goroutine.
		runtime.LockOSThread()
		if os.Geteuid() == 0 {
			if err := syscall.Setfsuid(65534); err != nil {
				done <- err
				return
			}
		}
		done <- do()
	}()
	return <-done
}
