package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/lmittmann/tint"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"fairlead.dev/fairlead/internal/app"
	"fairlead.dev/fairlead/internal/client"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/telemetry"
)

// session is what all commands of one command line share.
type session struct {
	version string
	streams IO

	file   string // of settings
	server string

	tracer *telemetry.Tracer // of what the command asks of a server; nil: nothing is traced
}

// Variables that are no flag's: a token on a command line would be seen by
// everybody on the machine.
const (
	tokenVariable  = "FAIRLEAD_TOKEN"
	configVariable = "FAIRLEAD_CONFIG"
)

// settle gives the command's flags their values from the variables and the file.
func (s *session) settle(c *cobra.Command) error {
	if !c.Flags().Changed("config") {
		if file, found := os.LookupEnv(configVariable); found {
			s.file = file
		}
	}
	serve, cache := pflag.NewFlagSet("", pflag.ContinueOnError), pflag.NewFlagSet("", pflag.ContinueOnError)
	new(app.Config).Flags(serve)
	new(app.RemoteCacheConfig).Flags(cache)
	known := func(key string) bool {
		return serve.Lookup(key) != nil || cache.Lookup(key) != nil || key == "project" || key == "server"
	}
	return app.Settle(c.Flags(), s.file, known)
}

// signedIn is where and as whom somebody signed in last.
type signedIn struct {
	Server string `json:"server"`
	Token  string `json:"token"`
}

// signedInFile is where that is kept, readable by its owner alone.
func signedInFile() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fault.New(fault.Invalid, "no_home", "there is no directory to keep a sign-in in").
			WithHint("Set HOME, or set FAIRLEAD_SERVER and FAIRLEAD_TOKEN.")
	}
	return filepath.Join(dir, "fairlead", "login.json"), nil
}

func readSignedIn() (in signedIn, err error) {
	file, err := signedInFile()
	if err != nil {
		return in, nil //nolint:nilerr // nobody without a home has signed in
	}
	text, err := os.ReadFile(filepath.Clean(file))
	if errors.Is(err, fs.ErrNotExist) {
		return in, nil
	}
	if err != nil {
		return in, fmt.Errorf("reading the sign-in: %w", err)
	}
	if err := json.Unmarshal(text, &in); err != nil {
		return in, fault.New(fault.Invalid, "login_broken", "the file %s cannot be read", file).
			WithHint("Run `fairlead login` again.").WithCause(err)
	}
	return in, nil
}

func writeSignedIn(in signedIn) error {
	file, err := signedInFile()
	if err != nil {
		return err
	}
	text, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("keeping the sign-in: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return fmt.Errorf("keeping the sign-in: %w", err)
	}
	temporary := file + ".new"
	if err := os.WriteFile(temporary, text, 0o600); err != nil {
		return fmt.Errorf("keeping the sign-in: %w", err)
	}
	return os.Rename(temporary, file)
}

// client is a client of the server that the command is for.
func (s *session) client() (*client.Client, error) {
	in, err := readSignedIn()
	if err != nil {
		return nil, err
	}
	if s.tracer, err = s.trace(); err != nil {
		return nil, err
	}
	server, token := s.server, os.Getenv(tokenVariable)
	if server == "" {
		server = in.Server
	}
	if server == "" {
		return nil, fault.New(fault.Invalid, "not_signed_in", "no server is known").
			WithHint("Run `fairlead login http://HOST:8080`, or set FAIRLEAD_SERVER and FAIRLEAD_TOKEN.")
	}
	if token == "" && server == in.Server { // a token is for the server that gave it
		token = in.Token
	}
	return client.New(client.Config{Server: server, Token: secret.New(token), UserAgent: "fairlead/" + s.version, Around: s.tracer.Calls})
}

// calling makes a command of what is done with the server that it is for.
func (s *session) calling(do func(c *cobra.Command, api *client.Client, args []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		api, err := s.client()
		if err != nil {
			return err
		}
		defer api.Close()
		return do(c, api, args)
	}
}

// trace makes what traces the calls of a command, where the variables of OpenTelemetry
// say that it is to be done.
func (s *session) trace() (*telemetry.Tracer, error) {
	if s.tracer != nil {
		return s.tracer, nil
	}
	logger := slog.New(tint.NewTextHandler(s.streams.Err, &tint.Options{NoColor: true}))
	return telemetry.NewTracer(context.Background(), telemetry.TraceConfig{Service: "fairlead", Version: s.version, Logger: logger})
}
