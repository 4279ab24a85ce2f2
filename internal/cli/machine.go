package cli

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"fairlead.dev/fairlead/internal/app"
	"fairlead.dev/fairlead/internal/fault"
)

// working makes a command of what a machine, such as a worker, does for a server, with
// a token of its own, until it is interrupted. It gives the command the flags for that.
func (s *session) working(c *cobra.Command, machine string, do func(ctx context.Context, token string, logger *slog.Logger) error) func(*cobra.Command, []string) error {
	tokenFile := c.Flags().String("token-file", "", "file that holds the "+machine+"'s token")
	logLevel := c.Flags().String("log-level", "info", "debug, info, warn or error")
	logFormat := c.Flags().String("log-format", "auto", "text, json, or auto: text on a terminal")
	return func(c *cobra.Command, _ []string) error {
		logger, err := newLogger(s.streams.Err, *logLevel, *logFormat)
		if err != nil {
			return err
		}
		token, err := s.machineToken(*tokenFile, machine)
		if err != nil {
			return err
		}
		if err := app.KeepMemoryPrivate(); err != nil {
			return err
		}
		return do(c.Context(), token, logger)
	}
}

// machineToken is the token of a machine that works for a server.
func (s *session) machineToken(file, machine string) (string, error) {
	token := os.Getenv(tokenVariable)
	if file != "" {
		text, err := os.ReadFile(filepath.Clean(file))
		if err != nil {
			return "", fault.InvalidField("token-file", "file", "%v", err)
		}
		token = strings.TrimSpace(string(text))
	}
	if s.server == "" || token == "" {
		return "", fault.InvalidField("server", "blank", "a %s needs a server and a token", machine).
			WithHint("Give --server http://HOST:8080, and the token in FAIRLEAD_TOKEN or --token-file.")
	}
	return token, nil
}
