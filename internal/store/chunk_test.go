package store

import (
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/execution"
)

func testCodec(t testing.TB) *codec {
	t.Helper()
	c, err := newCodec()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func FuzzABodyIsReadOrRefused(f *testing.F) {
	c := testCodec(f)
	for _, count := range []int{1, 100} {
		lines := make([]execution.Line, count)
		for i := range lines {
			lines[i] = execution.Line{Time: time.UnixMicro(int64(i) * 1e9), Stream: execution.Stderr, Text: "some text"}
		}
		chunks, _, err := c.chunks(lines, 0)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(chunks[0].body)
	}
	f.Add([]byte{})
	f.Add([]byte{9})
	f.Add([]byte{plainBody, 1, 7, 0})
	f.Add([]byte{plainBody, 1, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, body []byte) {
		lines, err := c.unpack(nil, body, 1, 0, 10_000)
		for i, line := range lines {
			if line.Sequence != int64(i+1) {
				t.Fatalf("line %d has number %d (%v)", i+1, line.Sequence, err)
			}
		}
	})
}

func TestADamagedBodyIsAnError(t *testing.T) {
	c := testCodec(t)
	for _, body := range [][]byte{
		nil, {7}, {plainBody, 1}, {plainBody, 1, 1}, {plainBody, 1, 1, 5, 'a'}, {plainBody, 1, 9, 0}, {packedBody, 1, 2, 3},
	} {
		if _, err := c.unpack(nil, body, 1, 0, 10); err == nil {
			t.Errorf("% x was read", body)
		}
	}
}
