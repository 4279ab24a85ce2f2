package cli

import (
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"fairlead.dev/fairlead/internal/app"
)

func newWorkerImages(s *session) *cobra.Command {
	var dataDir string
	c := &cobra.Command{
		Use:   "images",
		Short: "List the images that the worker on this machine keeps",
		Long: "List the images that the worker on this machine keeps, the latest used first. ALONE is what would be\n" +
			"free if that image were removed: the rest of it other images have too. When the disk or --images-limit\n" +
			"is full, those that nothing uses are removed, the least recently used first.",
		Args: cobra.NoArgs,
	}
	c.Flags().StringVar(&dataDir, "data-dir", "", "the worker's directory (default where a worker, or else a server, keeps it)")
	asJSON := jsonFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		all, err := app.ReadInventory(dataDir)
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(c.OutOrStdout(), all)
		}
		head := []string{"IMAGE", "DIGEST", "SIZE", "ON DISK", "ALONE", "LAST USE", "IN USE"}
		err = list(c, false, all.Images, "No image is kept yet.", head, func(img app.StoredImage) []string {
			name, _, _ := strings.Cut(img.Name, "@")
			inUse := ""
			if img.Users > 0 {
				inUse = humanize.Comma(int64(img.Users))
			}
			const short = 12
			return []string{
				name, img.Digest.Encoded()[:short], inBytes(img.Size), inBytes(img.Occupies), inBytes(img.Alone),
				humanize.Time(img.LastUse), inUse,
			}
		})
		if err != nil {
			return err
		}
		limit := ""
		if all.Limit > 0 {
			limit = " of " + inBytes(all.Limit)
		}
		say(c.OutOrStdout(), "%s%s in the store. %s of the disk are free, of which a pull leaves %s.\n", inBytes(all.Occupied), limit, inBytes(all.Free), inBytes(all.Floor))
		return nil
	}
	return c
}

func inBytes(n int64) string { return humanize.Bytes(uint64(max(n, 0))) }
