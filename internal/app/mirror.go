package app

import (
	"context"
	"net/http"
	"time"

	"fairlead.dev/fairlead/internal/app/adapter"
	"fairlead.dev/fairlead/internal/web"
)

// openMirror opens the pull-through cache and its door, which is nil if there is to be
// none.
func (s *Server) openMirror(ctx context.Context, readers *adapter.Readers) (http.Handler, error) {
	config := s.config.Cache
	if config.URL == "" {
		return nil, nil
	}
	var err error
	if s.blobs, err = openBlobs(ctx, config, s.config.DataDir, s.logger); err != nil {
		return nil, err
	}
	if readers.Networks, err = config.networks(); err != nil {
		return nil, err
	}
	upstreams := &adapter.Upstreams{Broker: s.broker, Transport: s.reach, Listed: config.listed(), Fresh: config.Fresh}
	kept, door, err := config.door(s.blobs, upstreams, readers, s.observe, s.logger)
	if err != nil {
		return nil, err
	}
	s.metrics.add(kept)
	s.watch = web.NewCacheWatch(adapter.Mirror{Cache: kept})
	return door, nil
}

// watchCache notes how the cache is, for its page, until ctx ends.
func (s *Server) watchCache(ctx context.Context) {
	if s.watch != nil {
		s.watch.Run(ctx, func() time.Time { return time.Now().UTC() })
	}
}
