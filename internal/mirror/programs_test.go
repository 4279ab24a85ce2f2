//go:build conformance

package mirror_test

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// bay is a door that programs pull through, and the image behind it.
type bay struct {
	*house
	far  *upstream
	img  v1.Image
	ca   string // a directory with ca.crt
	host string // the door's
	home string
}

func newBay(t *testing.T) *bay {
	t.Helper()
	b := &bay{far: newDistribution(t)}
	layered, err := random.Image(300_000, 3)
	if err != nil {
		t.Fatal(err)
	}
	if b.img, err = mutate.ConfigFile(layered, platform(t, layered)); err != nil {
		t.Fatal(err)
	}
	b.far.push(t, "ada/train:v1", b.img)
	b.house = newHouse(t, newPassThrough(t, map[string]*upstream{acme: b.far}), options{})
	b.ca, b.home = filepath.Dir(b.authority()), t.TempDir()
	b.host = strings.TrimPrefix(b.server.URL, "https://")
	return b
}

// platform is an image's configuration with this machine's platform in it.
func platform(t *testing.T, img v1.Image) *v1.ConfigFile {
	t.Helper()
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config.OS, config.Architecture = "linux", runtime.GOARCH
	return config
}

// run runs a program to its end.
func (b *bay) run(name string, args ...string) (string, error) {
	command := exec.CommandContext(b.t.Context(), program(b.t, name), args...)
	command.Env = append(os.Environ(), "HOME="+b.home, "DOCKER_CONFIG="+b.home, "SSL_CERT_FILE="+b.ca+"/ca.crt", "REGISTRY_AUTH_FILE="+b.home+"/none.json")
	printed, err := command.CombinedOutput()
	return string(printed), err
}

func (b *bay) mustRun(name string, args ...string) string {
	b.t.Helper()
	printed, err := b.run(name, args...)
	if err != nil {
		b.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, printed)
	}
	return printed
}

// login writes Docker's file of logins, which crane and podman read.
func (b *bay) login(user string) {
	b.t.Helper()
	text, err := json.Marshal(map[string]any{"auths": map[string]any{b.host: map[string]string{
		"auth": base64.StdEncoding.EncodeToString([]byte(user + ":" + user + "'s password")),
	}}})
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(b.home, "config.json"), text, 0o600); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bay) digest() string {
	b.t.Helper()
	d, err := b.img.Digest()
	if err != nil {
		b.t.Fatal(err)
	}
	return d.String()
}

func TestTheClientCranePullsByPath(t *testing.T) {
	b := newBay(t)
	ref := b.host + "/" + acme + "/ada/train:v1"
	b.login("ada")
	if got := strings.TrimSpace(b.mustRun("crane", "digest", ref)); got != b.digest() {
		t.Errorf("the digest is %s", got)
	}
	if got := strings.TrimSpace(b.mustRun("crane", "ls", b.host+"/"+acme+"/ada/train")); got != "v1" {
		t.Errorf("the tags are %s", got)
	}
	archive := filepath.Join(t.TempDir(), "image.tar")
	b.mustRun("crane", "pull", ref, archive)
	tag, err := name.NewTag(ref)
	if err != nil {
		t.Fatal(err)
	}
	pulled, err := tarball.ImageFromPath(archive, &tag)
	if err != nil {
		t.Fatal(err)
	}
	want, err := b.img.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := pulled.ConfigName(); err != nil || got != want {
		t.Errorf("it pulled %s: %v", got, err)
	}
	b.login("ben")
	if printed, err := b.run("crane", "digest", ref); err == nil {
		t.Errorf("ben got %s", printed)
	}
	if printed, err := b.run("crane", "push", archive, ref); err == nil || !strings.Contains(printed, "the cache is for pulling") {
		t.Errorf("a push: %v\n%s", err, printed)
	}
}

