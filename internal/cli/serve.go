package cli

import (
	"context"
	"io"
	"log/slog"

	"github.com/lmittmann/tint"
	"github.com/spf13/cobra"

	"fairlead.dev/fairlead/internal/app"
	"fairlead.dev/fairlead/internal/fault"
)

func newServe(s *session) *cobra.Command {
	var config app.Config
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run the server: the API and a worker on this machine",
		Long: "Run the server: the API, and with --worker (the default) a worker on this machine, which\n" +
			"needs root and runc or crun. On an empty database the first user is made, and the password\n" +
			"is printed once.\n\n" +
			"Settings are taken from the flags, then from FAIRLEAD_* variables, then from one YAML file.",
	}
	config.Flags(c.Flags())
	c.RunE = func(c *cobra.Command, _ []string) error {
		logger, err := newLogger(s.streams.Err, config.LogLevel, config.LogFormat)
		if err != nil {
			return err
		}
		if err := app.KeepMemoryPrivate(); err != nil {
			return err
		}
		server, err := app.Open(c.Context(), config, s.version, logger)
		if err != nil {
			return err
		}
		if first := server.First(); !first.Password.IsEmpty() {
			say(c.OutOrStdout(), "The first user is %s, an operator and the admin of the organisation %s.\nPassword, shown this once: %s\n",
				first.Username, first.Organization, first.Password.Reveal())
		}
		say(c.OutOrStdout(), "Serving on %s\n", server.URL())
		err = server.Run(c.Context())
		if closeErr := server.Close(); err == nil {
			err = closeErr
		}
		return err
	}
	return c
}

// newLogger writes logs for people on a terminal and JSON elsewhere, unless it
// is told which.
func newLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	var least slog.Level
	if err := least.UnmarshalText([]byte(level)); err != nil {
		return nil, fault.InvalidField("log-level", "choice", "%q is none of debug, info, warn and error", level)
	}
	if format == "text" || format == "auto" && isTerminal(w) {
		return slog.New(tint.NewTextHandler(w, &tint.Options{Level: least, NoColor: !isTerminal(w)})), nil
	}
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: least})), nil
}

func newWorker(s *session) *cobra.Command {
	var config app.RemoteConfig
	c := &cobra.Command{
		Use:   "worker",
		Short: "Run executions of a server on this machine",
		Long: "Run executions of a server on this machine. It needs root, runc or crun, and a worker's token\n" +
			"(`fairlead worker-token create NAME`) in FAIRLEAD_TOKEN or --token-file; it holds no other secret.",
	}
	config.Flags(c.Flags())
	c.RunE = s.working(c, "worker", func(ctx context.Context, token string, logger *slog.Logger) error {
		return app.RunWorker(ctx, config, s.server, token, s.version, logger)
	})
	c.AddCommand(newWorkerImages(s))
	return c
}
