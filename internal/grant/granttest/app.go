package granttest

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/distribution/distribution/v3/configuration"
	_ "github.com/distribution/distribution/v3/registry/auth/token" // registers the check of tokens
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/inmemory" // registers the storage
	"github.com/sirupsen/logrus"
)

// newApp makes the registry proper: in memory, with its own check of every
// token.
func newApp(s *signer, realm string) (*handlers.App, error) {
	directory, err := os.MkdirTemp("", "granttest-")
	if err != nil {
		return nil, fmt.Errorf("writing the keys of a fake registry: %w", err)
	}
	defer func() { _ = os.RemoveAll(directory) }() // they are read once, and public
	keys := filepath.Join(directory, "jwks.json")
	if err := os.WriteFile(keys, s.keys, 0o600); err != nil {
		return nil, fmt.Errorf("writing the keys of a fake registry: %w", err)
	}
	config := &configuration.Configuration{
		Storage: configuration.Storage{
			"inmemory":    configuration.Parameters{},
			"delete":      configuration.Parameters{"enabled": true},
			"maintenance": configuration.Parameters{"uploadpurging": map[any]any{"enabled": false}},
		},
		Auth: configuration.Auth{"token": configuration.Parameters{
			"realm": realm, "service": s.service, "issuer": tokenIssuer, "jwks": keys,
		}},
	}
	config.HTTP.Secret = rand.Text()
	config.HTTP.RelativeURLs = true
	config.Catalog.MaxEntries = 1000
	return handlers.NewApp(context.Background(), config), nil
}

// distribution logs to logrus's standard logger and takes no other, so that
// one is silent while any fake runs.
var quiet struct {
	sync.Mutex
	fakes  int
	before io.Writer
}

// silenceLog discards that logger's output until restore is called.
func silenceLog() (restore func()) {
	quiet.Lock()
	defer quiet.Unlock()
	if quiet.fakes == 0 {
		quiet.before = logrus.StandardLogger().Out
		logrus.SetOutput(io.Discard)
	}
	quiet.fakes++
	return func() {
		quiet.Lock()
		defer quiet.Unlock()
		if quiet.fakes--; quiet.fakes == 0 {
			logrus.SetOutput(quiet.before)
		}
	}
}
