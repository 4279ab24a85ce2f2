package app

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/secret"
)

// identity is the server's own: files of tokens by audience, "" for every other
// one. Something else renews them; each is read anew when it is asked for.
type identity map[string]string

// newIdentity reads the settings. Nil where there are none.
func newIdentity(settings []string) (identity, error) {
	var errs []error
	files := make(identity)
	for _, setting := range settings {
		// An audience may hold an equals sign, a path hardly does.
		audience, file := "", setting
		if i := strings.LastIndexByte(setting, '='); i >= 0 {
			audience, file = setting[:i], setting[i+1:]
		}
		switch _, twice := files[audience]; {
		case !filepath.IsAbs(file):
			errs = append(errs, fault.InvalidField("identity-token-file", "file", "%q is no absolute path of a file", file))
		case twice:
			errs = append(errs, fault.InvalidField("identity-token-file", "twice", "the audience %q has a file already", audience))
		}
		files[audience] = file
	}
	if len(files) == 0 {
		return nil, nil
	}
	return files, fault.Join(errs...)
}

// token is the one for an audience.
func (i identity) token(_ context.Context, audience string) (secret.Text, error) {
	const most = 64 << 10
	name, found := i[audience]
	if !found {
		name, found = i[""]
	}
	if !found {
		return secret.Text{}, fault.New(fault.Unavailable, "identity_missing", "this server has no identity token for the audience %s", audience).
			WithHint("Its operator can give it one with --identity-token-file %s=FILE.", audience)
	}
	file, err := os.Open(filepath.Clean(name))
	if err != nil {
		return secret.Text{}, unreadable(err)
	}
	defer func() { _ = file.Close() }() // only read
	text, err := io.ReadAll(io.LimitReader(file, most))
	if err != nil {
		return secret.Text{}, unreadable(err)
	}
	return secret.New(strings.TrimSpace(string(text))), nil
}

func unreadable(err error) error {
	return fault.New(fault.Unavailable, "identity_unreadable", "this server's identity token cannot be read").
		WithHint("Its operator finds the reason in the server's log.").WithCause(err)
}
