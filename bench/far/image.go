// Package far is the far side of a measured pull: an image as machine learning
// has them, a registry with token authentication that serves it, and the link
// to it. Who is measured speaks to it as to any registry.
package far

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"fairlead.dev/fairlead/internal/demoimage"
)

// Model is an image as machine learning has them: eight layers, one over half
// of the whole, tens of thousands of small files and a few that are large, in
// gzip layers as docker makes them. The same size gives the same bytes as long
// as the shell in it is the same.
type Model struct {
	Layers []Layer
	Top    Layer  // 10 MB that take the place of the topmost layer in the changed image
	Dir    string `json:"-"` // has the layers' files
}

// Changed is the image with its topmost layer changed, as a team's next build.
func (m *Model) Changed() *Model {
	layers := slices.Clone(m.Layers)
	layers[len(layers)-1] = m.Top
	return &Model{Layers: layers, Dir: m.Dir}
}

// Layer is a gzip archive in the model's directory.
type Layer struct {
	File     string
	Digest   string // of the file
	DiffID   string // of the archive in it
	Size     int64
	Unpacked int64 // bytes of the archive
	Files    int

	Annotations map[string]string `json:",omitempty"` // in the manifest

	// Marker is the path of the file that the layer ends with, and its size:
	// where it is, the layer was unpacked.
	Marker     string
	MarkerSize int64
}

// Size is the bytes of the layers as the registry has them.
func (m *Model) Size() (n int64) {
	for _, l := range m.Layers {
		n += l.Size
	}
	return n
}

// Unpacked is the bytes of the archives in the layers.
func (m *Model) Unpacked() (n int64) {
	for _, l := range m.Layers {
		n += l.Unpacked
	}
	return n
}

// FileCount is how many files and directories the layers have.
func (m *Model) FileCount() (n int) {
	for _, l := range m.Layers {
		n += l.Files
	}
	return n
}

// modelVersion changes with what the generator makes.
const modelVersion = 3

// plans say what share of the image each layer is, from the bottom up, what
// share of it is in small files, and how many large ones hold the rest.
var plans = []struct {
	share, small float64
	large        int
}{
	{0.04, 0.60, 4}, // a system
	{0.08, 0.30, 6}, // its libraries
	{0.56, 0.12, 8}, // a framework: a few enormous libraries
	{0.12, 0.50, 6}, // packages
	{0.08, 0.80, 4}, // packages of many files
	{0.06, 0.40, 4}, // tools
	{0.04, 0.90, 2}, // more small files
	{0.02, 0.10, 1}, // the team's own
	{0.00, 0.20, 1}, // the same in the changed image
}

// topSize is the compressed size of that last one.
const topSize = 10_000_000

// RemovedLater is a file of the first layer that the last one takes away.
const RemovedLater = "usr/share/removed-later"

