package worker

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/pull"
	"fairlead.dev/fairlead/internal/wire"
)

// way is how an image may be pulled: from its registry, or through a pull-through cache.
type way struct {
	route     *oci.Route
	authorize pull.AuthorizeFunc
}

// name is the way as people are told of it.
func (w way) name() string {
	if cache := w.route.Cache(); cache != "" {
		return "the cache " + cache
	}
	return "the registry itself"
}

// ways are those that a grant opens, in the order in which they are tried: a later one
// where the cache before it is not there. A registry that takes only what stays on the
// server is never asked itself, and no cache has the role of this machine.
func (r *run) ways(grant wire.Grant, grants *grants) ([]way, error) {
	told := r.worker.config.Cache
	var caches []string
	if told.Always && grant.Role == nil {
		caches = append(caches, cmp.Or(told.URL, r.worker.config.Client.Server()))
	}
	if grant.Through != nil {
		caches = append(caches, cmp.Or(grant.Through.URL, r.worker.config.Client.Server()))
	}
	var ways []way
	for _, cache := range slices.Compact(caches) {
		route, err := r.worker.routes.through(cache, grant)
		if err != nil {
			return nil, err
		}
		ways = append(ways, way{route, grants.showToken})
	}
	if grant.Through != nil {
		return ways, nil
	}
	route, err := r.worker.routes.to(grant)
	return append(ways, way{route, grants.authorize}), err
}

// pullBy pulls by the first of the ways whose cache is there.
func (r *run) pullBy(ctx context.Context, ways []way, request pull.Request) (pulled pull.Image, err error) {
	begin := time.Now()
	for i, way := range ways {
		request.Route, request.Authorize = way.route, way.authorize
		if way.route.Cache() != "" {
			r.journal.status("Pulling through " + way.name())
		}
		pulled, err = r.worker.config.Images.Pull(ctx, request)
		if i > 0 {
			pulled.Report.CameAfter(begin)
		}
		if i+1 == len(ways) || ctx.Err() != nil || !pull.IsCacheAway(err) {
			break
		}
		r.leave(way, ways[i+1], err)
	}
	return pulled, err
}

// leave tells that a cache is not used, and what is in its place. That it has no way to
// an image for everybody is how it is meant to be.
func (r *run) leave(cache, next way, err error) {
	f := fault.From(err)
	if f.Code == "cache_uncovered" {
		r.journal.status(fmt.Sprintf("%s is not one of everybody's registries in the cache. Asking %s", cache.route.Host(), next.name()))
		return
	}
	r.journal.status(fmt.Sprintf("Not pulled through the cache: %s. Asking %s", f.Message, next.name()))
	r.worker.config.Logger.Warn("a pull-through cache was not used", "cache", cache.route.Cache(), "execution", r.job.ID,
		"image", r.job.Image, "code", f.Code, "error", err, "instead", next.name())
}
