package app

import (
	"path/filepath"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/pull"
)

// Inventory is what a worker's image store holds.
type Inventory = pull.Inventory

// StoredImage is an image in it.
type StoredImage = pull.StoredImage

// ReadInventory reads what the worker on this machine with that data directory
// keeps, whether it runs or not. Without one it is that of a worker started with the
// defaults, or else of a server.
func ReadInventory(dataDir string) (Inventory, error) {
	if dataDir != "" {
		return pull.ReadInventory(imagesDir(dataDir))
	}
	all, err := pull.ReadInventory(imagesDir(workerDataDir))
	if err != nil && fault.From(err).Kind == fault.NotFound {
		if of, serverErr := pull.ReadInventory(imagesDir(defaultDataDir())); serverErr == nil {
			return of, nil
		}
	}
	return all, err
}

// imagesDir is where the machine's image store is.
func imagesDir(dataDir string) string { return filepath.Join(dataDir, "images") }