// OpenModel gives the image from dir, and makes it if it is not there. size is
// the compressed size, about, in bytes.
func OpenModel(ctx context.Context, dir string, size uint64, log io.Writer) (*Model, error) {
	m := &Model{Dir: filepath.Join(dir, fmt.Sprintf("image-%d-%d", modelVersion, size))}
	index := filepath.Join(m.Dir, "image.json")
	if text, err := os.ReadFile(index); err == nil {
		return m, json.Unmarshal(text, m)
	}
	fmt.Fprintf(log, "Making the image in %s, once: it takes about a minute for each GB.\n", m.Dir)
	if err := os.MkdirAll(m.Dir, 0o755); err != nil {
		return nil, err
	}
	shell, err := demoimage.Shell(ctx)
	if err != nil {
		return nil, err
	}
	layers := make([]Layer, len(plans))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.NumCPU())
	for _, i := range []int{2, 3, 1, 4, 5, 0, 6, 7, 8} { // the largest first
		group.Go(func() (err error) {
			bytes := int64(float64(size) * ratio * plans[i].share)
			if i == len(plans)-1 {
				bytes = topSize * ratio
			}
			layers[i], err = writeLayer(ctx, m.Dir, i, bytes, shell)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	m.Layers, m.Top = layers[:len(layers)-1], layers[len(layers)-1]
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, err
	}
	return m, os.WriteFile(index, text, 0o644)
}

// layerWriter writes an archive, its gzip and the digests of both.
type layerWriter struct {
	tar      *tar.Writer
	draw     *drawer
	known    map[string]bool // directories
	unpacked int64
	files    int
	err      error
}

func writeLayer(ctx context.Context, dir string, index int, bytes int64, shell []byte) (l Layer, err error) {
	l.File = fmt.Sprintf("layer-%d.tar.gz", index)
	file, err := os.Create(filepath.Join(dir, l.File))
	if err != nil {
		return l, err
	}
	defer file.Close()
	packed, plain := newTally(file), newTally(io.Discard)
	zip := gzip.NewWriter(packed) // docker's level is the default too
	w := &layerWriter{tar: tar.NewWriter(io.MultiWriter(zip, plain)), draw: newDrawer(uint64(index)), known: make(map[string]bool)}
	w.fill(ctx, index, bytes, shell)
	l.Marker, l.MarkerSize = fmt.Sprintf("opt/layers/%d", index), 1000
	w.directory("opt/layers")
	w.text(l.Marker, l.MarkerSize)
	for _, finish := range []func() error{func() error { return w.err }, w.tar.Close, zip.Close, file.Close} {
		if err := finish(); err != nil {
			return l, err
		}
	}
	l.Size, l.Digest = packed.n, packed.digest()
	l.Unpacked, l.DiffID, l.Files = plain.n, plain.digest(), w.files
	return l, nil
}

// fill puts about that many bytes into a layer.
func (w *layerWriter) fill(ctx context.Context, index int, bytes int64, shell []byte) {
	switch index {
	case 0:
		w.directory("bin")
		w.file("bin/sh", 0o755, int64(len(shell)), func(p []byte) { copy(p, shell) })
		w.directory("usr/share")
		w.text(RemovedLater, 1000)
	case len(plans) - 2, len(plans) - 1:
		w.text("usr/share/.wh."+filepath.Base(RemovedLater), 0)
	}
	plan := plans[index]
	small := int64(float64(bytes) * plan.small)
	for n := 0; w.written() < small && w.err == nil && ctx.Err() == nil; n++ {
		const perDirectory = 40
		dir := fmt.Sprintf("usr/lib/python3/site-packages/layer%d/package%04d", index, n/perDirectory)
		if n%perDirectory == 0 {
			w.directory(dir)
			w.symlink(dir+"/current.py", "module00.py")
		}
		w.text(fmt.Sprintf("%s/module%02d.py", dir, n%perDirectory), w.draw.smallSize())
	}
	dir := fmt.Sprintf("usr/local/lib/layer%d", index)
	w.directory(dir)
	rest := bytes - w.written()
	for n := range plan.large { // each half of what is left, so that they differ
		part := rest / 2
		if n == plan.large-1 {
			part = rest
		}
		w.binary(ctx, fmt.Sprintf("%s/libmodel%d.so", dir, n), max(part, 0))
		rest -= part
	}
	if w.err == nil {
		w.err = ctx.Err()
	}
}

func (w *layerWriter) written() int64 { return w.unpacked }

// epoch is when everything in the image was made.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func (w *layerWriter) header(h tar.Header) {
	if w.err != nil {
		return
	}
	h.ModTime, h.Format = epoch, tar.FormatUSTAR
	const block = 512
	w.unpacked += block + (h.Size+block-1)/block*block
	w.files++
	w.err = w.tar.WriteHeader(&h)
}

// directory writes a directory with those above it, as docker does.
func (w *layerWriter) directory(name string) {
	if w.known[name] {
		return
	}
	w.known[name] = true
	if above := path.Dir(name); above != "." {
		w.directory(above)
	}
	w.header(tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755})
}

func (w *layerWriter) symlink(name, target string) {
	w.header(tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777})
}

func (w *layerWriter) text(name string, size int64) { w.file(name, 0o644, size, w.draw.text) }

func (w *layerWriter) binary(ctx context.Context, name string, size int64) {
	w.file(name, 0o755, size, func(p []byte) {
		if ctx.Err() == nil {
			w.draw.binary(p)
		}
	})
}

// file writes a file piece by piece.
func (w *layerWriter) file(name string, mode, size int64, fill func([]byte)) {
	w.header(tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: size})
	piece := make([]byte, min(size, 4<<20))
	for size > 0 && w.err == nil {
		piece = piece[:min(size, int64(len(piece)))]
		fill(piece)
		_, w.err = w.tar.Write(piece)
		size -= int64(len(piece))
	}
}

// tally counts and digests what passes to a writer.
type tally struct {
	to   io.Writer
	hash hash.Hash
	n    int64
}

func newTally(to io.Writer) *tally { return &tally{to: to, hash: sha256.New()} }

func (t *tally) Write(p []byte) (int, error) {
	t.hash.Write(p)
	t.n += int64(len(p))
	return t.to.Write(p)
}

func (t *tally) digest() string { return "sha256:" + hex.EncodeToString(t.hash.Sum(nil)) }

// ratio is what the drawn bytes compress by, about.
const ratio = 3.0

