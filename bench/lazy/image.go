package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/stargz-snapshotter/estargz"
	"github.com/opencontainers/go-digest"

	"fairlead.dev/fairlead/bench/far"
)

// entry is a file that a step can read.
type entry struct {
	Path string
	Size int64
}

// entries are the files of an image's root filesystem, in the order in which its
// layers have them.
func entries(m *far.Model) ([]entry, error) {
	var all []entry
	for _, l := range m.Layers {
		found, err := layerEntries(filepath.Join(m.Dir, l.File))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", l.File, err)
		}
		all = append(all, found...)
	}
	return all, nil
}

func layerEntries(path string) (found []entry, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	plain, err := gzip.NewReader(file)
	if err != nil {
		return nil, err
	}
	for archive := tar.NewReader(plain); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return nil, err
		}
		whiteout := strings.HasPrefix(filepath.Base(header.Name), ".wh.")
		if header.Typeflag == tar.TypeReg && !whiteout && header.Name != far.RemovedLater {
			found = append(found, entry{header.Name, header.Size})
		}
	}
}

// conversionVersion changes with how images are converted, and with what a step
// reads.
const conversionVersion = 2

// convert makes an eStargz image of another, as `ctr-remote image optimize` does:
// the prioritized files first in their layers, before a landmark up to which a
// mount fetches ahead. It is compressed at the level of the other, docker's, and
// kept in the other's directory for the next run.
func convert(ctx context.Context, m *far.Model, name string, prioritized []string, log io.Writer) (*far.Model, error) {
	made := &far.Model{Dir: filepath.Join(m.Dir, fmt.Sprintf("%s-%d", name, conversionVersion))}
	index := filepath.Join(made.Dir, "image.json")
	if text, err := os.ReadFile(index); err == nil {
		return made, json.Unmarshal(text, made)
	}
	fmt.Fprintf(log, "Converting the image, once, to %s.\n", made.Dir)
	if err := os.MkdirAll(made.Dir, 0o755); err != nil {
		return nil, err
	}
	for _, l := range m.Layers {
		converted, err := convertLayer(ctx, filepath.Join(m.Dir, l.File), filepath.Join(made.Dir, l.File), prioritized)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", l.File, err)
		}
		converted.Files, converted.Marker, converted.MarkerSize = l.Files, l.Marker, l.MarkerSize
		made.Layers = append(made.Layers, converted)
	}
	text, err := json.MarshalIndent(made, "", "  ")
	if err != nil {
		return nil, err
	}
	return made, os.WriteFile(index, text, 0o644)
}

func convertLayer(ctx context.Context, from, to string, prioritized []string) (l far.Layer, err error) {
	packed, err := os.Open(from)
	if err != nil {
		return l, err
	}
	defer packed.Close()
	info, err := packed.Stat()
	if err != nil {
		return l, err
	}
	var elsewhere []string // prioritized files of other layers
	blob, err := estargz.Build(io.NewSectionReader(packed, 0, info.Size()), estargz.WithContext(ctx),
		estargz.WithCompressionLevel(gzip.DefaultCompression),
		estargz.WithPrioritizedFiles(prioritized), estargz.WithAllowPrioritizeNotFound(&elsewhere))
	if err != nil {
		return l, err
	}
	defer func() { err = errors.Join(err, blob.Close()) }()
	file, err := os.Create(to)
	if err != nil {
		return l, err
	}
	defer file.Close()
	digester := digest.Canonical.Digester()
	if l.Size, err = io.Copy(io.MultiWriter(file, digester.Hash()), blob); err != nil {
		return l, err
	}
	if l.Unpacked, err = blob.UncompressedSize(); err != nil {
		return l, err
	}
	l.File, l.Digest, l.DiffID = filepath.Base(to), digester.Digest().String(), blob.DiffID().String()
	l.Annotations = map[string]string{estargz.TOCJSONDigestAnnotation: blob.TOCDigest().String()}
	return l, file.Close()
}
