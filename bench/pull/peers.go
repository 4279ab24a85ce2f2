package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// peer is another way to a root filesystem.
type peer struct {
	name  string
	needs []string // programs
	from  string   // how to get them

	// ready says what else is missing, or ""; nil: nothing can be.
	ready func() string

	// pull measures itself from the first request to the root filesystem, and
	// returns the latter; "" where it can only be reached from inside.
	pull func(ctx context.Context, m *meter, j job) (root string, err error)
}

const madeByMake = "make bench-pull-peers builds it"

var peers = []peer{
	{"containerd", []string{"containerd", "ctr"}, madeByMake, containerdTwo, containerd("")},
	{"containerd-tuned", []string{"containerd", "ctr"}, madeByMake, containerdTwo, containerd(tuned)},
	{"skopeo-umoci", []string{"skopeo", "umoci"}, "make bench-pull-peers installs them on Debian", nil, skopeoUmoci},
	{"crane-tar", []string{"crane", "tar"}, madeByMake, nil, craneTar},
	{"podman", []string{"podman"}, "make bench-pull-peers installs it on Debian", nil, podman},
	{"docker", []string{"docker", "dockerd"}, "see https://docs.docker.com/engine/install/", nil, docker},
}

// lacks is what of p is not on this machine.
func (p peer) lacks() string {
	for _, program := range p.needs {
		if _, err := exec.LookPath(program); err != nil {
			return program
		}
	}
	if p.ready != nil {
		return p.ready()
	}
	return ""
}

// containerdTwo wants containerd 2: the first one's pull is another.
func containerdTwo() string {
	out, err := exec.Command("containerd", "--version").Output()
	if fields := strings.Fields(string(out)); err == nil && len(fields) > 2 && strings.HasPrefix(strings.TrimPrefix(fields[2], "v"), "2.") {
		return ""
	}
	return "containerd 2.x"
}

// tuned is what the documentation of containerd's transfer service offers for
// pulls that have a machine to themselves.
const tuned = `
[plugins.'io.containerd.transfer.v1.local']
max_concurrent_downloads = 6
max_concurrent_unpacks = 6
`

// containerd pulls with a daemon of its own and a store that is new.
func containerd(settings string) func(context.Context, *meter, job) (string, error) {
	return func(ctx context.Context, m *meter, j job) (string, error) {
		hosts, socket, root := filepath.Join(j.Dir, "hosts"), filepath.Join(j.Dir, "containerd.sock"), filepath.Join(j.Dir, "rootfs")
		config := filepath.Join(j.Dir, "config.toml")
		err := files(map[string]string{
			config: fmt.Sprintf("version = 3\nroot = %q\nstate = %q\n[grpc]\naddress = %q\n%s",
				filepath.Join(j.Dir, "containerd"), filepath.Join(j.Dir, "state"), socket, settings),
			filepath.Join(hosts, j.Host, "hosts.toml"): fmt.Sprintf("server = %q\nca = %q\n", "https://"+j.Host, j.CA),
			filepath.Join(root, "keep"):                "",
		})
		if err != nil {
			return "", err
		}
		if err := m.StartDaemon(ctx, j.Dir, socket, exec.CommandContext(ctx, "containerd", "--config", config)); err != nil {
			return "", err
		}
		ctr := func(args ...string) *exec.Cmd {
			return exec.CommandContext(ctx, "ctr", append([]string{"--address", socket}, args...)...)
		}
		return root, m.Steps(
			func() error {
				return m.Run(j.Dir, ctr("images", "pull", "--hosts-dir", hosts, "--user", j.User+":"+j.Password, j.Image))
			},
			func() error { return m.Run(j.Dir, ctr("images", "mount", "--rw", j.Image, root)) },
		)
	}
}