func TestTheClientsSkopeoAndPodmanPullByPathAndAsAMirror(t *testing.T) {
	b := newBay(t)
	registries := filepath.Join(b.home, "registries.conf")
	text := "[[registry]]\nlocation = \"" + acme + "\"\n[[registry.mirror]]\nlocation = \"" + b.host + "/" + acme + "\"\n"
	if err := os.WriteFile(registries, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	creds := "--src-creds=ada:ada's password"
	into := filepath.Join(t.TempDir(), "pulled")
	b.mustRun("skopeo", "copy", creds, "--src-cert-dir="+b.ca, "docker://"+b.host+"/"+acme+"/ada/train:v1", "dir:"+into)
	manifest, err := b.img.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(into, "manifest.json")); err != nil || string(got) != string(manifest) {
		t.Errorf("skopeo pulled %s: %v", got, err)
	}
	if printed, err := b.run("skopeo", "inspect", "--creds=ben:ben's password", "--cert-dir="+b.ca, "docker://"+b.host+"/"+acme+"/ada/train:v1"); err == nil {
		t.Errorf("ben got %s", printed)
	}

	b.login("ada") // which a mirror is shown under its own name
	t.Setenv("CONTAINERS_REGISTRIES_CONF", registries)
	runroot, err := os.MkdirTemp("", "podman") //nolint:usetesting // it takes a path of 50 characters
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(runroot) })
	root := []string{"--root=" + t.TempDir(), "--runroot=" + runroot, "--storage-driver=vfs"}
	b.mustRun("podman", append(root, "pull", "--quiet", "--authfile="+b.home+"/config.json", "--cert-dir="+b.ca, acme+"/ada/train:v1")...)
	printed := b.mustRun("podman", append(root, "images", "--digests", "--format={{.Digest}}")...)
	if !strings.Contains(printed, b.digest()) {
		t.Errorf("podman has %s", printed)
	}
}

func TestTheClientContainerdPullsWithTheFilesThatSetupWrites(t *testing.T) {
	b := newBay(t)
	dir := t.TempDir()
	socket := filepath.Join(dir, "c.sock")
	settings := "version = 3\nroot = '" + dir + "/root'\nstate = '" + dir + "/state'\ndisabled_plugins = ['io.containerd.grpc.v1.cri', 'io.containerd.cri.v1.images', 'io.containerd.cri.v1.runtime']\n" +
		"[grpc]\naddress = '" + socket + "'\n[ttrpc]\naddress = '" + socket + ".ttrpc'\n"
	if err := os.WriteFile(filepath.Join(dir, "config.toml"), []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	daemon := exec.CommandContext(t.Context(), program(t, "containerd"), "--config", filepath.Join(dir, "config.toml"))
	daemon.Cancel = func() error { return daemon.Process.Signal(syscall.SIGTERM) }
	daemon.WaitDelay = 30 * time.Second
	said, err := daemon.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() { <-ended })
	booted := make(chan bool, 1)
	go func() {
		defer close(ended)
		lines := bufio.NewScanner(said)
		for lines.Scan() {
			if strings.Contains(lines.Text(), "successfully booted") {
				booted <- true
			}
		}
		_, _ = io.Copy(io.Discard, said)
		_ = daemon.Wait() // it was told to end
		close(booted)
	}()
	if !<-booted {
		t.Fatal("containerd does not start")
	}
	for _, byPath := range []bool{false, true} {
		files := setup(t, b.server.URL, []string{acme}, b.ca+"/ca.crt", byPath).Containerd()
		ctr := []string{"--address", socket, "images", "pull", "--local", "--snapshotter", "native", "--hosts-dir", place(t, files), "--user"}
		b.mustRun("ctr", append(ctr, "ada:ada's password", acme+"/ada/train:v1")...)
		if printed := b.mustRun("ctr", "--address", socket, "images", "ls"); !strings.Contains(printed, b.digest()) {
			t.Errorf("containerd has %s", printed)
		}
		b.mustRun("ctr", "--address", socket, "images", "rm", "--sync", acme+"/ada/train:v1")
		if printed, err := b.run("ctr", append(ctr, "ben:ben's password", acme+"/ada/train:v1")...); err == nil {
			t.Errorf("ben got %s", printed)
		}
	}
}
