package blobs_test

import (
	"path/filepath"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/blobs"
	"fairlead.dev/fairlead/internal/fault"
)

func TestAnAddressThatIsNoneIsToldWithWhatToWrite(t *testing.T) {
	dir := t.TempDir()
	for address, code := range map[string]string{
		"":                              "blobs_url",
		dir:                             "blobs_url",
		"ftp://host/x":                  "blobs_url",
		"file://host/srv":               "blobs_url",
		"file:///":                      "blobs_url",
		"file:srv":                      "blobs_url",
		"s3://":                         "blobs_url",
		"s3://bucket/path":              "blobs_url",
		"s3://user:secret@bucket":       "blobs_url",
		"gs://bucket#x":                 "blobs_url",
		"s3://bucket?regoin=x":          "blobs_parameter",
		"gs://bucket?region=x":          "blobs_parameter",
		"gs://bucket?prefix=a&prefix=b": "blobs_parameter",
		"gs://bucket?prefix=a/../b":     "blobs_prefix",
		"gs://bucket?prefix=a%26name=b": "blobs_prefix",
		"file://" + dir + "?prefix=../": "blobs_prefix",
		"s3://bucket?region=" + "":      "blobs_region",
		"azblob://outputs":              "blobs_unreachable", // AZURE_STORAGE_ACCOUNT is not set
	} {
		_, err := blobs.Open(t.Context(), blobs.Config{URL: address, Spool: dir})
		if f := fault.From(err); err == nil || f.Code != code || f.Hint == "" || strings.Contains(f.Sentence(), "secret") {
			t.Errorf("%q: %v (%s), want %s and a hint", address, err, f.Code, code)
		}
	}
	_, err := blobs.Open(t.Context(), blobs.Config{URL: "gs://bucket"})
	wantCode(t, err, "spool_missing")
}

func TestADirectoryIsMadeWithItsPrefix(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "one")
	content := []byte("x")
	store := openStore(t, blobs.Config{URL: "file://" + dir + "?prefix=a/b"})
	if err := store.Put(t.Context(), descriptor(content), content); err != nil {
		t.Fatal(err)
	}
	if wantVerified(t, filepath.Join(dir, "a", "b")) != 1 {
		t.Error("it is not there")
	}
}
