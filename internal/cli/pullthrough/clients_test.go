//go:build conformance

package pullthrough_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/opencontainers/go-digest"

	"fairlead.dev/fairlead/internal/demoimage"
	"fairlead.dev/fairlead/internal/grant/granttest"
)

// desk is where a client's programs run: the world, the network, and a home.
type desk struct {
	*world
	*outside
	home string

	train, vision, base *content
}

// newDesk pushes an image of acme's, one of globex's and one of both, most of whose
// layers are those of the other two.
func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{world: newWorld(t, "--cache-fresh", "1s"), home: t.TempDir()}
	d.outside = d.newOutside()
	d.check(os.WriteFile(filepath.Join(d.home, "none.json"), []byte("{}"), 0o600))
	draw := rand.New(rand.NewPCG(5, 5))
	image := func(files map[string][]byte) v1.Image {
		made, err := demoimage.New(demoimage.Options{Files: files, Layers: 2, LayerBytes: 300_000})
		d.check(err)
		return made
	}
	d.train = d.pushImage("ml/train", "v1", image(map[string][]byte{"model": noise(draw, 100_000)}))
	d.vision = d.pushImage("vision/eyes", "v1", image(map[string][]byte{"model": noise(draw, 100_000)}))
	d.base = d.pushImage("shared/base", "v1", image(nil))
	return d
}

// command is a program of a client, which is found where make test-conformance installs
// it.
func (d *desk) command(name string, args ...string) *exec.Cmd {
	d.t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		d.t.Fatalf("%v: make test-conformance installs it", err)
	}
	command := exec.CommandContext(d.t.Context(), path, args...)
	command.Env = append(os.Environ(), d.environment(d.home)...)
	return command
}

// run runs a program to its end. Its error holds all that it printed.
func (d *desk) run(name string, args ...string) (string, error) {
	d.t.Helper()
	printed, err := d.command(name, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", name, err, printed)
	}
	return strings.TrimSpace(string(printed)), nil
}

// login writes Docker's file of logins, which crane and docker read.
func (d *desk) login(m *member) {
	d.t.Helper()
	text, err := json.Marshal(map[string]any{"auths": map[string]any{cacheHost: map[string][]byte{"auth": []byte(m.project + ":" + m.token)}}})
	d.check(err)
	d.check(os.WriteFile(filepath.Join(d.home, "config.json"), text, 0o600))
}

// byPath is an image's name through the cache.
func (c *content) byPath() string { return cacheHost + "/" + c.byName() }

// byName is an image's own name.
func (c *content) byName() string { return upstreamHost + "/" + c.repository + ":" + c.tag }

// puller is a client. Its pull brings an image, all of it and nothing else, or fails with
// what the client says.
type puller struct {
	name func(*content) string
	pull func(m *member, c *content, name string) error

	// shows reports whether the client shows why it was refused.
	shows bool
}

// hold has a client pull as both organisations, and holds the cache to its promises.
func (d *desk) hold(p puller) {
	d.t.Helper()
	d.refused(p, d.globex, d.train, "registry.example.com") // before anything is kept
	for _, right := range []struct {
		m *member
		c *content
	}{{d.acme, d.train}, {d.globex, d.vision}, {d.acme, d.base}} {
		if err := p.pull(right.m, right.c, p.name(right.c)); err != nil {
			d.t.Fatal(err)
		}
	}
	_ = d.line.gets()
	if err := p.pull(d.globex, d.base, p.name(d.base)); err != nil {
		d.t.Fatal(err)
	}
	if gets := d.line.gets(); len(gets) > 0 {
		d.t.Errorf("globex pulled what acme had brought, and the registry was asked: %q", gets)
	}
	d.refused(p, d.acme, d.vision, "no registry credential of acme covers registry.example.com/vision/eyes")
	d.refused(p, d.globex, d.train, "registry.example.com")
	d.globexHasNothingOf(d.train)

	old := *d.acme
	d.renew(d.acme)
	d.check(d.acme.api.DeleteToken(d.t.Context(), old.id))
	until(d.t, "a token that was deleted is refused", func() bool { return p.pull(&old, d.train, p.name(d.train)) != nil })
	if err := p.pull(d.acme, d.train, p.name(d.train)); err != nil {
		d.t.Errorf("with another token: %v", err)
	}
	d.registry.SetRights("acme-robot", granttest.Pull("shared/*"))
	until(d.t, "a right that the registry took away has ended", func() bool { return p.pull(d.acme, d.train, p.name(d.train)) != nil })
	if err := p.pull(d.acme, d.base, p.name(d.base)); err != nil {
		d.t.Errorf("of another repository: %v", err)
	}
}

