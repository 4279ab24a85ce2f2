package pull_test

import (
	"bytes"
	"hash/crc32"
	"os/exec"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/pull"
)

// members is content as gzip of several members, as eStargz and parallel gzip
// programs write it.
func members(t *testing.T, content []byte, size int) []byte {
	t.Helper()
	var b bytes.Buffer
	for len(content) > 0 {
		n := min(size, len(content))
		w := gzip.NewWriter(&b)
		if _, err := w.Write(content[:n]); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		content = content[n:]
	}
	return b.Bytes()
}

func TestGzipIsReadTheSameByIgzipAndByWhatIsBuiltIn(t *testing.T) {
	igzip, err := exec.LookPath("igzip")
	if err != nil {
		t.Fatal("igzip is missing; install the package isal")
	}
	archive := archiveOf(t, file("noise", noise(1<<17)), file("zeros", string(make([]byte, 1<<17))), file("end", "."))
	whole := members(t, archive, len(archive))
	altered := bytes.Clone(whole)
	altered[len(altered)-8] ^= 1 // the check sum, which comes before the length
	if got := crc32.ChecksumIEEE(archive); uint32(whole[len(whole)-8]) != got&0xff {
		t.Fatalf("the check sum %x is not where it is looked for", got)
	}
	for kind, test := range map[string]struct {
		layer []byte
		right bool
	}{
		"one member":                {whole, true},
		"many members":              {members(t, archive, 20_000), true},
		"a broken check sum":        {altered, false},
		"half of it":                {whole[:len(whole)/2], false},
		"noise behind half of it":   {append(bytes.Clone(whole[:len(whole)/2]), noise(1<<17)...), false},
		"nothing but the beginning": {whole[:2], false},
	} {
		for how, path := range map[string]string{"igzip": igzip, "built in": "", "a program that is not there": "/nowhere/igzip"} {
			t.Run(kind+" by "+how, func(t *testing.T) {
				far := newFarSide(t)
				l := compressedBy(t, types.OCILayer, archive)
				l.blob = test.layer
				far.push(t, "acme/train:v1", imageOf(t, l))
				store := openStoreExactly(t, pull.Config{Igzip: path})
				img, err := store.Pull(t.Context(), far.request(t, "acme/train:v1"))
				if !test.right {
					wantFault(t, err, fault.Unavailable, "layer_corrupt")
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if tree := readTree(t, mustMount(t, store, img, "k")); tree["end"] != "." {
					t.Errorf("the last file is %q", tree["end"])
				}
			})
		}
	}
}
