package pull

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/opencontainers/go-digest"

	"fairlead.dev/fairlead/internal/fault"
)

// Inventory is what an image store holds.
type Inventory struct {
	// At is when this was so.
	At time.Time `json:"at"`

	// Images are ordered by last use, the latest first.
	Images []StoredImage `json:"images"`

	// Occupied is what all layers take on the disk, in bytes, those of pulls that
	// are not done too; Limit is what they may, 0 for as much as there is.
	Occupied int64 `json:"occupied_bytes"`
	Limit    int64 `json:"limit_bytes"`

	// Free is what the disk has left, and Floor what a pull leaves of it, in bytes.
	Free  int64 `json:"free_bytes"`
	Floor int64 `json:"floor_bytes"`
}

// StoredImage is an image that is on this worker.
type StoredImage struct {
	// Name is repository and digest, and Digest what the registry answered.
	Name   string        `json:"name"`
	Digest digest.Digest `json:"digest"`

	// Size is the bytes as the registry has them, Occupies what its layers take on
	// the disk, and Alone how much of that no other image here shares.
	Size     int64 `json:"size_bytes"`
	Occupies int64 `json:"occupied_bytes"`
	Alone    int64 `json:"alone_bytes"`

	// LastUse is exact while the worker runs, and to the hour after it started
	// again.
	LastUse time.Time `json:"last_use"`

	// Users is how many executions have it mounted, or are about to.
	Users int `json:"users"`
}

// sizeLabel holds a record's Image.Size.
const sizeLabel = "fairlead.dev/size"

// Inventory is what the store holds now. An image that was pulled this moment may be
// missing until Collect.
func (s *Store) Inventory(ctx context.Context) (Inventory, error) {
	ctx = s.context(ctx)
	all := Inventory{At: s.config.Now(), Images: []StoredImage{}, Limit: s.config.MaxStored, Floor: s.disk.floor}
	var err error
	if all.Free, _, err = s.disk.free(); err != nil {
		return all, err
	}
	if all.Occupied, err = s.occupied(ctx); err != nil {
		return all, err
	}
	records, err := s.records.List(ctx)
	if err != nil {
		return all, fmt.Errorf("listing the images of the store: %w", err)
	}
	layers := make([]map[string]int64, len(records)) // of each image, by snapshot
	users := make(map[string]int)                    // of a snapshot
	for i, record := range records {
		if layers[i], err = s.layersOf(ctx, record); err != nil {
			return all, fmt.Errorf("listing the images of the store: %s: %w", record.Name, err)
		}
		for snapshot := range layers[i] {
			users[snapshot]++
		}
	}
	for i, record := range records {
		stored := StoredImage{Name: record.Name, Digest: record.Target.Digest, Users: s.mounted.users(record.Name)}
		if stored.Size, err = strconv.ParseInt(record.Labels[sizeLabel], 10, 64); err != nil {
			return all, fmt.Errorf("listing the images of the store: %s: %w", record.Name, err)
		}
		stored.LastUse, _ = s.keeper.lastUse(ctx, record.Name)
		for snapshot, bytes := range layers[i] {
			stored.Occupies += bytes
			if users[snapshot] == 1 {
				stored.Alone += bytes
			}
		}
		all.Images = append(all.Images, stored)
	}
	slices.SortFunc(all.Images, func(a, b StoredImage) int {
		if later := b.LastUse.Compare(a.LastUse); later != 0 {
			return later
		}
		return strings.Compare(a.Name, b.Name)
	})
	return all, nil
}

// layersOf are the snapshots of a recorded image, with what each takes on the disk.
func (s *Store) layersOf(ctx context.Context, record images.Image) (map[string]int64, error) {
	labels := map[string]string{}
	for next := record.Target.Digest; next != ""; {
		info, err := s.content.Info(ctx, next)
		if err != nil {
			return nil, err
		}
		labels, next = info.Labels, digest.Digest(info.Labels[refContent])
	}
	layers := make(map[string]int64)
	for label, snapshot := range labels {
		if !strings.HasPrefix(label, refSnapshot+"/") {
			continue
		}
		info, err := s.snapshots.Stat(ctx, snapshot)
		if err == nil {
			layers[snapshot] = occupies(info)
		} // an image need not have all that its configuration would hold
	}
	return layers, nil
}

// inventoryFile holds the Inventory for who does not have the store open.
const inventoryFile = "inventory.json"

// writeInventory writes it down.
func (s *Store) writeInventory(ctx context.Context) error {
	all, err := s.Inventory(ctx)
	if err != nil {
		return err
	}
	body, err := json.Marshal(all)
	if err != nil {
		return fmt.Errorf("writing the inventory of the image store: %w", err)
	}
	path := filepath.Join(s.config.Root, inventoryFile)
	if err = os.WriteFile(path+".new", body, secretFile); err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return fmt.Errorf("writing the inventory of the image store: %w", err)
	}
	return nil
}

// ReadInventory is what the store in root held when it was changed last, by
// whichever process has it open. A directory that no store was in is a NotFound
// fault.
func ReadInventory(root string) (Inventory, error) {
	var all Inventory
	body, err := os.ReadFile(filepath.Join(root, inventoryFile))
	if errors.Is(err, fs.ErrNotExist) {
		return all, fault.New(fault.NotFound, "store_missing", "there is no image store in %s", root).
			WithHint("Give the --data-dir that the worker on this machine was started with.")
	}
	if errors.Is(err, fs.ErrPermission) {
		return all, fault.New(fault.Denied, "root_needed", "the image store in %s is not for every user's eyes", root).
			WithHint("Ask as root (sudo).").WithCause(err)
	}
	if err == nil {
		err = json.Unmarshal(body, &all)
	}
	if err != nil {
		return all, fmt.Errorf("reading the inventory of the image store: %w", err)
	}
	return all, nil
}