// drawer draws content: text as of programs, and binary as of libraries, which
// gzip makes a third of.
type drawer struct {
	random   *rand.ChaCha8
	words    [][]byte
	picks    []uint16 // words, frequent ones often
	patterns [][]byte
}

const patternBytes, patternCount = 64, 64 // together less than the 32 KiB that gzip looks back

func newDrawer(seed uint64) *drawer {
	d := &drawer{random: rand.NewChaCha8([32]byte{byte(seed), modelVersion})}
	const letters = "eeeeetttaaaooiinnssrrhhlddcumfpgwybv_(.=,"
	for range 3000 {
		word := make([]byte, 3+d.random.Uint64()%9)
		for i := range word {
			word[i] = letters[d.random.Uint64()%uint64(len(letters))]
		}
		d.words = append(d.words, append(word, " \n"[d.random.Uint64()%8/7]))
	}
	d.picks = make([]uint16, 1<<16)
	for i := range d.picks { // the n-th word about 1/n as often as the first
		u := float64(i) / float64(len(d.picks))
		d.picks[i] = uint16(math.Exp(u*math.Log(float64(len(d.words))))) - 1
	}
	for range patternCount {
		pattern := make([]byte, patternBytes)
		_, _ = d.random.Read(pattern)
		d.patterns = append(d.patterns, pattern)
	}
	return d
}

func (d *drawer) text(p []byte) {
	for len(p) > 0 {
		for bits, n := d.random.Uint64(), 0; n < 4; bits, n = bits>>16, n+1 {
			p = p[copy(p, d.words[d.picks[bits&0xffff]]):]
		}
	}
}

// binary is blocks of which some are new, and the others differ a little from
// what there was before.
func (d *drawer) binary(p []byte) {
	var fresh [patternBytes]byte
	for len(p) > 0 {
		bits := d.random.Uint64()
		block := d.patterns[bits&(patternCount-1)]
		if bits>>10&31 < 8 {
			_, _ = d.random.Read(fresh[:])
			block = fresh[:]
		}
		n := copy(p, block)
		if at := int(bits >> 20 & (patternBytes - 1)); at < n {
			p[at] = byte(bits >> 40)
		}
		p = p[n:]
	}
}

// smallSize is between 200 bytes and 64 KiB, small ones more often.
func (d *drawer) smallSize() int64 {
	const least, most = 200, 64 << 10
	u := float64(d.random.Uint64()>>11) / (1 << 53)
	return int64(least * math.Exp(u*math.Log(most/least)))
}

// Whole sees that every layer of an image is in its root filesystem.
func Whole(root string, layers []Layer) error {
	for _, l := range layers {
		info, err := os.Stat(filepath.Join(root, l.Marker))
		if err != nil {
			return fmt.Errorf("the root filesystem is not whole: %w", err)
		}
		if info.Size() != l.MarkerSize {
			return fmt.Errorf("%s has %d bytes, not %d", l.Marker, info.Size(), l.MarkerSize)
		}
	}
	if _, err := os.Lstat(filepath.Join(root, RemovedLater)); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s was not taken away", RemovedLater)
	}
	return nil
}

// config is the image's configuration, as its registry has it.
func (m *Model) config(architecture string) ([]byte, error) {
	type rootfs struct {
		Type    string   `json:"type"`
		DiffIDs []string `json:"diff_ids"`
	}
	stack := rootfs{Type: "layers"}
	for _, l := range m.Layers {
		stack.DiffIDs = append(stack.DiffIDs, l.DiffID)
	}
	return json.Marshal(map[string]any{
		"architecture": architecture, "os": "linux", "rootfs": stack,
		"config": map[string]any{"Cmd": []string{"/bin/sh"}, "Env": []string{"PATH=/bin"}},
	})
}

// manifest is the image's manifest, as docker has them.
func (m *Model) manifest(config []byte) ([]byte, error) {
	type descriptor struct {
		MediaType   string            `json:"mediaType"`
		Digest      string            `json:"digest"`
		Size        int64             `json:"size"`
		Annotations map[string]string `json:"annotations,omitempty"`
	}
	t := newTally(io.Discard)
	if _, err := io.Copy(t, bytes.NewReader(config)); err != nil {
		return nil, err
	}
	var layers []descriptor
	for _, l := range m.Layers {
		layers = append(layers, descriptor{"application/vnd.docker.image.rootfs.diff.tar.gzip", l.Digest, l.Size, l.Annotations})
	}
	return json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": ManifestType,
		"config": descriptor{"application/vnd.docker.container.image.v1+json", t.digest(), t.n, nil},
		"layers": layers,
	})
}

// ManifestType is what images are pushed as.
const ManifestType = "application/vnd.docker.distribution.manifest.v2+json"
