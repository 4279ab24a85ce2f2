package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"sync"

	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/pull"
)

const fairlead = "fairlead"

// pullFairlead does what a worker does, with the product's own store: asks for
// the authorization, pulls, and mounts a root filesystem for one execution.
func pullFairlead(ctx context.Context, m *meter, j job) (root string, err error) {
	m.own = true
	ref, err := image.ParseReference(j.Image)
	if err != nil {
		return "", err
	}
	to, err := reach(j.Host, j.CA, j.User, j.Password)
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
	if err := m.start(); err != nil {
		return "", err
	}
	pulled, err := store.Pull(ctx, pull.Request{
		Image: ref, Route: to.route, Progress: func(pull.Progress) {},
		Authorize: once(to),
	})
	if err != nil {
		return "", err
	}
	if root, err = store.Mount(ctx, pulled, "bench"); err != nil {
		return "", err
	}
	m.Said = pulled.Report.Sentence()
	return root, m.stop()
}

// once asks for an authorization when it is first wanted, and keeps it.
func once(to *far) pull.AuthorizeFunc {
	var mu sync.Mutex
	var known *oci.Authorization
	return func(ctx context.Context, refused bool) (oci.Authorization, error) {
		mu.Lock()
		defer mu.Unlock()
		if known != nil && !refused {
			return *known, nil
		}
		given, err := to.authorize(ctx)
		if err == nil {
			known = &given
		}
		return given, err
	}
}
