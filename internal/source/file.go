package source

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"path"

	"fairlead.dev/fairlead/internal/fault"
)

// ReadFile reads one file of a package, of at most most bytes. The package may
// be anybody's; a file that it does not have is an Invalid fault. What stands
// behind the file in the package is not looked at.
func ReadFile(ctx context.Context, r io.Reader, name string, most int64) ([]byte, error) {
	const contentMost = 4 << 30 // as for Unpack
	unzipped, err := gzip.NewReader(r)
	if err != nil {
		return nil, corrupt(err)
	}
	archive := tar.NewReader(io.LimitReader(unzipped, contentMost))
	for ctx.Err() == nil {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil, fault.InvalidField("yaml_path", "config_missing", "there is no %.200q in the code", name).
				WithHint("Run from the directory that holds valohai.yaml, or say where it is; a file that .gitignore or .vhignore names is not uploaded.")
		}
		if err != nil {
			return nil, corrupt(err)
		}
		if path.Clean(header.Name) != path.Clean(name) || header.Typeflag != tar.TypeReg {
			continue
		}
		if header.Size > most {
			return nil, fault.InvalidField("yaml_path", "config_large", "%.200q has %d bytes; at most %d are read", name, header.Size, most)
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			return nil, corrupt(err)
		}
		return content, nil
	}
	return nil, ctx.Err()
}
