package cli

import (
	"log/slog"

	"github.com/spf13/cobra"

	"fairlead.dev/fairlead/internal/demo"
)

func newDemo(s *session) *cobra.Command {
	config := demo.Config{Harmless: harmless}
	var verbose bool
	c := &cobra.Command{
		Use:   "demo",
		Short: "Show it all in two minutes, with private registries made on the spot",
		Long: "Show it all in two minutes: private registries made on the spot, a server with a worker, an\n" +
			"organisation whose member runs steps on private images, and what is told when that fails.\n" +
			"Nothing is kept and no internet is needed; root and runc or crun are. On a terminal the server\n" +
			"then stays up. With --once the exit code is 0 only if everything came out right.",
	}
	c.Flags().BoolVar(&config.Once, "once", false, "end after the story")
	c.Flags().StringVar(&config.Listen, "listen", "127.0.0.1:0", "address of the demo's server")
	c.Flags().StringVar(&config.Runtime, "runtime", "", "path of runc or crun (default whichever is installed)")
	c.Flags().BoolVar(&verbose, "verbose", false, "show the server's own log too")
	c.RunE = func(c *cobra.Command, _ []string) error {
		config.Out, config.Version = c.OutOrStdout(), s.version
		config.Once = config.Once || !isTerminal(config.Out)
		config.Logger = slog.New(slog.DiscardHandler)
		if verbose {
			var err error
			if config.Logger, err = newLogger(s.streams.Err, "debug", "auto"); err != nil {
				return err
			}
		}
		return demo.Run(c.Context(), config)
	}
	return c
}
