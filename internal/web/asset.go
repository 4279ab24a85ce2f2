package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"
)

//go:embed static
var staticFiles embed.FS

// compressFrom is from how many bytes on an answer is compressed: less fits into one
// packet anyway.
const compressFrom = 1200

// assets are the files that pages refer to. They are named with their hash, so that a
// browser keeps them for good, and asks for those of a new version.
type assets struct{ byName map[string]*asset }

type asset struct {
	body []byte
	kind string
	hash string

	compressed func() []byte // made at first use
}

func openAssets() (*assets, error) {
	a := &assets{byName: make(map[string]*asset)}
	entries, err := fs.ReadDir(staticFiles, "static")
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		body, err := staticFiles.ReadFile("static/" + entry.Name())
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(body)
		a.byName[entry.Name()] = &asset{
			body: body, kind: kindOf(entry.Name()), hash: hex.EncodeToString(sum[:8]),
			compressed: sync.OnceValue(func() []byte { return compress(body) }),
		}
	}
	return a, nil
}

// kindOf is a file's type. It is not asked of the machine, whose list may differ and is
// long to read.
func kindOf(name string) string {
	switch path.Ext(name) {
	case ".css":
		return "text/css; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	default:
		return "text/plain; charset=utf-8"
	}
}

// link is the address of a file for a page.
func (a *assets) link(name string) string {
	if known := a.byName[name]; known != nil {
		return "/static/" + name + "?v=" + known.hash
	}
	return "/static/" + name
}

// serve gives a file.
func (s *site) serveAsset(w http.ResponseWriter, r *http.Request) {
	found := s.assets.byName[r.PathValue("name")]
	if found == nil {
		http.NotFound(w, r)
		return
	}
	header := w.Header()
	header.Set("Cache-Control", "no-cache") // ask whether it is still the same
	if r.URL.Query().Get("v") == found.hash {
		header.Set("Cache-Control", "public, max-age="+strconv.Itoa(int(365*24*time.Hour/time.Second))+", immutable")
	}
	header.Set("Content-Type", found.kind)
	header.Set("Vary", "Accept-Encoding")
	body, tag := found.body, found.hash
	if accepts(r, "gzip") && len(body) > compressFrom {
		body, tag = found.compressed(), tag+"-gz"
		header.Set("Content-Encoding", "gzip")
	}
	header.Set("ETag", `"`+tag+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}

// accepts reports whether the browser takes an encoding.
func accepts(r *http.Request, encoding string) bool {
	for offer := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, quality, _ := strings.Cut(strings.TrimSpace(offer), ";")
		if name == encoding && strings.ReplaceAll(quality, " ", "") != "q=0" {
			return true
		}
	}
	return false
}

var compressors = sync.Pool{New: func() any {
	w, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // the level is one of its own
	return w
}}

func compress(body []byte) []byte {
	var to bytes.Buffer
	w := compressors.Get().(*gzip.Writer)
	defer compressors.Put(w)
	w.Reset(&to)
	_, _ = w.Write(body) // to memory
	_ = w.Close()
	return to.Bytes()
}
