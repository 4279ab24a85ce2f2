package blobs_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"fairlead.dev/fairlead/internal/blobs"
	"fairlead.dev/fairlead/internal/depot/depottest"
	"fairlead.dev/fairlead/internal/fault"
)

// key is where a cloud keeps a blob.
func key(d digest.Digest) string { return "blobs/" + d.Algorithm().String() + "/" + d.Encoded() }

func TestBlobsAreKeptInEveryCloud(t *testing.T) {
	depottest.Each(t, func(t *testing.T, cloud *depottest.Cloud) {
		small, large := noise(50, 1000), noise(51, 11<<20+3)
		u := newUpstream(t, small, large, nil)
		spool := t.TempDir()
		store := openStore(t, blobs.Config{URL: cloud.Depot, Spool: spool})
		for _, content := range [][]byte{small, large, {}} {
			d := digest.FromBytes(content)
			wantMissing(t, store, d)
			filled(t, store, u, content)
			if got, found := cloud.Get(key(d)); !found || got != string(content) {
				t.Errorf("%d bytes are kept of %d", len(got), len(content))
			}
			c, err := store.Open(t.Context(), d)
			if err != nil {
				t.Fatal(err)
			}
			wantContent(t, c, content)
			if from := int64(len(content)) / 2; from > 0 {
				if _, err := c.Seek(-from, io.SeekEnd); err != nil {
					t.Fatal(err)
				}
				wantContent(t, c, content[int64(len(content))-from:])
			}
			if c.File() != nil || c.Size() != int64(len(content)) || c.Modified().IsZero() {
				t.Errorf("it has %d bytes, from %s", c.Size(), c.Modified())
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
		if sent := u.sent.Load(); sent != int64(len(small)+len(large)) {
			t.Errorf("%d bytes were sent by the upstream", sent)
		}
		document := []byte(`{"schemaVersion":2}`)
		if err := store.Put(t.Context(), descriptor(document), document); err != nil {
			t.Fatal(err)
		}
		store.Touch(digest.FromBytes(large), "acme")
		if err := store.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		again := openStore(t, blobs.Config{URL: cloud.Depot})
		want := blobs.Usage{Blobs: 4, Bytes: int64(len(small) + len(large) + len(document)), Organizations: map[string]int64{"acme": int64(len(large))}}
		if diff := cmp.Diff(want, again.Usage()); diff != "" {
			t.Errorf("what another process knows (-want +is):\n%s", diff)
		}
		if left := spooled(t, spool); len(left) > 0 {
			t.Errorf("%q is left in the spool", left)
		}
		if left := cloud.Unfinished(); left > 0 {
			t.Errorf("%d uploads were left unfinished", left)
		}
	})
}

func withPrefix(cloud *depottest.Cloud) string {
	separator := "?"
	if strings.Contains(cloud.Depot, "?") {
		separator = "&"
	}
	return cloud.Depot + separator + "prefix=caches/fairlead"
}

func TestAPrefixIsTheFolderOfAllThatIsInABucket(t *testing.T) {
	depottest.Each(t, func(t *testing.T, cloud *depottest.Cloud) {
		at, content := newClock(), noise(52, 5<<20)
		u := newUpstream(t, content)
		store := openStore(t, blobs.Config{URL: withPrefix(cloud), Now: at.time, Limit: 6 << 20})
		filled(t, store, u, content)
		d := digest.FromBytes(content)
		if _, found := cloud.Get("caches/fairlead/" + key(d)); !found {
			t.Error("it is not below the prefix")
		}
		digests := append([]digest.Digest{d}, put(t, store, at, noise(53, 2<<20))...)
		collect(t, store)
		wantKept(t, store, digests, false, true)
	})
}

func TestABucketsLeastRecentlyUsedGoFirst(t *testing.T) {
	depottest.Each(t, func(t *testing.T, cloud *depottest.Cloud) {
		at := newClock()
		store := openStore(t, blobs.Config{URL: cloud.Depot, Now: at.time, Limit: 2000})
		all := documents(3)
		if err := store.Pin(t.Context(), digest.FromBytes(all[0])); err != nil {
			t.Fatal(err)
		}
		digests := put(t, store, at, all...)
		collect(t, store)
		wantKept(t, store, digests, true, false, true)
		if _, found := cloud.Get(key(digests[1])); found {
			t.Error("it is there still")
		}
	})
}

func TestABlobThatAnotherProcessReadsStaysInTheBucket(t *testing.T) {
	depottest.Each(t, func(t *testing.T, cloud *depottest.Cloud) {
		at := newClock()
		other := openStore(t, blobs.Config{URL: cloud.Depot, Now: at.time})
		digests := put(t, other, at, documents(2)...)
		at.advance(time.Hour)
		c, err := other.Open(t.Context(), digests[0]) // which nobody had used for an hour
		if err != nil {
			t.Fatal(err)
		}
		one := openStore(t, blobs.Config{URL: cloud.Depot, Now: at.time, Limit: 1}) // which collects when it begins, too
		collect(t, one)
		wantKept(t, one, digests, true, false)
		for range 10 { // an hour, in which it says every few minutes that it reads, as it does every minute
			at.advance(6 * time.Minute)
			if err := other.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		collect(t, one)
		wantKept(t, one, digests, true, false)
		wantContent(t, c, documents(1)[0])
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		at.advance(time.Hour)
		if err := other.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		at.advance(time.Hour)
		collect(t, one)
		wantKept(t, one, digests, false, false)
	})
}

func TestWhoOpensABlobThatIsBeingRemovedFetchesItAnew(t *testing.T) {
	depottest.Each(t, func(t *testing.T, cloud *depottest.Cloud) {
		at := newClock()
		content := documents(1)[0]
		u := newUpstream(t, content)
		one := openStore(t, blobs.Config{URL: cloud.Depot, Now: at.time, Limit: 1})
		other := openStore(t, blobs.Config{URL: cloud.Depot, Now: at.time})
		digests := put(t, other, at, content)
		at.advance(time.Hour)
		var group sync.WaitGroup
		group.Go(func() { collect(t, one) })
		for range 20 { // before, while or after it goes
			c := fill(t, other, u, content)
			wantContent(t, c, content)
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
		group.Wait()
		_ = kept(t, other, digests) // or not
	})
}

// announced writes down, as another process would, that it removes a blob.
func announced(t *testing.T, cloud *depottest.Cloud, d digest.Digest, at time.Time) {
	t.Helper()
	name := fmt.Sprintf("usage/%013d-%s", at.UnixMilli(), "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
	cloud.Put(name, fmt.Sprintf(`{"digest":%q,"removed":%d}`+"\n", d, at.UnixMilli()))
}

func TestABlobThatAnotherProcessIsAboutToRemoveIsNotOpened(t *testing.T) {
	depottest.Each(t, func(t *testing.T, cloud *depottest.Cloud) {
		at := newClock()
		content := documents(1)[0]
		u := newUpstream(t, content)
		store := openStore(t, blobs.Config{URL: cloud.Depot, Now: at.time})
		digests := put(t, store, at, content)
		at.advance(time.Hour)
		announced(t, cloud, digests[0], at.time())
		wantMissing(t, store, digests[0])
		filled(t, store, u, content) // and is kept, later than that
		c, err := store.Open(t.Context(), digests[0])
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if u.requests.Load() != 1 {
			t.Errorf("%d requests were made", u.requests.Load())
		}
	})
}

func TestWhatAKilledProcessWasAboutToRemoveIsRemovedLater(t *testing.T) {
	depottest.Each(t, func(t *testing.T, cloud *depottest.Cloud) {
		at := newClock()
		store := openStore(t, blobs.Config{URL: cloud.Depot, Now: at.time})
		digests := put(t, store, at, documents(2)...)
		at.advance(time.Minute)
		announced(t, cloud, digests[0], at.time())
		collect(t, store) // that process may be at it
		if _, found := cloud.Get(key(digests[0])); !found {
			t.Error("it is gone already")
		}
		at.advance(time.Hour)
		collect(t, store)
		if _, found := cloud.Get(key(digests[0])); found {
			t.Error("it is there still")
		}
		if usage := store.Usage(); usage.Blobs != 1 {
			t.Errorf("it says that it keeps %+v", usage)
		}
		wantKept(t, store, digests, false, true)
	})
}

func TestABucketsReaderGoesOnWhereItsConnectionBroke(t *testing.T) {
	depottest.Each(t, func(t *testing.T, cloud *depottest.Cloud) {
		content := noise(54, 100_000)
		store := openStore(t, blobs.Config{URL: cloud.Depot})
		if err := store.Put(t.Context(), descriptor(content), content); err != nil {
			t.Fatal(err)
		}
		c, err := store.Open(t.Context(), digest.FromBytes(content))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		cloud.BreakReads(30_000, 0, 30_000)
		wantContent(t, c, content)
	})
}

func TestABlobThatWasAlteredInTheBucketIsNeverGivenWholeAndIsRemoved(t *testing.T) {
	depottest.Each(t, func(t *testing.T, cloud *depottest.Cloud) {
		content := noise(55, 100_000)
		d := digest.FromBytes(content)
		altered := bytes.Clone(content)
		altered[500] ^= 1
		u := newUpstream(t, content)
		store := openStore(t, blobs.Config{URL: cloud.Depot})
		cloud.Put(key(d), string(altered))
		c, err := store.Open(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(c)
		wantCode(t, err, "blob_altered")
		if len(got) >= len(content) {
			t.Errorf("%d bytes were given", len(got))
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		wantMissing(t, store, d)
		filled(t, store, u, content)
	})
}

func TestACopyThatIsNotDoneIsNotTakenForTheBlob(t *testing.T) {
	cloud := depottest.Azure(t)
	content := noise(56, 9<<20)
	u := newUpstream(t, content)
	store := openStore(t, blobs.Config{URL: cloud.Depot})
	cloud.SlowCopies(6)
	filled(t, store, u, content)
	c, err := store.Open(t.Context(), digest.FromBytes(content))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	wantContent(t, c, content)
}

func TestAnEmptyObjectThatAFailedCopyLeftIsNotTakenForTheBlob(t *testing.T) {
	depottest.Each(t, func(t *testing.T, cloud *depottest.Cloud) {
		content := noise(61, 1000)
		d := digest.FromBytes(content)
		u := newUpstream(t, content)
		cloud.Put(key(d), "")
		store := openStore(t, blobs.Config{URL: cloud.Depot})
		if usage := store.Usage(); usage.Blobs != 0 {
			t.Errorf("it says that it keeps %+v", usage)
		}
		_, err := store.Stat(t.Context(), d)
		wantCode(t, err, "blob_missing")
		wantMissing(t, store, d)
		filled(t, store, u, content)
	})
}

func TestAnUploadThatIsRefusedLeavesNothingAndFailsNoReader(t *testing.T) {
	depottest.Each(t, func(t *testing.T, cloud *depottest.Cloud) {
		content := noise(57, 11<<20)
		d := digest.FromBytes(content)
		u := newUpstream(t, content)
		spool := t.TempDir()
		store := openStore(t, blobs.Config{URL: cloud.Depot, Spool: spool})
		cloud.Forbid("write")
		c := fill(t, store, u, content)
		wantContent(t, c, content)
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		for len(spooled(t, spool)) > 0 {
			pause(t)
		}
		if _, found := cloud.Get(key(d)); found {
			t.Error("it was kept all the same")
		}
		if left := cloud.Unfinished(); left > 0 {
			t.Errorf("%d uploads were left unfinished", left)
		}
		wantLogin(t, cloud, store.Put(t.Context(), descriptor(content), content), "blobs_denied")
		cloud.Allow("write") // for what is written at the end
	})
}

func wantLogin(t *testing.T, cloud *depottest.Cloud, err error, code string) {
	t.Helper()
	f := fault.From(err)
	if err == nil || f.Code != code || f.Hint == "" {
		t.Errorf("it is %s (%s) for %v; want %s and a hint", f.Sentence(), f.Code, err, code)
	}
	for _, secret := range append(cloud.Secrets, "an0ther") {
		if err != nil && strings.Contains(f.Sentence()+"\n"+err.Error(), secret) {
			t.Errorf("it shows %q: %v", secret, err)
		}
	}
}

func TestABlobIsGivenThoughTheBucketCannotBeRead(t *testing.T) {
	depottest.Each(t, func(t *testing.T, cloud *depottest.Cloud) {
		content := noise(58, 1000)
		u := newUpstream(t, content)
		store := openStore(t, blobs.Config{URL: cloud.Depot})
		cloud.Forbid("read")
		_, err := store.Open(t.Context(), digest.FromBytes(content))
		if err == nil || errors.Is(err, blobs.ErrNotFound) {
			t.Errorf("a bucket that cannot be read is taken for one without the blob: %v", err)
		}
		wantContent(t, fill(t, store, u, content), content)
		cloud.Allow("read") // for what is written at the end
	})
}

func TestARefusedLoginIsToldAtTheStart(t *testing.T) {
	depottest.Each(t, func(t *testing.T, cloud *depottest.Cloud) {
		for setting, spoil := range cloud.Spoil {
			if strings.Contains(setting, "SAS_TOKEN") {
				continue // which the driver cannot use
			}
			t.Run(setting, func(t *testing.T) {
				spoil(t)
				store, err := blobs.Open(t.Context(), blobs.Config{URL: cloud.Depot, Spool: t.TempDir()})
				if err == nil {
					t.Fatal("it is opened", store.Close())
				}
				wantLogin(t, cloud, err, "blobs_login")
			})
		}
	})
}

func TestABucketThatIsNotThereIsToldAtTheStart(t *testing.T) {
	depottest.Each(t, func(t *testing.T, cloud *depottest.Cloud) {
		_, err := blobs.Open(t.Context(), blobs.Config{URL: cloud.Elsewhere, Spool: t.TempDir()})
		wantLogin(t, cloud, err, "blobs_bucket")
	})
}

func TestAStoreOfOnesOwnIsNamedByTheEnvironment(t *testing.T) {
	for name, start := range map[string]func(*testing.T) *depottest.Cloud{
		"AWS_ENDPOINT_URL_S3": depottest.S3Compatible, "AZURE_STORAGE_DOMAIN": depottest.AzureEmulator,
		"AZURE_STORAGE_CONNECTION_STRING": func(t *testing.T) *depottest.Cloud {
			cloud := depottest.Azure(t)
			depottest.AzureConnectionString(t)
			return cloud
		},
	} {
		t.Run(name, func(t *testing.T) {
			content := noise(59, 9<<20)
			u := newUpstream(t, content)
			store := openStore(t, blobs.Config{URL: start(t).Depot})
			filled(t, store, u, content)
		})
	}
}
