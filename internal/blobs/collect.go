package blobs

import (
	"context"
	"errors"
	"path"
	"time"

	"github.com/opencontainers/go-digest"
)

// algorithms are those of the digests that are kept.
var algorithms = []digest.Algorithm{digest.SHA256, digest.SHA512}

// nudge has the store tidied soon.
func (s *Store) nudge() {
	select {
	case s.wake <- struct{}{}:
	default: // it will be already
	}
}

// run does what nobody waits for.
func (s *Store) run() {
	flush, tidy := time.NewTicker(s.config.FlushEvery), time.NewTicker(tidyEvery)
	defer flush.Stop()
	defer tidy.Stop()
	for {
		var err error
		select {
		case <-s.ctx.Done():
			return
		case <-flush.C:
			err = s.Flush(s.ctx)
		case <-tidy.C:
			err = s.Collect(s.ctx)
		case <-s.wake:
			err = s.Collect(s.ctx)
		}
		if err != nil && s.ctx.Err() == nil {
			s.config.Logger.Warn("tidying the cache", "error", err)
		}
	}
}

// Collect reads what other processes used, looks what there is, and removes what is
// more than the limit, now. The store does so by itself, when it is over the limit and
// every few minutes; call it to wait for it.
func (s *Store) Collect(ctx context.Context) error {
	s.tidying.Lock()
	defer s.tidying.Unlock()
	return s.place.asFault(s.collect(ctx))
}

func (s *Store) collect(ctx context.Context) error {
	if err := errors.Join(s.journal.flush(ctx), s.journal.refresh(ctx)); err != nil {
		return err
	}
	if err := s.trim(ctx); err != nil {
		return err
	}
	s.table.forget(s.now().before(forgetAfter))
	return errors.Join(s.journal.compact(ctx), s.place.sweep(ctx, s.config.Now()))
}

// trim looks what there is, and removes what is too much. Of those who share a
// directory one does so at a time: together they would remove too much, each by what it
// knows itself.
func (s *Store) trim(ctx context.Context) (err error) {
	if s.place.kind == directory {
		release, locked := s.place.spool.lock(ctx)
		if locked != nil {
			return locked
		}
		defer func() { err = errors.Join(err, release()) }()
	}
	if err := s.look(ctx); err != nil {
		return err
	}
	return s.evict(ctx)
}

// look lists what there is.
func (s *Store) look(ctx context.Context) error {
	look := s.table.beginLook()
	var there []digest.Digest
	for _, algorithm := range algorithms {
		names, err := s.place.list(ctx, path.Join(blobsAt, algorithm.String()))
		if err != nil {
			return err
		}
		for _, name := range names {
			if d := digest.NewDigestFromEncoded(algorithm, name); isDigest(d) {
				there = append(there, d)
			}
		}
	}
	for _, d := range s.table.endLook(look, there) {
		found, err := s.place.stat(ctx, d)
		switch {
		case err == nil:
			s.table.found(d, found, s.now())
		case isMissing(err):
			s.table.missing(d)
		default:
			return err
		}
	}
	return nil
}

// evict removes what is too much.
//
// In a directory, who has a file open goes on reading it when its name is gone. In a
// bucket, nobody else may have begun to read a blob: so what is to go is announced, and
// then looked up once more. Who opens one does the same the other way round (see
// journal.announce), so that one of the two sees the other, and gives way.
func (s *Store) evict(ctx context.Context) error {
	now := s.now()
	spare := moment(0)
	if s.place.kind != directory {
		spare = now.before(spareFor)
	}
	victims := s.table.condemn(s.config.Limit, spare, now.before(spareFor), now)
	if len(victims) == 0 {
		return nil
	}
	if s.place.kind != directory {
		if err := errors.Join(s.journal.flush(ctx), s.journal.refresh(ctx)); err != nil {
			return err // they stay condemned: the next time they go first
		}
	}
	var errs []error
	for _, v := range victims {
		if s.place.kind != directory && s.table.pardon(v) {
			continue
		}
		if err := s.place.remove(ctx, blobPath(v.digest)); err != nil {
			errs = append(errs, err)
			continue
		}
		s.table.gone(v.digest)
		s.config.Logger.Info("a blob was removed to make room", "digest", v.digest, "bytes", v.size, "last_use", v.used.time())
	}
	return errors.Join(append(errs, s.journal.flush(ctx))...)
}
