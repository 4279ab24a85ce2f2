package pull

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
)

// A layer is kept once, under its diffID, for all images that have it, wherever it
// stands in them; an image is a stack of such snapshots, none of which has a parent.
// Two things about a layer depend on what is below it, and get snapshots of their
// own: at the bottom its whiteouts mean nothing, and directories that it does not
// name look as they do below (implied.go).
const (
	layerPrefix       = "layer "       // and a diffID
	bottomPrefix      = "bottom "      // and a diffID: a layer that has whiteouts, without them
	directoriesPrefix = "directories " // and the digest of a configuration
	unpackPrefix      = "unpack "      // and a name: what is not finished
)

// Labels of a snapshot.
const (
	unpackedLabel = "fairlead.dev/unpacked" // the bytes of its files
	hidesLabel    = "fairlead.dev/hides"    // "yes" where it has whiteouts, "all" where nothing below is to be seen
	impliesLabel  = "fairlead.dev/implies"  // "yes" where it has directories that it does not name

	yes = "yes"
	all = "all"
)

// impliedFile holds, beside a snapshot's directory, the directories that the layer
// does not name, each ended by a zero byte.
const impliedFile = "implied"

// unpackedLayer is a layer that is here.
type unpackedLayer struct {
	snapshot string
	bytes    int64  // of its files
	dir      string // where they are
	labels   map[string]string
}

// find looks for a layer, as it is above others or at the bottom.
func (s *Store) find(ctx context.Context, diffID digest.Digest, bottom bool) (found unpackedLayer, here bool, err error) {
	names := []string{layerPrefix + diffID.String()}
	if bottom {
		names = append(names, bottomPrefix+diffID.String())
	}
	for _, name := range names {
		info, err := s.snapshots.Stat(ctx, name)
		if errdefs.IsNotFound(err) {
			continue
		}
		if err != nil {
			return unpackedLayer{}, false, fmt.Errorf("looking for %s: %w", name, err)
		}
		if bottom && name == names[0] && info.Labels[hidesLabel] != "" {
			continue
		}
		bytes, err := strconv.ParseInt(info.Labels[unpackedLabel], 10, 64)
		if err != nil {
			return unpackedLayer{}, false, fmt.Errorf("looking for %s: %w", name, err)
		}
		return unpackedLayer{name, bytes, info.Labels[upperLabel], info.Labels}, true, nil
	}
	return unpackedLayer{}, false, nil
}

// hold reports whether a layer is here, and if so has the pull's lease keep it.
func (p *puller) hold(ctx context.Context, index int) (found unpackedLayer, held bool, err error) {
	diffID := p.documents.configuration.RootFS.DiffIDs[index]
	found, here, err := p.store.find(ctx, diffID, index == 0)
	if err != nil || !here {
		return found, false, err
	}
	if err := p.lend(ctx, found.snapshot); err != nil {
		return found, false, err
	}
	return p.store.find(ctx, diffID, index == 0) // a collection may have been faster than the lease
}

// lend has the pull's lease keep a snapshot.
func (p *puller) lend(ctx context.Context, snapshot string) error {
	resource := leases.Resource{ID: snapshot, Type: "snapshots/" + snapshotter}
	if err := p.store.leases.AddResource(ctx, p.lease, resource); err != nil {
		return p.storing(err)
	}
	return nil
}

// commit keeps what was unpacked under key as a layer.
func (p *puller) commit(ctx context.Context, index int, key string, made layerMade) error {
	diffID := p.documents.configuration.RootFS.DiffIDs[index].String()
	name := layerPrefix + diffID
	labels := map[string]string{
		unpackedLabel: strconv.FormatInt(made.bytes, 10),
		occupiesLabel: strconv.FormatInt(made.occupies, 10),
		p.fromLabel(): p.documents.manifest.Layers[index].Digest.String(),
	}
	if made.Hides {
		labels[hidesLabel] = yes
		if made.HidesAll {
			labels[hidesLabel] = all
		}
		if index == 0 {
			name = bottomPrefix + diffID
		}
	}
	if len(made.Implied) > 0 {
		labels[impliesLabel] = yes
		list := strings.Join(made.Implied, "\x00") + "\x00"
		if err := os.WriteFile(filepath.Join(filepath.Dir(made.dir), impliedFile), []byte(list), secretFile); err != nil {
			return p.storing(err)
		}
	}
	if err := p.store.snapshots.Commit(ctx, name, key, snapshots.WithLabels(labels)); err != nil {
		return p.storing(err)
	}
	return nil
}

// implied are the directories that a layer does not name.
func (l unpackedLayer) implied() ([]string, error) {
	if l.labels[impliesLabel] == "" {
		return nil, nil
	}
	list, err := os.ReadFile(filepath.Join(filepath.Dir(l.dir), impliedFile))
	if err != nil {
		return nil, fmt.Errorf("reading what %s implies: %w", l.snapshot, err)
	}
	return strings.Split(strings.TrimSuffix(string(list), "\x00"), "\x00"), nil
}

// stack are the layers that an image's files are in.
type stack struct {
	snapshots []string // the topmost first
	bytes     int64    // of the files
}

// assemble puts an image's layers together, where they are all here. A layer that
// stands in it twice is hidden by itself.
func (s *Store) assemble(ctx context.Context, c configuration) (whole stack, layers []unpackedLayer, here bool, err error) {
	implies := false
	for i, diffID := range slices.Backward(c.RootFS.DiffIDs) {
		layer, here, err := s.find(ctx, diffID, i == 0)
		if err != nil || !here {
			return stack{}, nil, false, err
		}
		if slices.Contains(whole.snapshots, layer.snapshot) {
			continue
		}
		whole.snapshots = append(whole.snapshots, layer.snapshot)
		whole.bytes += layer.bytes
		layers = append(layers, layer)
		implies = implies || layer.labels[impliesLabel] != ""
		if layer.labels[hidesLabel] == all {
			break
		}
	}
	if implies && len(layers) > 1 {
		whole.snapshots = slices.Insert(whole.snapshots, 0, c.directories())
	}
	return whole, layers, true, nil
}

// mountable reports whether all of an image is here.
func (s *Store) mountable(ctx context.Context, c configuration) (whole stack, here bool, err error) {
	whole, layers, here, err := s.assemble(ctx, c)
	if err != nil || !here || len(whole.snapshots) == len(layers) {
		return whole, here, err
	}
	_, err = s.snapshots.Stat(ctx, c.directories())
	if errdefs.IsNotFound(err) {
		return whole, false, nil
	}
	return whole, err == nil, err
}
