package pullthrough_test

import (
	"os"
	"path/filepath"
	"sync"

	"github.com/fsnotify/fsnotify"
)

// event is something that happens to a file in a directory of the cache.
type event struct {
	dir string
	op  fsnotify.Op
}

// onDisk are the events of a download: when it begins, while it is written, and when it
// gets its name.
var onDisk = []event{
	{"uploads", fsnotify.Create},
	{"uploads", fsnotify.Write},
	{"uploads", fsnotify.Rename},
	{"blobs/sha256", fsnotify.Create},
}

// watch calls kill at every such event after so many of them, until it is ended.
func (k *killing) watch(of event, after int, kill func()) (end func()) {
	k.t.Helper()
	watcher, err := fsnotify.NewWatcher()
	k.check(err)
	at := filepath.Join(k.cacheDir(), filepath.FromSlash(of.dir))
	k.check(os.MkdirAll(at, 0o700)) // as the program does before its first
	k.check(watcher.Add(at))
	var watching sync.WaitGroup
	watching.Go(func() {
		seen := 0
		for happened := range watcher.Events {
			if happened.Has(of.op) {
				if seen++; seen > after {
					kill()
				}
			}
		}
	})
	return func() {
		k.check(watcher.Close())
		watching.Wait()
	}
}
