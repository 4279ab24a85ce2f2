package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"fairlead.dev/fairlead/internal/client"
	"fairlead.dev/fairlead/internal/demoimage"
	"fairlead.dev/fairlead/internal/grant/granttest"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/wire"
)

const (
	binary     = "bin/fairlead"
	repository = "ml/train"
	stepsFile  = `
- step: {name: first, image: "registry.acme.example/ml/train:v1", command: echo ready}
- step: {name: wait, image: "registry.acme.example/ml/train:v1", command: [echo ready, sleep 600]}
- step: {name: lines, image: "registry.acme.example/ml/train:v1", command: seq 1000000}
- step: {name: nothing, image: "registry.acme.example/ml/train:v1", command: "true"}
`
)

// house is a server of its own process, with a registry, a project and a user.
type house struct {
	dir      string
	registry *granttest.Registry
	server   *exec.Cmd
	address  string
	password string // of the user admin
	token    secret.Text
	api      *client.Client
	project  wire.Project
}

func open(ctx context.Context) (h *house, err error) {
	h = &house{}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.close())
		}
	}()
	if h.dir, err = os.MkdirTemp("", "fairlead-bench-"); err != nil {
		return h, err
	}
	if h.registry, err = granttest.Start(granttest.Options{}); err != nil {
		return h, err
	}
	h.registry.AddUser("robot", "a-good-password", granttest.Pull("ml/*"))
	image, err := demoimage.New(demoimage.Options{})
	if err != nil {
		return h, err
	}
	if _, err := h.registry.Push(ctx, repository, "v1", image); err != nil {
		return h, err
	}
	if h.password, err = h.serve(); err != nil {
		return h, err
	}
	return h, h.furnish(ctx)
}

// serve starts the server and reads the first user's password and the address.
func (h *house) serve() (password string, err error) {
	ca := filepath.Join(h.dir, "ca.pem")
	if err := os.WriteFile(ca, h.registry.CA(), 0o600); err != nil {
		return "", err
	}
	h.server = exec.Command(binary, "serve", "--listen", "127.0.0.1:0", "--data-dir", filepath.Join(h.dir, "data"),
		"--registry-address", h.registry.Host()+"="+h.registry.Address(), "--registry-ca", h.registry.Host()+"="+ca, "--log-level", "warn")
	h.server.Stderr = os.Stderr
	out, err := h.server.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := h.server.Start(); err != nil {
		return "", fmt.Errorf("%w (is %s built? run make build)", err, binary)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if text, found := strings.CutPrefix(lines.Text(), "Password, shown this once: "); found {
			password = text
		}
		if text, found := strings.CutPrefix(lines.Text(), "Serving on "); found {
			h.address = text
			return password, nil
		}
	}
	return "", errors.New("the server did not start")
}

// furnish makes what a run needs.
func (h *house) furnish(ctx context.Context) error {
	anonymous, err := client.New(client.Config{Server: h.address})
	if err != nil {
		return err
	}
	got, err := anonymous.SignIn(ctx, wire.GetToken{Username: "admin", Password: wire.NewPassword(h.password), Name: "bench"})
	if err != nil {
		return err
	}
	h.token = secret.New(got.Token)
	if h.api, err = client.New(client.Config{Server: h.address, Token: h.token}); err != nil {
		return err
	}
	if h.project, err = h.api.CreateProject(ctx, wire.NewProject{Name: "bench", Owner: "main"}); err != nil {
		return err
	}
	_, err = h.api.CreateCredential(ctx, wire.CredentialChange{
		Type: "generic", ImagePatterns: []string{h.registry.Host() + "/ml/*"},
		Configuration: map[string]string{"username": "robot", "password": "a-good-password"},
	})
	if err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(h.dir, "project"), 0o700); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(h.dir, "project", "valohai.yaml"), []byte(stepsFile), 0o600)
}

// command is `fairlead args…` in the project's directory, signed in.
func (h *house) command(ctx context.Context, args ...string) (*exec.Cmd, error) {
	path, err := filepath.Abs(binary)
	if err != nil {
		return nil, err
	}
	c := exec.CommandContext(ctx, path, args...)
	c.Dir = filepath.Join(h.dir, "project")
	c.Env = append(os.Environ(), "FAIRLEAD_SERVER="+h.address, "FAIRLEAD_TOKEN="+h.token.Reveal())
	return c, nil
}

// memory is the server's resident memory in bytes: now, and at its peak.
func (h *house) memory() (now, peak int64, err error) { return memoryOf(h.server.Process.Pid) }

// memoryOf is a process's resident memory in bytes: now, and at its peak.
func memoryOf(pid int) (now, peak int64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	read := func(name string) int64 {
		for line := range bytes.Lines(text) {
			if rest, found := bytes.CutPrefix(line, []byte(name+":")); found {
				kB, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(string(rest)), " kB"), 10, 64)
				return kB << 10
			}
		}
		return 0
	}
	return read("VmRSS"), read("VmHWM"), nil
}

// stop ends the server, if one runs.
func (h *house) stop() error {
	if h.server == nil || h.server.Process == nil {
		return nil
	}
	err := errors.Join(h.server.Process.Signal(syscall.SIGTERM), h.server.Wait())
	h.server = nil
	return err
}

func (h *house) close() error {
	errs := []error{h.stop()}
	if h.registry != nil {
		errs = append(errs, h.registry.Close())
	}
	if h.dir != "" {
		errs = append(errs, os.RemoveAll(h.dir))
	}
	return errors.Join(errs...)
}
