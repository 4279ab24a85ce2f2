package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"time"

	"fairlead.dev/fairlead/bench/far"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/pull"
)

const fairlead = "fairlead"

// pullFairlead does what a worker does, with the product's own store: asks for
// the authorization, pulls, and mounts a root filesystem for one execution.
func pullFairlead(ctx context.Context, m *meter, j job) (root string, err error) {
	m.Own = true
	to, err := far.Reach(j.Host, j.CA, j.User, j.Password)
	if err != nil {
		return "", err
	}
	igzip, _ := exec.LookPath("igzip") // as a worker does
	store, err := pull.Open(pull.Config{Root: filepath.Join(j.Dir, "images"), Igzip: igzip})
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if j.Profile != "" {
		file, err := os.Create(j.Profile)
		if err != nil {
			return "", err
		}
		defer file.Close()
		if err := pprof.StartCPUProfile(file); err != nil {
			return "", err
		}
		defer pprof.StopCPUProfile()
	}
	start := func(name, key string) (root string, pulled pull.Image, err error) {
		ref, err := image.ParseReference(name)
		if err != nil {
			return "", pulled, err
		}
		pulled, err = store.Pull(ctx, pull.Request{
			Image: ref, Route: to.Route, Progress: func(pull.Progress) {},
			Authorize: to.Once(),
		})
		if err != nil {
			return "", pulled, err
		}
		root, err = store.Mount(ctx, pulled, key)
		return root, pulled, err
	}
	if err := m.Start(); err != nil {
		return "", err
	}
	root, pulled, err := start(j.Image, "cold")
	if err = errors.Join(err, m.Stop()); err != nil {
		return "", err
	}
	m.said = pulled.Report.Sentence()
	if err := store.Collect(ctx); err != nil { // as it is when the next execution comes
		return "", err
	}
	for name, seconds := range map[string]*float64{j.Image: &m.again, j.Changed: &m.changed} {
		begin := time.Now()
		if _, _, err := start(name, fmt.Sprintf("warm-%d", begin.UnixNano())); err != nil {
			return "", err
		}
		*seconds = time.Since(begin).Seconds()
	}
	return root, nil
}
