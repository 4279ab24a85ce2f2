package pull

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/oci"
)

const (
	// layerTries is how often in a row a layer may fail to bring a byte: with
	// the default wait a registry has half a minute to restart.
	layerTries = 7

	copyBuffer = 256 << 10
)

// errShort is a layer that ended early without an error.
var errShort = fmt.Errorf("the layer ended early: %w", io.ErrUnexpectedEOF)

// span is a run of a layer's bytes on its way over one connection after the
// other: the layer, or a part of it.
type span struct {
	*download
	offset, end int64
	part        bool // it is asked for by its end, too

	pass func([]byte)  // takes what comes, in its order
	room func() []byte // where the next bytes are read into; nil: anywhere

	// divided is told that the registry sends parts; nil: nobody asks.
	divided func()

	// undivided is asked where the registry sends all of the layer in place of the
	// part that is missing, or refuses to send a part. Its error ends the span;
	// otherwise that then goes up to the layer's end.
	undivided func() error

	stalled *time.Timer // ends a connection that brings nothing
}

// complete asks for the missing bytes until they are here, going on where the
// last connection broke.
func (s *span) complete(ctx context.Context) error {
	for failures := 0; s.offset < s.end; failures++ {
		before := s.offset
		err := s.attempt(ctx)
		if err == nil {
			return nil
		}
		if s.part && errors.Is(err, oci.ErrUndivided) {
			if err := s.extend(); err != nil {
				return err
			}
			failures = -1
			continue
		}
		if s.offset > before {
			failures = 0
		}
		if failures+1 >= layerTries || !isPassingForLayers(err) {
			return s.explain(err)
		}
		s.board.report(s.index, func(l *LayerReport) { l.Retries++ })
		waited := s.times.enter(waiting)
		err = s.registry.pause(ctx, failures, err)
		waited()
		if err != nil {
			return err
		}
	}
	return nil
}

// extend goes on up to the layer's end, if that is wanted.
func (s *span) extend() error {
	if err := s.undivided(); err != nil {
		return err
	}
	s.part, s.end = false, s.layer.Size
	return nil
}

// explain makes a fault of what a download failed by for good.
func (d *download) explain(err error) error {
	answer, answered := errors.AsType[*oci.Error](err)
	switch {
	case errors.Is(err, oci.ErrBlobLength), errors.Is(err, errShort),
		answered && answer.Status == http.StatusRequestedRangeNotSatisfiable:
		return layerAltered(d.request.Image, d.layer.Digest, err)
	case answered && answer.Status == http.StatusNotFound && (d.request.Route.Cache() == "" || answer.Has(oci.CodeBlobUnknown)):
		return layerMissing(d.request.Image, d.layer.Digest, err)
	default:
		return d.registry.explain(err)
	}
}

// attempt makes one request and copies what comes of it. A connection that
// brings nothing for too long is an os.ErrDeadlineExceeded.
func (s *span) attempt(ctx context.Context) error {
	leave, err := s.place(ctx, s.store.limits.connections)
	if err != nil {
		return err
	}
	defer leave()
	arriving := sync.OnceFunc(s.times.enter(waiting))
	defer arriving()
	watched, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	patience := s.store.config.StallTimeout
	s.stalled = time.AfterFunc(patience, func() { cancel(os.ErrDeadlineExceeded) })
	defer s.stalled.Stop()

	s.board.requested(s.index)
	waited := s.timeline.enter(waiting)
	var from oci.Blob
	err = s.registry.authorized(watched, func(authorization oci.Authorization) (err error) {
		s.stalled.Reset(patience)
		end := s.end
		if !s.part {
			end = 0
		}
		from, err = s.registry.open(watched, s.layer, s.offset, end, authorization)
		return err
	})
	waited()
	if err == nil {
		defer func() { _ = from.Close() }() // it was read
		err = s.copy(ctx, from, arriving)
	}
	if err != nil && ctx.Err() == nil && errors.Is(context.Cause(watched), os.ErrDeadlineExceeded) {
		return fmt.Errorf("%s brought nothing for %s: %w", s.layer.Digest, patience, os.ErrDeadlineExceeded)
	}
	return err
}

// copy passes on what a stream brings, up to the end of the span. Arriving is
// called at the first byte.
func (s *span) copy(ctx context.Context, from oci.Blob, arriving func()) (err error) {
	switch {
	case from.Whole && (s.offset > 0 || s.part):
		if err := s.extend(); err != nil {
			return err
		}
	case s.part && s.divided != nil:
		s.divided()
	}
	skip := s.offset - from.Start // a registry without ranges sends all of it again
	room := s.room
	if room == nil {
		buffer := make([]byte, copyBuffer)
		room = func() []byte { return buffer }
	}
	begun := false
	for s.offset < s.end {
		var n int
		buffer := room()
		n, err = from.Read(buffer[:min(int64(len(buffer)), skip+s.end-s.offset)])
		if n > 0 && !begun {
			begun = true
			defer s.transferring(arriving)()
		}
		known := int(min(skip, int64(n)))
		skip -= int64(known)
		s.stalled.Stop() // waiting for others is nothing that the registry does
		if n > 0 {
			s.board.arrived(s.index, n)
		}
		s.arrive(int64(n - known))
		s.pass(buffer[known:n])
		s.offset += int64(n - known)
		if failed := s.store.limits.bandwidth.pay(ctx, int64(n)); failed != nil {
			return failed
		}
		s.stalled.Reset(s.store.config.StallTimeout)
		if err != nil {
			break
		}
	}
	switch {
	case s.offset == s.end:
		return nil
	case errors.Is(err, io.EOF):
		return errShort
	default:
		return oci.RedactError(err)
	}
}

// transferring notes that bytes are coming; what it returns, that no more do.
func (s *span) transferring(arriving func()) (leave func()) {
	arriving()
	passed, spent := s.timeline.enter(transferring), s.times.enter(transferring)
	s.board.enter(s.index, Downloading)
	s.board.arrived(s.index, 0)
	return func() {
		spent()
		passed()
	}
}
