package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"fairlead.dev/fairlead/internal/client"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/wire"
)

func newExecutionOutputs(s *session) *cobra.Command {
	c := &cobra.Command{
		Use: "outputs EXECUTION", Short: "List the files that an execution left, or download them", Args: cobra.ExactArgs(1),
		Example: "  fairlead execution outputs forecast:latest --download models",
	}
	dir := c.Flags().String("download", "", "download them into this directory")
	asJSON := jsonFlag(c)
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, args []string) error {
		outputs, err := api.Outputs(c.Context(), args[0])
		if err != nil {
			return err
		}
		if *dir != "" {
			return downloadAll(c, api, outputs, *dir)
		}
		return list(c, *asJSON, outputs, "It left no files. A step leaves those that it writes to /valohai/outputs.",
			[]string{"NAME", "SIZE", "URI", "AT"},
			func(d wire.Datum) []string {
				size := wire.Size(d.Size)
				if d.Purged {
					size = "purged"
				}
				return []string{d.Name, size, d.URI, at(d.CTime)}
			})
	})
	return c
}

func downloadAll(c *cobra.Command, api *client.Client, outputs []wire.Datum, dir string) error {
	for _, output := range outputs {
		if output.Purged {
			say(c.ErrOrStderr(), "Left out %s: it was purged\n", harmless(output.Name))
			continue
		}
		if !filepath.IsLocal(filepath.FromSlash(output.Name)) {
			return fault.New(fault.Denied, "outside", "the server names a file outside of the directory: %.80q", output.Name)
		}
		target := filepath.Join(dir, filepath.FromSlash(output.Name))
		if err := download(c.Context(), api, output, target); err != nil {
			return err
		}
		say(c.OutOrStdout(), "%s\n", target)
	}
	return nil
}

// download fetches one file; it is there whole or not at all.
func download(ctx context.Context, api *client.Client, output wire.Datum, target string) error {
	body, err := api.Download(ctx, output.ID)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()                              // only read
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil { //nolint:gosec // as any program's files are
		return fmt.Errorf("making a directory: %w", err)
	}
	half, err := os.CreateTemp(filepath.Dir(target), ".fairlead-*")
	if err != nil {
		return fmt.Errorf("writing %s: %w", target, err)
	}
	defer func() { _ = os.Remove(half.Name()) }() // not there once it has its name
	n, err := io.Copy(half, body)
	if closeErr := half.Close(); err == nil {
		err = closeErr
	}
	if err == nil && n != output.Size {
		err = io.ErrUnexpectedEOF
	}
	if err == nil {
		err = os.Chmod(half.Name(), 0o644) //nolint:gosec // as any program's files are
	}
	if err == nil {
		err = os.Rename(half.Name(), target)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", target, err)
	}
	return nil
}

func newExecutionMetadata(s *session) *cobra.Command {
	c := &cobra.Command{
		Use: "metadata EXECUTION", Short: "List what an execution told of itself", Args: cobra.ExactArgs(1),
		Long: "List the JSON objects that an execution printed, each on a line of its own.",
	}
	asJSON := jsonFlag(c)
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, args []string) error {
		told, err := api.Metadata(c.Context(), args[0], 0)
		if err != nil {
			return err
		}
		return list(c, *asJSON, told, "It told nothing. A step tells by printing a JSON object on a line.",
			[]string{"#", "AT", "VALUE"},
			func(m wire.Metadatum) []string {
				return []string{strconv.FormatInt(m.Number, 10), at(m.CTime), string(m.Value)}
			})
	})
	return c
}
