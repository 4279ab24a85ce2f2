package pull

import (
	"bytes"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// packed is content as zstd with a window.
func packed(t *testing.T, content []byte, options ...zstd.EOption) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b, options...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestTheMemoryThatAZstdLayerNeedsIsKnownBeforeItIsRead(t *testing.T) {
	content := make([]byte, 1<<20)
	whole, err := zstd.NewWriter(nil, zstd.WithSingleSegment(true))
	if err != nil {
		t.Fatal(err)
	}
	skippable := append([]byte{0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0}, 1, 2, 3, 4)
	for name, test := range map[string]struct {
		layer []byte
		want  int64
	}{
		"as most are":             {packed(t, content), usualWindow},
		"with a large window":     {packed(t, content, zstd.WithWindowSize(64<<20)), 64 << 20},
		"with the largest":        {packed(t, content, zstd.WithWindowSize(512<<20)), maxWindow},
		"in one piece":            {whole.EncodeAll(make([]byte, 16<<20), nil), 16 << 20},
		"behind something else":   {append(skippable, packed(t, content)...), usualWindow},
		"that is no zstd at all":  {[]byte("no zstd"), usualWindow},
		"of which little is here": {packed(t, content)[:5], usualWindow},
	} {
		if got := windowOf(test.layer[:min(len(test.layer), zstd.HeaderMaxSize)]); got != test.want {
			t.Errorf("a layer %s needs %d bytes, want %d", name, got, test.want)
		}
	}
}