// refused fails the test unless a client is refused an image, for that reason.
func (d *desk) refused(p puller, m *member, c *content, says string) {
	d.t.Helper()
	err := p.pull(m, c, p.name(c))
	switch {
	case err == nil:
		d.t.Fatalf("%s got %s", m.organization, c.repository)
	case p.shows && !strings.Contains(err.Error(), says):
		d.t.Errorf("%s was refused %s with %v, and not for %q", m.organization, c.repository, err, says)
	case !p.shows && !strings.Contains(err.Error(), "403 Forbidden"):
		d.t.Errorf("%s was refused %s with %v", m.organization, c.repository, err)
	}
}

// globexHasNothingOf asks as globex for each part of an image of acme's that is kept, by
// its digest, in the image's repository and in globex's own.
func (d *desk) globexHasNothingOf(c *content) {
	d.t.Helper()
	own := slices.Concat(d.vision.parts(), d.base.parts())
	for _, repository := range []string{c.repository, d.vision.repository} {
		at := &content{repository: repository}
		for i, part := range c.parts() {
			err := d.get(d.t.Context(), d.globex, at.manifestPath(part.String()), "", nil)
			if !isRefusal(err) {
				d.t.Errorf("globex asked for the manifest %s of %s, and it came to %v", part, repository, err)
			}
			if i == 0 || repository == d.vision.repository && slices.Contains(own, part) {
				continue
			}
			err = d.get(d.t.Context(), d.globex, at.blobPath(part), "", nil)
			if !isRefusal(err) {
				d.t.Errorf("globex asked for the blob %s of %s, and it came to %v", part, repository, err)
			}
		}
	}
}

// wantFiles fails unless each part of an image is a file of a directory, named by the
// digest, and there are no others but those named.
func wantFiles(dir string, c *content, others ...string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	want := make(map[string][]byte)
	for _, blob := range c.blobs {
		want[digest.FromBytes(blob).Encoded()] = blob
	}
	for _, entry := range entries {
		if slices.Contains(others, entry.Name()) {
			continue
		}
		body, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			return err
		}
		if entry.Name() == c.digest().Encoded() && bytes.Equal(body, c.manifest) {
			continue
		}
		blob, is := want[entry.Name()]
		if !is || !bytes.Equal(body, blob) {
			return fmt.Errorf("%s: %w", entry.Name(), errBad)
		}
		delete(want, entry.Name())
	}
	if len(want) > 0 {
		return fmt.Errorf("%d blobs did not come: %w", len(want), errBad)
	}
	return nil
}

// wantStored fails unless a store has the image under its digest, with the configuration
// that was pushed and the layers that this names: what a store unpacks, it compares.
func wantStored(c *content, manifest, config string, diffIDs []string) error {
	var pushed v1.ConfigFile
	if err := json.Unmarshal(c.blobs[0], &pushed); err != nil {
		return err
	}
	var layers []string
	for _, layer := range pushed.RootFS.DiffIDs {
		layers = append(layers, layer.String())
	}
	if !strings.Contains(manifest, c.digest().String()) || !strings.Contains(config, digest.FromBytes(c.blobs[0]).Encoded()) || !slices.Equal(diffIDs, layers) {
		return fmt.Errorf("%s, %s, %q: %w", manifest, config, diffIDs, errBad)
	}
	return nil
}

