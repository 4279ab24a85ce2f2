//go:build conformance

package pullthrough_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// daemon starts a program that serves until the test's end, and waits until it says that
// it is ready.
func (d *desk) daemon(ready, name string, args ...string) {
	d.t.Helper()
	command := d.command(name, args...)
	// What Debian's daemons start is of Debian as well.
	command.Env = append(command.Env, "PATH=/usr/sbin:/usr/bin:/sbin:/bin")
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = 30 * time.Second
	says, err := command.StderrPipe()
	d.check(err)
	d.check(command.Start())
	booted, ended := make(chan struct{}), make(chan string, 1)
	go func() {
		var said strings.Builder
		lines := bufio.NewScanner(says)
		for isReady := false; lines.Scan(); {
			fmt.Fprintln(&said, lines.Text())
			if !isReady && strings.Contains(lines.Text(), ready) {
				isReady = true
				close(booted)
			}
		}
		_, _ = io.Copy(io.Discard, says)
		_ = command.Wait() // it was told to end
		ended <- said.String()
	}()
	select {
	case <-booted:
		d.t.Cleanup(func() {
			_ = command.Cancel()
			<-ended
		})
	case said := <-ended:
		d.t.Fatalf("%s does not start: %s", name, said)
	}
}

func TestTheClientContainerdPullsThroughTheProgramAsItsConfigurationIsPrinted(t *testing.T) {
	d := newDesk(t)
	dir := t.TempDir()
	socket := filepath.Join(dir, "c.sock")
	settings := "version = 3\nroot = '" + dir + "/root'\nstate = '" + dir + "/state'\ndisabled_plugins = ['io.containerd.grpc.v1.cri', 'io.containerd.cri.v1.images', 'io.containerd.cri.v1.runtime']\n" +
		"[grpc]\naddress = '" + socket + "'\n[ttrpc]\naddress = '" + socket + ".ttrpc'\n"
	d.check(os.WriteFile(filepath.Join(dir, "config.toml"), []byte(settings), 0o600))
	d.daemon("successfully booted", "containerd", "--config", filepath.Join(dir, "config.toml"))
	for _, flags := range [][]string{nil, {"--by-path"}} {
		hosts := filepath.Join(t.TempDir(), "certs.d")
		at := filepath.Join(hosts, upstreamHost)
		d.check(os.MkdirAll(at, 0o700))
		d.check(os.WriteFile(filepath.Join(at, "hosts.toml"), d.printed(append([]string{"containerd"}, flags...)...), 0o600))
		ctr := func(args ...string) ([]byte, error) {
			command := d.command("ctr", append([]string{"--address", socket}, args...)...)
			var complaint bytes.Buffer
			command.Stderr = &complaint
			printed, err := command.Output()
			if err != nil {
				err = fmt.Errorf("ctr: %w: %s", err, &complaint)
			}
			return printed, err
		}
		d.hold(puller{name: (*content).byName, pull: func(m *member, c *content, name string) error {
			pull := []string{"images", "pull", "--local", "--snapshotter", "native", "--hosts-dir", hosts, "--user", m.project + ":" + m.token, name}
			if _, err := ctr(pull...); err != nil {
				return err
			}
			for i, want := range append([][]byte{c.manifest}, c.blobs...) {
				got, err := ctr("content", "get", c.parts()[i].String())
				if err != nil {
					return err
				}
				if !bytes.Equal(got, want) {
					return fmt.Errorf("%s: %w", c.parts()[i], errBad)
				}
			}
			_, err := ctr("images", "rm", "--sync", name)
			return err
		}})
		d.giveBack()
	}
}

// printed is what `fairlead cache config` prints.
func (d *desk) printed(args ...string) []byte {
	d.t.Helper()
	self, err := os.Executable()
	d.check(err)
	command := exec.CommandContext(d.t.Context(), self, append([]string{"cache", "config", "--url", "https://" + cacheHost, "--upstream", upstreamHost, "--ca", d.ca}, args...)...)
	command.Env = append(os.Environ(), asProgram+"=1")
	text, err := command.Output()
	d.check(err)
	return text
}

func TestTheClientDockerPullsThroughTheProgram(t *testing.T) {
	d := newDesk(t)
	dir, err := os.MkdirTemp("", "dock") //nolint:usetesting // a socket's path has at most 108 characters
	d.check(err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := "unix://" + dir + "/d.sock"
	d.check(os.WriteFile(dir+"/daemon.json", []byte("{}"), 0o600))
	d.daemon("API listen on", "dockerd", "--iptables=false", "--ip-forward=false", "--ip-masq=false", "--bridge=none", "--storage-driver=vfs",
		"--data-root", dir+"/data", "--exec-root", dir+"/exec", "--pidfile", dir+"/pid", "--config-file", dir+"/daemon.json", "--host", socket)
	docker := func(args ...string) (string, error) {
		return d.run("docker", append([]string{"--host", socket}, args...)...)
	}
	d.hold(puller{name: (*content).byPath, shows: true, pull: func(m *member, c *content, name string) error {
		login := d.command("docker", "--host", socket, "login", "--username", m.project, "--password-stdin", cacheHost)
		login.Stdin = strings.NewReader(m.token)
		if printed, err := login.CombinedOutput(); err != nil {
			return fmt.Errorf("docker login: %w: %s", err, printed)
		}
		if _, err := docker("pull", "--quiet", name); err != nil {
			return err
		}
		printed, err := docker("image", "inspect", "--format", `{"Digest": "{{index .RepoDigests 0}}", "ID": "{{.Id}}", "Layers": {{json .RootFS.Layers}}}`, name)
		if err != nil {
			return err
		}
		var has struct {
			Digest, ID string
			Layers     []string
		}
		if err := json.Unmarshal([]byte(printed), &has); err != nil {
			return fmt.Errorf("%s: %w", printed, err)
		}
		if err := wantStored(c, has.Digest, has.ID, has.Layers); err != nil {
			return err
		}
		_, err = docker("image", "rm", "--force", strings.TrimPrefix(has.ID, digest.SHA256.String()+":"))
		return err
	}})
	d.wantNothingElsewhere()
}
