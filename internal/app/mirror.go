package app

import (
	"context"
	"net/http"
	"path/filepath"
	"strings"

	"fairlead.dev/fairlead/internal/app/adapter"
	"fairlead.dev/fairlead/internal/blobs"
	"fairlead.dev/fairlead/internal/cache"
	"fairlead.dev/fairlead/internal/mirror"
)

// openMirror puts the pull-through cache's door in front of the API, if there is to be
// one.
func (s *Server) openMirror(ctx context.Context) error {
	config := s.config.Cache
	if config.URL == "" {
		return nil
	}
	var err error
	s.blobs, err = blobs.Open(ctx, blobs.Config{
		URL: config.URL, Spool: filepath.Join(s.config.DataDir, "spool"), Limit: int64(config.Limit), Logger: s.logger,
	})
	if err != nil {
		return err
	}
	readers := adapter.Readers{Accounts: s.accounts, Dispatch: s.dispatch}
	if readers.Networks, err = config.networks(); err != nil {
		return err
	}
	listed := make(map[string]bool, len(config.Upstreams))
	for _, host := range config.Upstreams {
		listed[host] = true
	}
	kept := cache.New(cache.Config{
		Authority: &adapter.Upstreams{Broker: s.broker, Transport: s.reach, Listed: listed},
		Content:   s.blobs, Fresh: config.Fresh, Stale: config.Stale, Logger: s.logger,
	})
	door, err := mirror.New(mirror.Config{
		Backend:       adapter.Mirror{Cache: kept},
		Extension:     adapter.Mirror{Cache: kept},
		Authenticator: readers,
		Sent:          kept.Sent,
		Unnamed:       "docker.io",
		Logger:        s.logger,
	})
	if err != nil {
		return err
	}
	api := s.handler
	s.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2" || strings.HasPrefix(r.URL.Path, "/v2/") {
			door.ServeHTTP(w, r)
			return
		}
		api.ServeHTTP(w, r)
	})
	return nil
}
