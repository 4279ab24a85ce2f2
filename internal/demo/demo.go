// Package demo is the two-minute tour: private registries made on the spot, a
// whole server with a worker, and the story of an organisation's step on a
// private image, with the failures that people meet. Nothing of it is played:
// the story goes over the API, and the registries check every secret.
package demo

import (
	"context"
	"crypto/rand"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"fairlead.dev/fairlead/internal/app"
	"fairlead.dev/fairlead/internal/secret"
)

//go:embed project
var project embed.FS

// Config is how the demo is run.
type Config struct {
	// Out gets the story. Harmless makes foreign text fit to be shown there.
	Out      io.Writer
	Harmless func(string) string

	// Once ends the demo after the story; otherwise the server stays up until
	// the context ends.
	Once bool

	Listen  string // of the server
	Runtime string // runc or crun; "" for whichever is installed
	Version string
	Logger  *slog.Logger

	// Transport carries the story's own requests; the client's own if nil.
	Transport http.RoundTripper
}

// Run tells the story. The error says what did not come out right; it is nil
// only if everything did.
func Run(ctx context.Context, config Config) (err error) {
	dir, err := os.MkdirTemp("", "fairlead-demo-")
	if err != nil {
		return fmt.Errorf("making a directory for the demo: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	return run(ctx, config, dir, shelves())
}

// run tells the story in a directory, with registries that it starts and ends.
func run(ctx context.Context, config Config, dir string, all []*shelf) (err error) {
	defer func() { err = errors.Join(err, closeShelves(all)) }()
	t := teller{config: config}
	t.chapter("Private registries, made on the spot")
	settings := app.Config{
		Listen: config.Listen, DataDir: filepath.Join(dir, "data"), Admin: "operator", Organization: "main",
		Worker: app.WorkerConfig{Enabled: true, Slots: 2, Runtime: config.Runtime}, LogFormat: "auto",
	}
	for _, s := range all {
		if err := s.open(ctx); err != nil {
			return err
		}
		if err := s.settings(dir, &settings.Registries); err != nil {
			return err
		}
		t.say("%s: a private image on a registry of kind %s", s.name(), s.kind)
	}
	server, err := app.Open(ctx, settings, config.Version, config.Logger)
	if err != nil {
		return err
	}
	// The server ends after the story, and the story when the server does.
	serving, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		defer stop()
		ended <- server.Run(serving)
	}()
	defer func() {
		stop()
		err = errors.Join(err, <-ended, server.Close())
	}()
	code := filepath.Join(dir, "project")
	if err := unpackProject(code); err != nil {
		return err
	}
	s := story{teller: t, server: server, shelves: all, code: code}
	if err := s.tell(serving); err != nil {
		return err
	}
	if config.Once {
		return nil
	}
	t.chapter("The server stays up: Ctrl-C ends it")
	t.say("In a browser: %s, as %s with the password %s", server.URL(), adminName, s.adminPassword.Reveal())
	t.say("In another shell: fairlead login %s --username %s", server.URL(), adminName)
	t.say("and then, for example: fairlead registry list, fairlead execution list, fairlead audit")
	<-ctx.Done()
	return nil
}

// unpackProject writes the demo's project to dir.
func unpackProject(dir string) error {
	files, err := fs.Sub(project, "project")
	if err != nil {
		return fmt.Errorf("writing the demo's project: %w", err)
	}
	if err := os.CopyFS(dir, files); err != nil {
		return fmt.Errorf("writing the demo's project: %w", err)
	}
	return nil
}

// teller writes the story down.
type teller struct{ config Config }

func (t teller) chapter(title string) { _, _ = fmt.Fprintf(t.config.Out, "\n== %s\n", title) }

func (t teller) say(format string, args ...any) {
	_, _ = fmt.Fprintf(t.config.Out, "   %s\n", fmt.Sprintf(format, args...))
}

// newPassword is a password that nobody knows yet.
func newPassword() secret.Text { return secret.New(strings.ToLower(rand.Text())) }
