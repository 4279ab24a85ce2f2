package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/sync/errgroup"

	"fairlead.dev/fairlead/bench/far"
	"fairlead.dev/fairlead/internal/oci"
)

// What nobody is faster than.
const (
	limitTransfer   = "limit: transfer"
	limitDecompress = "limit: decompression"
	limitWrite      = "limit: writing"
)

// transfer downloads every layer and keeps nothing, four at a time.
func transfer(ctx context.Context, m *meter, j job) error {
	m.Own = true
	to, err := far.Reach(j.Host, j.CA, j.User, j.Password)
	if err != nil {
		return err
	}
	if err := m.Start(); err != nil {
		return err
	}
	authorization, err := to.Authorize(ctx)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for _, l := range j.Layers {
		group.Go(func() error { return discard(ctx, to, l, authorization) })
	}
	return errors.Join(group.Wait(), m.Stop())
}

func discard(ctx context.Context, from *far.Client, l far.Layer, authorization oci.Authorization) error {
	url := from.Route.URL("/v2/" + far.Repository + "/blobs/" + l.Digest).String()
	response, err := from.Do(ctx, http.MethodGet, url, nil, http.Header{"Accept-Encoding": {"identity"}}, authorization, http.StatusOK)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	n, err := io.Copy(struct{ io.Writer }{io.Discard}, response.Body)
	if err == nil && n != l.Size {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// decompress decompresses every layer out of memory, one after the other, on one
// core, by the fastest that is here: igzip, or what is built into Fairlead.
func decompress(ctx context.Context, m *meter, j job) error {
	m.Own = true
	var layers [][]byte
	for _, l := range j.Layers {
		layer, err := os.ReadFile(filepath.Join(j.ImageDir, l.File))
		if err != nil {
			return err
		}
		layers = append(layers, layer)
	}
	igzip, _ := exec.LookPath("igzip")
	if err := m.Start(); err != nil {
		return err
	}
	for _, layer := range layers {
		if igzip != "" {
			c := exec.CommandContext(ctx, igzip, "--decompress", "--stdout")
			c.Stdin = bytes.NewReader(layer)
			if err := c.Run(); err != nil {
				return err
			}
			continue
		}
		plain, err := gzip.NewReader(bytes.NewReader(layer))
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, plain); err != nil {
			return err
		}
	}
	return m.Stop()
}

// write writes as many bytes as the image unpacks to, one after the other, and
// waits until the disk has them.
func write(m *meter, j job) error {
	m.Own = true
	file, err := os.Create(filepath.Join(j.Dir, "bytes"))
	if err != nil {
		return err
	}
	defer file.Close()
	block := make([]byte, 1<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(block)
	if err := m.Start(); err != nil {
		return err
	}
	for left := j.Bytes; left > 0; left -= int64(len(block)) {
		if _, err := file.Write(block[:min(left, int64(len(block)))]); err != nil {
			return err
		}
	}
	return errors.Join(file.Sync(), m.Stop())
}