// skopeoUmoci fetches into a directory and unpacks out of it.
func skopeoUmoci(ctx context.Context, m *meter, j job) (string, error) {
	layout, bundle := filepath.Join(j.Dir, "layout"), filepath.Join(j.Dir, "bundle")
	return filepath.Join(bundle, "rootfs"), m.Steps(
		func() error {
			return m.Run(j.Dir, exec.CommandContext(ctx, "skopeo", "copy", "--src-cert-dir", j.Certificates,
				"--src-creds", j.User+":"+j.Password, "docker://"+j.Image, "oci:"+layout+":image"))
		},
		func() error {
			return m.Run(j.Dir, exec.CommandContext(ctx, "umoci", "unpack", "--image", layout+":image", bundle))
		},
	)
}

// craneTar keeps no layers: it makes one archive of them, and tar unpacks it.
func craneTar(ctx context.Context, m *meter, j job) (string, error) {
	root := filepath.Join(j.Dir, "rootfs")
	if err := files(map[string]string{filepath.Join(j.Dir, "docker", "config.json"): login(j), filepath.Join(root, "keep"): ""}); err != nil {
		return "", err
	}
	crane := exec.CommandContext(ctx, "crane", "export", j.Image, "-")
	crane.Env = append(os.Environ(), "DOCKER_CONFIG="+filepath.Join(j.Dir, "docker"), "SSL_CERT_FILE="+j.CA)
	return root, m.Steps(func() error { return m.Run(j.Dir, crane, exec.CommandContext(ctx, "tar", "-x", "-C", root)) })
}

// podman pulls into a store that is new.
func podman(ctx context.Context, m *meter, j job) (string, error) {
	temporary := filepath.Join(j.Dir, "temporary")
	if err := os.MkdirAll(temporary, 0o700); err != nil {
		return "", err
	}
	command := func(args ...string) *exec.Cmd {
		c := exec.CommandContext(ctx, "podman", append([]string{
			"--root", filepath.Join(j.Dir, "storage"), "--runroot", filepath.Join(j.Dir, "run"),
			"--storage-driver", "overlay", "--events-backend", "none", "--cgroup-manager", "cgroupfs",
		}, args...)...)
		c.Env = append(os.Environ(), "TMPDIR="+temporary)
		return c
	}
	var root bytes.Buffer
	mount := command("image", "mount", j.Image)
	mount.Stdout = &root
	err := m.Steps(
		func() error {
			return m.Run(j.Dir, command("pull", "--quiet", "--cert-dir", j.Certificates, "--creds", j.User+":"+j.Password, j.Image))
		},
		func() error { return m.Run(j.Dir, mount) },
	)
	return strings.TrimSpace(root.String()), err
}

// docker pulls with a daemon of its own and a store that is new. It takes any
// certificate of a loopback address.
func docker(ctx context.Context, m *meter, j job) (string, error) {
	socket := filepath.Join(j.Dir, "docker.sock")
	if err := files(map[string]string{filepath.Join(j.Dir, "docker", "config.json"): login(j)}); err != nil {
		return "", err
	}
	daemon := exec.CommandContext(ctx, "dockerd", "--host", "unix://"+socket, "--data-root", filepath.Join(j.Dir, "data"),
		"--exec-root", filepath.Join(j.Dir, "exec"), "--pidfile", filepath.Join(j.Dir, "pid"),
		"--bridge", "none", "--iptables=false")
	if err := m.StartDaemon(ctx, j.Dir, socket, daemon); err != nil {
		return "", err
	}
	command := func(args ...string) *exec.Cmd {
		return exec.CommandContext(ctx, "docker", append([]string{"--config", filepath.Join(j.Dir, "docker"), "--host", "unix://" + socket}, args...)...)
	}
	return "", m.Steps(
		func() error { return m.Run(j.Dir, command("pull", "--quiet", j.Image)) },
		func() error { return m.Run(j.Dir, command("create", j.Image)) },
	)
}

// login is a docker configuration that holds the job's user.
func login(j job) string {
	return fmt.Sprintf(`{"auths": {%q: {"auth": %q}}}`, j.Host, base64.StdEncoding.EncodeToString([]byte(j.User+":"+j.Password)))
}

// files writes files and makes their directories.
func files(content map[string]string) error {
	for name, text := range content {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}