func TestTheClientCranePullsThroughTheProgram(t *testing.T) {
	d := newDesk(t)
	d.hold(puller{name: (*content).byPath, shows: true, pull: func(m *member, c *content, name string) error {
		d.login(m)
		into := t.TempDir()
		if _, err := d.run("crane", "pull", "--format=oci", name, into); err != nil {
			return err
		}
		return wantFiles(filepath.Join(into, "blobs", "sha256"), c)
	}})
	d.wantNothingElsewhere()
}

func TestTheClientSkopeoPullsThroughTheProgram(t *testing.T) {
	d := newDesk(t)
	d.hold(puller{name: (*content).byPath, shows: true, pull: func(m *member, c *content, name string) error {
		into := t.TempDir()
		if _, err := d.run("skopeo", "copy", "--src-creds", m.project+":"+m.token, "docker://"+name, "dir:"+into); err != nil {
			return err
		}
		manifest, err := os.ReadFile(filepath.Join(into, "manifest.json"))
		if err != nil || !bytes.Equal(manifest, c.manifest) {
			return fmt.Errorf("the manifest: %w, %w", err, errBad)
		}
		return wantFiles(into, c, "manifest.json", "version")
	}})
	d.wantNothingElsewhere()
}

func TestTheClientsPodmanAndBuildahPullThroughTheProgram(t *testing.T) {
	d := newDesk(t)
	root := d.containersRoot()
	inspect := map[string][]string{
		"podman":  {"image", "inspect", "--format", `{"Digest": "{{.Digest}}", "ID": "{{.ID}}", "Layers": {{json .RootFS.Layers}}}`},
		"buildah": {"inspect", "--type", "image", "--format", `{"Digest": "{{.FromImageDigest}}", "ID": "{{.FromImageID}}", "Layers": [{{range $i, $l := .OCIv1.RootFS.DiffIDs}}{{if $i}},{{end}}"{{$l}}"{{end}}]}`},
	}
	policy := map[string]string{"podman": "--quiet", "buildah": "--policy=always"} // podman's is so already
	for _, program := range []string{"podman", "buildah"} {
		d.hold(puller{name: (*content).byPath, shows: true, pull: func(m *member, c *content, name string) error {
			if _, err := d.run(program, append(root, "pull", policy[program], "--creds", m.project+":"+m.token, name)...); err != nil {
				return err
			}
			printed, err := d.run(program, slices.Concat(root, inspect[program], []string{name})...)
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
			return wantStored(c, has.Digest, has.ID, has.Layers)
		}})
		d.giveBack()
		_, err := d.run("podman", append(root, "rmi", "--all", "--force")...)
		d.check(err)
	}
	d.wantNothingElsewhere()
}

// giveBack gives acme the right that hold has taken away.
func (d *desk) giveBack() {
	d.t.Helper()
	d.registry.SetRights("acme-robot", granttest.Pull("ml/*"), granttest.Pull("shared/*"))
	until(d.t, "acme's right is back", func() bool { return d.pull(d.t.Context(), d.acme, d.train, nobody) == nil })
}

// containersRoot are the options that keep podman and buildah to themselves.
func (d *desk) containersRoot() []string {
	runroot, err := os.MkdirTemp("", "pod") // podman takes a path of 50 characters
	d.check(err)
	d.t.Cleanup(func() { _ = os.RemoveAll(runroot) })
	return []string{"--root=" + d.t.TempDir(), "--runroot=" + runroot, "--storage-driver=vfs"}
}

func (d *desk) wantNothingElsewhere() {
	d.t.Helper()
	if others := d.wentElsewhere(); len(others) > 0 {
		d.t.Errorf("besides the cache, %q were asked for", others)
	}
	if log := d.server.log; log != nil {
		d.server.end(15)
		if text := log.String(); strings.Contains(text, robotPassword) || strings.Contains(text, "DATA RACE") || strings.Contains(text, d.acme.token) {
			d.t.Errorf("the server's log:\n%s", text)
		}
	}
}
