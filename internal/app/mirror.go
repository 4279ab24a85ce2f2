package app

import (
	"context"
	"net/http"
	"strings"

	"fairlead.dev/fairlead/internal/app/adapter"
)

// openMirror puts the pull-through cache's door in front of the API, if there is to be
// one.
func (s *Server) openMirror(ctx context.Context, readers *adapter.Readers) error {
	config := s.config.Cache
	if config.URL == "" {
		return nil
	}
	var err error
	if s.blobs, err = openBlobs(ctx, config, s.config.DataDir, s.logger); err != nil {
		return err
	}
	if readers.Networks, err = config.networks(); err != nil {
		return err
	}
	upstreams := &adapter.Upstreams{Broker: s.broker, Transport: s.reach, Listed: config.listed(), Fresh: config.Fresh}
	kept, door, err := config.door(s.blobs, upstreams, readers, s.observe, s.logger)
	if err != nil {
		return err
	}
	s.metrics.add(kept)
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
