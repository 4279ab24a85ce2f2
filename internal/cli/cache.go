package cli

import (
	"context"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"fairlead.dev/fairlead/internal/app"
	"fairlead.dev/fairlead/internal/mirror"
)

func newCache(s *session) *cobra.Command {
	var config app.RemoteCacheConfig
	c := &cobra.Command{
		Use:   "cache",
		Short: "Run a pull-through cache of images by itself, or see to one",
		Long: "Run a pull-through cache of images by itself, near those who pull: a server knows who they\n" +
			"are and gives it their grants. It needs a cache's token (`fairlead cache token create NAME`)\n" +
			"in FAIRLEAD_TOKEN or --token-file; it holds no other secret.\n\n" +
			"A server has a cache of its own with `fairlead serve --cache`; the commands below see to\n" +
			"that, or with --url to one apart.",
		Args: cobra.NoArgs,
	}
	config.Flags(c.Flags())
	c.RunE = s.working(c, "cache", func(ctx context.Context, token string, logger *slog.Logger) error {
		return app.RunCache(ctx, config, s.server, token, s.version, logger, func(url string) {
			say(c.OutOrStdout(), "Serving the cache on %s\n", url)
		})
	})
	c.AddCommand(newCacheConfig(s), newCacheStatus(s), newCacheWarm(s), newCacheUnpin(s), newCacheToken(s))
	return c
}

// newCacheConfig prints what is to be told to clients of the cache; it asks no
// server.
func newCacheConfig(*session) *cobra.Command {
	c := &cobra.Command{
		Use:   "config",
		Short: "Print the configuration of docker, containerd or kubernetes for pulling through the cache",
	}
	var address, ca string
	var upstreams []string
	var byPath bool
	flags := c.PersistentFlags()
	flags.StringVar(&address, "url", "", "the cache's address as clients reach it: https://HOST[:PORT]")
	flags.StringArrayVar(&upstreams, "upstream", []string{"docker.io"}, "a registry to pull through it, such as ghcr.io; may be repeated")
	flags.StringVar(&ca, "ca", "", "the file, on the clients' machines, of the authority of the cache's certificate")
	client := func(name, short string, of func(mirror.Setup) (mirror.Configuration, error)) *cobra.Command {
		return &cobra.Command{
			Use: name, Short: short, Args: cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				setup, err := mirror.NewSetup(address, upstreams, ca, byPath)
				if err != nil {
					return err
				}
				configuration, err := of(setup)
				if err == nil {
					printConfiguration(c.OutOrStdout(), c.ErrOrStderr(), configuration)
				}
				return err
			},
		}
	}
	containerd := client("containerd", "Print a hosts.toml for each registry", func(s mirror.Setup) (mirror.Configuration, error) { return s.Containerd(), nil })
	kubernetes := client("kubernetes", "Print what nodes with containerd need, and a pull secret", mirror.Setup.Kubernetes)
	for _, c := range []*cobra.Command{containerd, kubernetes} {
		c.Flags().BoolVar(&byPath, "by-path", false, "put the registry into the path, for a proxy in between that drops queries")
	}
	c.AddCommand(client("docker", "Print Docker's daemon.json", mirror.Setup.Docker), containerd, kubernetes)
	return c
}

// printConfiguration prints one file as it is, several below their paths, and the
// notes beside them.
func printConfiguration(out, notes io.Writer, c mirror.Configuration) {
	for i, file := range c.Files {
		if len(c.Files) > 1 {
			if i > 0 {
				say(out, "\n")
			}
			say(out, "# %s\n", file.Path)
		} else {
			say(notes, "%s:\n", file.Path)
		}
		say(out, "%s", file.Text)
	}
	for _, note := range c.Notes {
		say(notes, "\n%s\n", note)
	}
}
