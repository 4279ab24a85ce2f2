package cli

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"fairlead.dev/fairlead/internal/client"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/wire"
)

func newCacheWarm(s *session) *cobra.Command {
	c := &cobra.Command{
		Use: "warm FILE", Short: "Have the cache keep the images that a file lists", Args: cobra.ExactArgs(1),
		Long: "Have the cache keep the images that a file lists, one a line, with the rights of a project.\n" +
			"What follows a # is passed over; the file - is the standard input. The cache fetches what it\n" +
			"does not have; nothing of it comes here.",
	}
	at := cacheFlag(c)
	project := projectFlag(c)
	platforms := c.Flags().StringSlice("platform", nil, "platform to take of images for several, such as linux/arm64, or all (default: the cache's own)")
	pin := c.Flags().Bool("pin", false, "have them stay, whatever the limit (operators only); unpin lets them go")
	asJSON := c.Flags().Bool("json", false, "print JSON: for each image its digest, or what went wrong")
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, args []string) error {
		images, err := readImageList(args[0], c.InOrStdin())
		if err != nil {
			return err
		}
		found, err := findProject(c, api, *project)
		if err != nil {
			return err
		}
		kept, err := api.Cache(*at)
		if err != nil {
			return err
		}
		defer kept.Close()
		return warmAll(c, kept, found.ID, images, wire.CacheWarm{Platforms: *platforms, Pin: *pin}, *asJSON)
	})
	return c
}

// readImageList reads a list of images. The error names every line that is none.
func readImageList(file string, stdin io.Reader) (images []string, err error) {
	from := stdin
	if file != "-" {
		opened, err := os.Open(filepath.Clean(file))
		if err != nil {
			return nil, fault.InvalidField("FILE", "file", "%v", err)
		}
		defer func() { _ = opened.Close() }() // only read
		from = opened
	}
	var errs []error
	lines := bufio.NewScanner(from)
	for number := 1; lines.Scan(); number++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		if _, err := image.ParseReference(text); err != nil {
			f := fault.From(err)
			errs = append(errs, fault.InvalidField("FILE", "image", "line %d: %s", number, f.Message).WithHint("%s", f.Hint))
			continue
		}
		images = append(images, text)
	}
	if err := lines.Err(); err != nil {
		errs = append(errs, fault.InvalidField("FILE", "file", "%v", err))
	}
	if len(images) == 0 && len(errs) == 0 {
		errs = append(errs, fault.InvalidField("FILE", "blank", "%s lists no image", file).WithHint("Write one image a line, such as ghcr.io/acme/train:v1."))
	}
	return images, fault.Join(errs...)
}

// warmed is what became of an image.
type warmed struct {
	Image   string `json:"image"`
	Digest  string `json:"digest,omitempty"`
	Blobs   int    `json:"blobs"`
	Fetched int64  `json:"fetched_bytes"`
	Error   string `json:"error,omitempty"`
}

// warmAll goes on with the next image when one fails.
func warmAll(c *cobra.Command, kept *client.Client, project string, images []string, wish wire.CacheWarm, asJSON bool) error {
	out, failed := c.OutOrStdout(), 0
	all := make([]warmed, 0, len(images))
	for _, name := range images {
		w := warmed{Image: name}
		if !asJSON {
			say(out, "%s\n", harmless(name))
		}
		wish.Image = name
		digest, err := kept.WarmCache(c.Context(), project, wish, func(line wire.CacheWarmed) {
			w.Blobs++
			how := "kept already"
			if !line.Kept {
				w.Fetched += line.Size
				how = "fetched"
			}
			if !asJSON {
				say(out, "  %.19s  %9s  %s\n", harmless(line.Blob), inBytes(line.Size), how)
			}
		})
		if c.Context().Err() != nil {
			return c.Context().Err()
		}
		if w.Digest = digest; err != nil {
			failed++
			w.Error = fault.From(err).Sentence()
		}
		all = append(all, w)
		switch {
		case asJSON:
		case err != nil:
			say(out, "  failed: %s\n", harmless(w.Error))
		default:
			say(out, "  %s fetched, %d blobs kept: %s\n", inBytes(w.Fetched), w.Blobs, harmless(digest))
		}
	}
	if asJSON {
		if err := printJSON(out, all); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fault.New(fault.Unavailable, "warm_failed", "%d of %d images are not kept", failed, len(images)).
			WithHint("What was fetched of them stays; run it again when what is told above is mended.")
	}
	return nil
}

func newCacheUnpin(s *session) *cobra.Command {
	c := &cobra.Command{
		Use: "unpin IMAGE…", Short: "Let images go that were pinned with warm --pin, when room is needed (operators only)", Args: cobra.MinimumNArgs(1),
	}
	at := cacheFlag(c)
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, images []string) error {
		kept, err := api.Cache(*at)
		if err != nil {
			return err
		}
		defer kept.Close()
		for _, name := range images {
			if err := kept.UnpinCached(c.Context(), name); err != nil {
				return err
			}
			say(c.OutOrStdout(), "%s goes when room is needed.\n", harmless(name))
		}
		return nil
	})
	return c
}
