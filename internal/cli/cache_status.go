package cli

import (
	"fmt"
	"io"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"fairlead.dev/fairlead/internal/client"
	"fairlead.dev/fairlead/internal/wire"
)

func newCacheStatus(s *session) *cobra.Command {
	c := &cobra.Command{
		Use: "status", Short: "Say what the cache keeps, what it saved, and what registries still allow", Args: cobra.NoArgs,
		Long: "Say what the cache keeps, what it saved since it was started, and what registries still allow.\n" +
			"An operator is told of every organisation; others of that of the --project they name.",
	}
	at := cacheFlag(c)
	project := c.Flags().String("project", "", "project whose organisation is told of, as OWNER/NAME or id")
	asJSON := jsonFlag(c)
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, _ []string) error {
		kept, err := api.Cache(*at)
		if err != nil {
			return err
		}
		defer kept.Close()
		status, err := kept.CacheStatus(c.Context(), *project)
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(c.OutOrStdout(), status)
		}
		return printCacheStatus(c.OutOrStdout(), status)
	})
	return c
}

// cacheFlag gives a command --url.
func cacheFlag(c *cobra.Command) *string {
	return c.Flags().String("url", "", "address of a cache apart from the server, which is shown your token")
}

func printCacheStatus(out io.Writer, s wire.CacheStatus) error {
	most := ""
	if s.LimitBytes > 0 {
		most = " of " + inBytes(s.LimitBytes)
	}
	say(out, "Keeps      %s%s in %s blobs at %s\n", inBytes(s.StoredBytes), most, humanize.Comma(int64(s.StoredBlobs)), harmless(s.Place))
	say(out, "Manifests  %s given, %s, %s stale\n", humanize.Comma(s.Manifests), share(s.ManifestHits, s.Manifests, "without asking"), humanize.Comma(s.ManifestsStale))
	say(out, "Blobs      %s given, %s\n", humanize.Comma(s.Blobs), share(s.BlobHits, s.Blobs, "kept already"))
	say(out, "Bytes      %s sent, %s fetched in %s requests, %d downloads under way\n", inBytes(s.SentBytes), inBytes(s.FetchedBytes), humanize.Comma(s.Questions), s.Downloads)
	say(out, "Since      %s\n", at(s.Since))
	if len(s.Organizations) > 0 {
		say(out, "\n")
		rows := make([][]string, 0, len(s.Organizations))
		for _, o := range s.Organizations {
			rows = append(rows, []string{harmless(o.Organization), inBytes(o.Bytes)})
		}
		if err := table(out, []string{"ORGANISATION", "USES"}, rows); err != nil {
			return err
		}
	}
	if len(s.Pins) > 0 {
		say(out, "\n")
		rows := make([][]string, 0, len(s.Pins))
		for _, p := range s.Pins {
			rows = append(rows, []string{harmless(p.Image), harmless(p.Digest)})
		}
		if err := table(out, []string{"PINNED", "DIGEST"}, rows); err != nil {
			return err
		}
	}
	if len(s.Quotas) == 0 {
		return nil
	}
	say(out, "\n")
	rows := make([][]string, 0, len(s.Quotas))
	for _, q := range s.Quotas {
		whose := "anybody"
		if q.Credential != "" {
			whose = q.Organization + "/" + q.Credential
		}
		window := "-"
		if q.WindowSecs > 0 {
			window = lasting(float64(q.WindowSecs))
		}
		rows = append(rows, []string{harmless(q.Host), harmless(whose), fmt.Sprint(q.Remaining), fmt.Sprint(q.Limit), window, at(q.ToldAt)})
	}
	return table(out, []string{"REGISTRY", "CREDENTIAL", "LEFT", "LIMIT", "IN", "TOLD"}, rows)
}

// share is a part of a whole, with its percentage.
func share(part, whole int64, what string) string {
	if whole == 0 {
		return "0 " + what
	}
	return fmt.Sprintf("%s (%d %%) %s", humanize.Comma(part), part*100/whole, what)
}
