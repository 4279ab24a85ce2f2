// Package demoimage makes container images out of nothing but this module: a
// static shell, and what the caller puts beside it. They are what the demo, the
// tests and the benches pull and run, with no other registry in the world.
//
// They are honest images: a runtime runs them, users and groups are there, and
// the same options give the same digest.
package demoimage

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Commands are the names in /bin, all of them the one shell.
var Commands = []string{
	"sh", "cat", "date", "echo", "env", "false", "head", "hostname", "id", "kill", "ls", "mkdir", "pwd", "rm",
	"seq", "sleep", "true", "uname", "yes",
}

const (
	passwd = "root:x:0:0:root:/root:/bin/sh\ntrainer:x:1000:1000:Trainer:/home/trainer:/bin/sh\n"
	group  = "root:x:0:\ntrainer:x:1000:\ndata:x:2000:trainer\n"
)

// Options say what is in an image. The zero value is a good one: the shell
// alone, run as root in /, with `sh` as its command.
type Options struct {
	// Files are added by their path in the image, mode 0644, or 0755 where the
	// content begins with "#!".
	Files map[string][]byte

	// What the image's configuration says. Cmd is `sh` if neither it nor
	// Entrypoint is given; Env gets a PATH if it has none.
	Entrypoint, Cmd []string
	Env             []string
	WorkingDir      string
	User            string

	// Architecture is what the configuration claims; "" is this machine's. The
	// program is always this machine's.
	Architecture string

	// Layers more layers follow, each with one file of LayerBytes bytes that do
	// not compress: for tests and benches of a pull. LayerBytes 0 is 1 KiB.
	Layers     int
	LayerBytes int64
}

// New makes the image. It is a Linux image of OCI media types with gzip layers:
// /bin/sh and [Commands], the users root and trainer (1000, also in group data,
// 2000), /tmp; then the files; then the further layers. Equal options give
// equal digests as long as the shell is the same.
func New(opts Options) (v1.Image, error) {
	if opts.Layers < 0 || opts.LayerBytes < 0 {
		return nil, fmt.Errorf("demo image: %d layers of %d bytes", opts.Layers, opts.LayerBytes)
	}
	base, err := baseLayer()
	if err != nil {
		return nil, err
	}
	layers := []v1.Layer{base}
	if len(opts.Files) > 0 {
		files, err := filesLayer(opts.Files)
		if err != nil {
			return nil, err
		}
		layers = append(layers, files)
	}
	for n := range opts.Layers {
		layer, err := randomLayer(n, opts.LayerBytes)
		if err != nil {
			return nil, err
		}
		layers = append(layers, layer)
	}

	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	var adds []mutate.Addendum
	for _, layer := range layers {
		adds = append(adds, mutate.Addendum{Layer: layer, MediaType: types.OCILayer, History: v1.History{CreatedBy: "fairlead"}})
	}
	if image, err = mutate.Append(image, adds...); err != nil {
		return nil, fmt.Errorf("demo image: %w", err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("demo image: %w", err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", opts.Architecture
	if config.Architecture == "" {
		config.Architecture = runtime.GOARCH
	}
	config.Config = opts.config()
	return mutate.ConfigFile(image, config)
}

func (opts Options) config() v1.Config {
	config := v1.Config{
		Entrypoint: opts.Entrypoint, Cmd: opts.Cmd, Env: slices.Clone(opts.Env),
		WorkingDir: opts.WorkingDir, User: opts.User,
	}
	if len(config.Cmd) == 0 && len(config.Entrypoint) == 0 {
		config.Cmd = []string{"sh"}
	}
	if !slices.ContainsFunc(config.Env, func(s string) bool { return strings.HasPrefix(s, "PATH=") }) {
		config.Env = append(config.Env, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	}
	return config
}

// baseLayer is made once: compressing the shell is the costly part.
var baseLayer = sync.OnceValues(func() (v1.Layer, error) {
	shell, err := Shell(context.Background())
	if err != nil {
		return nil, err
	}
	headers := []entry{
		directory("bin", 0o755), file("bin/sh", 0o755, shell),
		directory("etc", 0o755), file("etc/passwd", 0o644, []byte(passwd)), file("etc/group", 0o644, []byte(group)),
		directory("root", 0o700), directory("home", 0o755), owned(directory("home/trainer", 0o755), 1000),
		directory("tmp", 0o1777),
	}
	for _, name := range Commands[1:] {
		headers = append(headers, entry{Header: tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + name, Linkname: "sh", Mode: 0o777}})
	}
	return layerOf(headers)
})

func filesLayer(files map[string][]byte) (v1.Layer, error) {
	var entries []entry
	made := map[string]bool{".": true}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		clean := strings.TrimPrefix(path.Clean("/"+name), "/")
		if clean == "" {
			return nil, errors.New("demo image: a file needs a name")
		}
		var parents []entry
		for dir := path.Dir(clean); !made[dir]; dir = path.Dir(dir) {
			made[dir] = true
			if !slices.Contains([]string{"bin", "etc", "root", "home", "home/trainer", "tmp"}, dir) {
				parents = append(parents, directory(dir, 0o755))
			}
		}
		slices.Reverse(parents)
		mode := int64(0o644)
		if bytes.HasPrefix(files[name], []byte("#!")) {
			mode = 0o755
		}
		entries = append(append(entries, parents...), file(clean, mode, files[name]))
	}
	return layerOf(entries)
}

func randomLayer(n int, size int64) (v1.Layer, error) {
	if size == 0 {
		size = 1 << 10
	}
	seed := [32]byte{byte(n), byte(n >> 8)}
	content, err := io.ReadAll(io.LimitReader(rand.NewChaCha8(seed), size))
	if err != nil {
		return nil, err
	}
	return layerOf([]entry{directory("layers", 0o755), file(fmt.Sprintf("layers/%04d", n), 0o644, content)})
}

// entry is one file of a layer.
type entry struct {
	tar.Header
	content []byte
}

func directory(name string, mode int64) entry {
	return entry{Header: tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode}}
}

func file(name string, mode int64, content []byte) entry {
	return entry{Header: tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(content))}, content: content}
}

func owned(e entry, id int) entry {
	e.Uid, e.Gid = id, id
	return e
}

// layerOf writes entries as a layer; every time is 1970, so that it is the
// same tomorrow.
func layerOf(entries []entry) (v1.Layer, error) {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, e := range entries {
		e.ModTime, e.Format = time.Unix(0, 0), tar.FormatUSTAR
		if err := w.WriteHeader(&e.Header); err != nil {
			return nil, fmt.Errorf("demo image: %s: %w", e.Name, err)
		}
		if _, err := w.Write(e.content); err != nil {
			return nil, fmt.Errorf("demo image: %s: %w", e.Name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("demo image: %w", err)
	}
	opener := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive.Bytes())), nil }
	return tarball.LayerFromOpener(opener, tarball.WithCompressedCaching, tarball.WithMediaType(types.OCILayer))
}
