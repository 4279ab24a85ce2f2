package blobs_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"fairlead.dev/fairlead/internal/blobs"
)

// clock is a time that tests set.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Now()} }

func (c *clock) time() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// put puts documents, a minute after the other.
func put(t testing.TB, store *blobs.Store, at *clock, contents ...[]byte) (digests []digest.Digest) {
	t.Helper()
	for _, content := range contents {
		at.advance(time.Minute)
		if err := store.Put(t.Context(), descriptor(content), content); err != nil {
			t.Fatal(err)
		}
		digests = append(digests, digest.FromBytes(content))
	}
	return digests
}

func collect(t testing.TB, store *blobs.Store) {
	t.Helper()
	if err := store.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// kept says which of some blobs a store has.
func kept(t testing.TB, store *blobs.Store, digests []digest.Digest) (is []bool) {
	t.Helper()
	for _, d := range digests {
		_, err := store.Stat(t.Context(), d)
		if err != nil && !errors.Is(err, blobs.ErrNotFound) {
			t.Fatal(err)
		}
		is = append(is, err == nil)
	}
	return is
}

func wantKept(t testing.TB, store *blobs.Store, digests []digest.Digest, want ...bool) {
	t.Helper()
	if diff := cmp.Diff(want, kept(t, store, digests)); diff != "" {
		t.Errorf("what is kept (-want +is):\n%s", diff)
	}
}

func documents(count int) (all [][]byte) {
	for i := range count {
		all = append(all, noise(uint64(100+i), 1000))
	}
	return all
}

func TestWhatWasNotUsedForLongestGoesFirst(t *testing.T) {
	at := newClock()
	store := openStore(t, blobs.Config{Now: at.time, Limit: 3000})
	digests := put(t, store, at, documents(3)...)
	collect(t, store)
	wantKept(t, store, digests, true, true, true)

	at.advance(time.Minute)
	c, err := store.Open(t.Context(), digests[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	at.advance(time.Minute)
	store.Touch(digests[1], "acme")
	digests = append(digests, put(t, store, at, noise(200, 1500))...)
	collect(t, store)
	wantKept(t, store, digests, false, true, false, true)
	if got := store.Usage(); got.Blobs != 2 || got.Bytes != 2500 {
		t.Errorf("it says that it keeps %+v", got)
	}
}

func TestWhatIsPinnedStaysWhateverTheLimit(t *testing.T) {
	at, dir := newClock(), t.TempDir()
	store := openStore(t, blobs.Config{URL: "file://" + dir, Now: at.time, Limit: 2000})
	all := documents(3)
	if err := store.Pin(t.Context(), digest.FromBytes(all[0])); err != nil { // before it comes
		t.Fatal(err)
	}
	digests := put(t, store, at, all...)
	collect(t, store)
	wantKept(t, store, digests, true, false, true)

	again := openStore(t, blobs.Config{URL: "file://" + dir, Now: at.time, Limit: 1})
	collect(t, again)
	wantKept(t, again, digests, true, false, false)
	if err := again.Unpin(t.Context(), digests[0]); err != nil {
		t.Fatal(err)
	}
	collect(t, again)
	wantKept(t, again, digests, false, false, false)
}

func TestWhatAnotherProcessPutAMomentAgoIsNotTheFirstToGo(t *testing.T) {
	at, dir := newClock(), t.TempDir()
	at.advance(-time.Hour)
	store := openStore(t, blobs.Config{URL: "file://" + dir, Now: at.time, Limit: 2000})
	digests := put(t, store, at, documents(2)...)
	at.advance(time.Hour)
	other := openStore(t, blobs.Config{URL: "file://" + dir, Now: at.time, FlushEvery: time.Hour})
	digests = append(digests, put(t, other, at, noise(44, 1000))...)
	collect(t, store)
	wantKept(t, store, digests, false, true, true)
}

func TestNothingIsRemovedWhileAReaderHasIt(t *testing.T) {
	at := newClock()
	content := noise(40, 1<<20)
	u := newUpstream(t, content)
	store := openStore(t, blobs.Config{Now: at.time, Limit: 1 << 20})
	filled(t, store, u, content)
	c := fill(t, store, u, content)
	digests := append([]digest.Digest{digest.FromBytes(content)}, put(t, store, at, documents(2)...)...)
	collect(t, store)
	wantKept(t, store, digests, true, false, false) // which were used later
	wantContent(t, c, content)
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	digests = append(digests, put(t, store, at, noise(41, 10))...)
	collect(t, store)
	wantKept(t, store, digests, false, false, false, true)
}

func TestABlobLargerThanTheLimitIsGivenAndNotKept(t *testing.T) {
	content := noise(42, 1<<20)
	u := newUpstream(t, content)
	dir := t.TempDir()
	store := openStore(t, blobs.Config{URL: "file://" + dir, Limit: 1<<20 - 1})
	c := fill(t, store, u, content)
	wantContent(t, c, content)
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	wantNothingKept(t, store, dir, content)
}

func TestEachOrganisationIsCountedForWhatItUsedAcrossRestarts(t *testing.T) {
	at, dir := newClock(), t.TempDir()
	config := blobs.Config{URL: "file://" + dir, Now: at.time, Limit: 3000}
	store := openStore(t, config)
	digests := put(t, store, at, documents(3)...)
	for i, organizations := range [][]string{{"acme", "globex"}, {"acme"}, {"initech"}} {
		for _, name := range organizations {
			store.Touch(digests[i], name)
			store.Touch(digests[i], name)
		}
	}
	store.Touch(digests[0], "") // which are none
	store.Touch(digests[0], strings.Repeat("x", 256))
	store.Touch("sha256:no", "acme")
	want := blobs.Usage{Blobs: 3, Bytes: 3000, Organizations: map[string]int64{"acme": 2000, "globex": 1000, "initech": 1000}}
	if diff := cmp.Diff(want, store.Usage()); diff != "" {
		t.Error(diff)
	}
	if err := store.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Another process, while the first lives, or after it was killed.
	again := openStore(t, config)
	if diff := cmp.Diff(want, again.Usage()); diff != "" {
		t.Errorf("after a restart (-want +is):\n%s", diff)
	}
	if err := store.Close(); err != nil { // which knows nothing of the uses that follow
		t.Fatal(err)
	}
	at.advance(time.Minute)
	again.Touch(digests[1], "globex")
	again.Touch(digests[2], "globex")
	digests = append(digests, put(t, again, at, noise(43, 500))...)
	collect(t, again)
	want = blobs.Usage{Blobs: 3, Bytes: 2500, Organizations: map[string]int64{"acme": 1000, "globex": 2000, "initech": 1000}}
	if diff := cmp.Diff(want, again.Usage()); diff != "" {
		t.Errorf("after one was removed (-want +is):\n%s", diff)
	}
	// It comes again, and whoever used its earlier copy is not counted.
	if err := again.Close(); err != nil { // whose limit would remove it once more
		t.Fatal(err)
	}
	at.advance(time.Minute)
	config.Limit = 0
	again = openStore(t, config)
	put(t, again, at, documents(1)...)
	again.Touch(digests[0], "initech")
	if err := again.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	want = blobs.Usage{Blobs: 4, Bytes: 3500, Organizations: map[string]int64{"acme": 1000, "globex": 2000, "initech": 2000}}
	for name, s := range map[string]*blobs.Store{"the one that stored it": again, "a new one": openStore(t, config)} {
		if diff := cmp.Diff(want, s.Usage()); diff != "" {
			t.Errorf("%s, after it came again (-want +is):\n%s", name, diff)
		}
	}
}

func TestRecordsOfUseDoNotGrowInNumber(t *testing.T) {
	at, dir := newClock(), t.TempDir()
	config := blobs.Config{URL: "file://" + dir, Now: at.time}
	store, other := openStore(t, config), openStore(t, config)
	digests := put(t, store, at, documents(2)...)
	for i := range 200 {
		at.advance(time.Minute)
		s := []*blobs.Store{store, other}[i%2]
		s.Touch(digests[i%2], fmt.Sprintf("organisation-%03d", i))
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if i%10 == 0 {
			collect(t, s)
		}
	}
	if err := errors.Join(store.Flush(t.Context()), other.Flush(t.Context())); err != nil {
		t.Fatal(err)
	}
	if segments := spooled(t, filepath.Join(dir, "usage")); len(segments) > 64+20 {
		t.Errorf("there are %d records", len(segments))
	}
	got := openStore(t, config).Usage()
	if len(got.Organizations) != 200 || got.Organizations["organisation-000"] != 1000 || got.Organizations["organisation-199"] != 1000 {
		t.Errorf("%d organisations are known: %v", len(got.Organizations), got.Organizations)
	}
}

func TestARecordThatCannotBeReadIsInNobodysWay(t *testing.T) {
	at, dir := newClock(), t.TempDir()
	config := blobs.Config{URL: "file://" + dir, Now: at.time}
	store := openStore(t, config)
	digests := put(t, store, at, documents(1)...)
	store.Touch(digests[0], "acme")
	if err := store.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(dir, "usage", "1764000000000-ABCDEFGHIJKLMNOPQRSTUVWXYZ")
	if err := os.WriteFile(bad, []byte("{\"digest\":\"sha256:no\"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := openStore(t, config).Usage(); got.Organizations["acme"] != 1000 {
		t.Errorf("it is %+v", got)
	}
	if _, err := os.Stat(bad); err != nil {
		t.Errorf("what could not be read is gone: %v", err)
	}
}

func TestWhatIsRemovedBehindTheStoresBackIsMissing(t *testing.T) {
	at, dir := newClock(), t.TempDir()
	store := openStore(t, blobs.Config{URL: "file://" + dir, Now: at.time})
	digests := put(t, store, at, documents(3)...)
	for _, d := range digests[:2] {
		if err := os.Remove(filepath.Join(dir, "blobs", "sha256", d.Encoded())); err != nil {
			t.Fatal(err)
		}
	}
	wantMissing(t, store, digests[0])
	collect(t, store)
	if got := store.Usage(); got.Blobs != 1 || got.Bytes != 1000 {
		t.Errorf("it says that it keeps %+v", got)
	}
}

func TestABlobThatIsStoredInTheMomentOfItsRemovalIsRemovedAgain(t *testing.T) {
	at, dir := newClock(), t.TempDir()
	other := openStore(t, blobs.Config{URL: "file://" + dir, Now: at.time})
	digests := put(t, other, at, documents(1)...)
	store := openStore(t, blobs.Config{URL: "file://" + dir, Now: at.time, Limit: 1})
	collect(t, store)
	wantKept(t, store, digests, false)
	if err := other.Put(t.Context(), descriptor(documents(1)[0]), documents(1)[0]); err != nil { // which knows nothing of it yet
		t.Fatal(err)
	}
	wantKept(t, other, digests, true)
	collect(t, store)
	wantKept(t, store, digests, false)
}

func TestSeveralStoresOfOneDirectoryKeepItWithinTheLimit(t *testing.T) {
	dir := t.TempDir()
	var contents [][]byte
	for i := range 40 {
		contents = append(contents, noise(uint64(300+i), 50_000+i))
	}
	u := newUpstream(t, contents...)
	var group sync.WaitGroup
	for worker := range 4 {
		store := openStore(t, blobs.Config{URL: "file://" + dir, Limit: 500_000})
		group.Go(func() {
			for i := range 100 {
				content := contents[(i*(worker+1)*7)%len(contents)]
				c := fill(t, store, u, content)
				got, err := io.ReadAll(c)
				if err != nil || digest.FromBytes(got) != digest.FromBytes(content) {
					t.Errorf("%d bytes came, %v", len(got), err)
				}
				if err := c.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	last := openStore(t, blobs.Config{URL: "file://" + dir, Limit: 500_000})
	collect(t, last)
	if got := last.Usage(); got.Bytes > 500_000 || got.Blobs < 5 {
		t.Errorf("it keeps %+v", got)
	}
	wantVerified(t, dir)
}

// wantVerified looks at every file that has a blob's name.
func wantVerified(t testing.TB, dir string) (count int) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "blobs", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		d := digest.NewDigestFromEncoded(digest.Algorithm(filepath.Base(filepath.Dir(file))), filepath.Base(file))
		content, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) {
			continue // removed by a living one
		}
		if err != nil || d.Validate() != nil || d.Algorithm().FromBytes(content) != d {
			t.Errorf("%s is not what its name says: %v", file, err)
		}
	}
	return len(files)
}
