package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/containerd/stargz-snapshotter/estargz"
	"github.com/opencontainers/go-digest"

	"fairlead.dev/fairlead/bench/far"
)

// small makes an image of a megabyte and tells its files.
func small(t *testing.T) (*far.Model, []entry) {
	t.Helper()
	m, err := far.OpenModel(t.Context(), t.TempDir(), 1_000_000, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	files, err := entries(m)
	if err != nil {
		t.Fatal(err)
	}
	return m, files
}

// manyFiles are as those of a large image: packages and a few libraries.
func manyFiles() (files []entry) {
	for n := range 20_000 {
		files = append(files, entry{fmt.Sprintf("package%03d/module%02d.py", n/40, n%40), int64(200 + n%50*1000)})
	}
	for n := range 40 {
		files = append(files, entry{fmt.Sprintf("lib/libmodel%d.so", n), int64(100<<20) >> (n % 8)})
	}
	return files
}

func TestASmallerStepReadsPartOfWhatALargerOneReads(t *testing.T) {
	files := manyFiles()
	sizes, all := make(map[string]int64), 0.0
	for _, f := range files {
		sizes[f.Path], all = f.Size, all+float64(f.Size)
	}
	var larger []string
	for _, share := range []float64{1, 0.3, 0.1} {
		paths, bytes := choose(files, share), 0.0
		for _, path := range paths {
			bytes += float64(sizes[path])
			if larger != nil && !slices.Contains(larger, path) {
				t.Fatalf("%s is read by the step of %.0f %%, and not by the larger one", path, share*100)
			}
		}
		if got := bytes / all; math.Abs(got-share) > 0.02 {
			t.Errorf("the step of %.0f %% reads %.1f %%", share*100, got*100)
		}
		larger = paths
	}
	paths := choose(files, 1)
	slices.Sort(paths)
	if got := len(slices.Compact(paths)); got != len(files) {
		t.Errorf("the step of 100 %% reads %d of %d files", got, len(files))
	}
}

func TestAConvertedImageHasPrioritizedFilesBeforeItsLandmark(t *testing.T) {
	m, files := small(t)
	first := files[len(files)/2:][:1]
	converted, err := convert(t.Context(), m, prioritizedTag, []string{first[0].Path}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, l := range converted.Layers {
		inLayer, err := layerEntries(filepath.Join(converted.Dir, l.File))
		if err != nil {
			t.Fatal(err)
		}
		at := slices.IndexFunc(inLayer, func(e entry) bool { return e.Path == first[0].Path })
		landmark := slices.IndexFunc(inLayer, func(e entry) bool { return e.Path == estargz.PrefetchLandmark })
		if at >= 0 {
			found = true
			if landmark != at+1 {
				t.Errorf("it is at %d, and the landmark at %d", at, landmark)
			}
		}
	}
	if !found {
		t.Error("it is in no layer")
	}
}

// served is an image in a registry, and a job on it by a way.
func served(t *testing.T, m *far.Model, w way, files []entry) (job, *far.Client) {
	t.Helper()
	side, err := far.Serve()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := side.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := side.Push(t.Context(), m, w.Tag); err != nil {
		t.Fatal(err)
	}
	to, err := far.Reach(side.Host, side.CAFile, far.User, far.Password)
	if err != nil {
		t.Fatal(err)
	}
	return job{way: w, Dir: t.TempDir(), Image: side.Image(w.Tag), Paths: choose(files, 1)}, to
}

func TestALazyMountHasTheBytesOfAWholePull(t *testing.T) {
	plain, files := small(t)
	stargz, err := convert(t.Context(), plain, stargzTag, nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var got []content
	for _, w := range ways[:3] {
		m := map[string]*far.Model{gzipTag: plain, stargzTag: stargz}[w.Tag]
		j, to := served(t, m, w, files)
		begin := whole
		if w.Lazy {
			begin = func(ctx context.Context, j job, to *far.Client) (string, func() error, error) {
				return lazy(ctx, j, to, new(traffic))
			}
		}
		root, done, err := begin(t.Context(), j, to)
		if err != nil {
			t.Fatalf("%s: %v", w.Name, err)
		}
		read, err := step{Root: root, Paths: j.Paths}.read()
		if err = errors.Join(err, far.Whole(root, plain.Layers), done()); err != nil {
			t.Fatalf("%s: %v", w.Name, err)
		}
		got = append(got, read)
	}
	if got[0].Files != len(files) || got[1] != got[0] || got[2] != got[0] {
		t.Errorf("of %d files, were read: %+v", len(files), got)
	}
}

func TestALazyMountGivesNoBytesThatWereAltered(t *testing.T) {
	plain, files := small(t)
	m, err := convert(t.Context(), plain, stargzTag, nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	l := &m.Layers[2] // most of it is a library
	path := filepath.Join(m.Dir, l.File)
	blob, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	blob[len(blob)/2] ^= 1
	l.Digest = digest.FromBytes(blob).String()
	if err := os.WriteFile(path, blob, 0o600); err != nil {
		t.Fatal(err)
	}
	j, to := served(t, m, ways[2], files)
	root, done, err := lazy(t.Context(), j, to, new(traffic))
	if err != nil {
		t.Fatal(err)
	}
	read, err := step{Root: root, Paths: j.Paths}.read()
	if err == nil {
		t.Errorf("it gave all of it: %+v", read)
	}
	if err := done(); err != nil {
		t.Error(err)
	}
}
