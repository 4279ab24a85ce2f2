package gitfetch

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/fault"
)

// FuzzURL: whatever is entered, either it is refused with a finding of the url,
// or it leads to a host and has one spelling, which is read back as itself.
func FuzzURL(f *testing.F) {
	for _, text := range []string{"https://github.com/a/b.git", "git@github.com:a/b", "ssh://git@[::1]:22/~a/b", "file:///etc", "ext::sh", "a@b:c", "https://h/%2e%2e/"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := parse(text)
		if err != nil {
			if got := fault.From(err); got.Kind != fault.Invalid || got.Code != "git_url" {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		if a.host == "" || a.port == "" || strings.Trim(a.path, "/") == "" || strings.HasPrefix(a.path, "-") || strings.ContainsAny(a.path+a.user+a.host, "\x00\n") {
			t.Fatalf("%q gave %+v", text, a)
		}
	})
}

// FuzzPack: no pack makes the receiver panic, take more than its limit, or leave
// anything behind that it did not take whole.
func FuzzPack(f *testing.F) {
	// A pack of one file that holds abc.
	pack, err := hex.DecodeString("5041434b0000000200000001" + "33789c4b4c4a0600024d0127" + strings.Repeat("00", 20))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(pack)
	f.Add([]byte("PACK\x00\x00\x00\x02\xff\xff\xff\xff"))
	f.Add([]byte("PACK\x00\x00\x00\x02\x00\x00\x00\x00" + strings.Repeat("\x00", 20)))
	f.Fuzz(func(t *testing.T, pack []byte) {
		dir := t.TempDir()
		err := receive(t.Context(), bytes.NewReader(pack), dir, 1<<20)
		left, globErr := filepath.Glob(filepath.Join(dir, "objects", "pack", "*"))
		if globErr != nil {
			t.Fatal(globErr)
		}
		for _, path := range left {
			if info, statErr := os.Stat(path); err != nil || statErr != nil || info.Size() > 2<<20 {
				if filepath.Ext(path) == ".idx" && err != nil {
					continue // an index without its pack counts for nothing
				}
				t.Fatalf("after %v there is %s", err, path)
			}
		}
	})
}
