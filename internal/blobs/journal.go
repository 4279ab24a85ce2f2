package blobs

import (
	"context"
	"path"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
)

const (
	// segmentsMost is how many segments there may be before one is made of all.
	segmentsMost = 64

	// readTries is how often segments are listed anew because one of those that were
	// listed was gone: another process made one of them and others.
	readTries = 5
)

// journal keeps the table where the blobs are, as segments that are written once: each
// of what a process learned since its last one. Whoever finds many of them makes one of
// all and removes those. What is read twice, or in another order, joins to the same.
type journal struct {
	place *place
	table *table
	now   func() moment
	warn  func(message string, args ...any)

	mu   sync.Mutex      // one at a time
	read map[string]bool // segments that were looked at, and whether they could be read
}

// flush writes down what nobody else can read yet.
func (j *journal) flush(ctx context.Context) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.write(ctx, j.table.unpublished(j.now()))
}

// write writes a segment. The caller has the lock.
func (j *journal) write(ctx context.Context, lines []line) error {
	if len(lines) == 0 {
		return nil
	}
	now := j.now()
	name := nameAt(now.time())
	text, err := formatSegment(lines)
	if err == nil {
		err = j.place.put(ctx, path.Join(usageAt, name), text, now.time())
	}
	if err != nil {
		j.table.unpublish(lines)
		return err
	}
	j.read[name] = true
	j.table.publish(lines)
	return nil
}

// jot writes down what is known of one blob, in a segment of its own that costs no wait
// for the disk. It is written again with everything else.
func (j *journal) jot(ctx context.Context, d digest.Digest) error {
	known, is := j.table.line(d)
	if !is {
		return nil
	}
	text, err := formatSegment([]line{known})
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	now := j.now().time()
	name := nameAt(now)
	if err := j.place.jot(ctx, path.Join(usageAt, name), text, now); err != nil {
		return err
	}
	j.read[name] = true
	return nil
}

// refresh reads what others wrote since the last time.
func (j *journal) refresh(ctx context.Context) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	_, err := j.readNew(ctx)
	return err
}

// readNew reads the segments that are new, and lists all. The caller has the lock.
func (j *journal) readNew(ctx context.Context) (names []string, err error) {
	for range readTries {
		listed, err := j.place.list(ctx, usageAt)
		if err != nil {
			return nil, err
		}
		names = names[:0]
		for _, name := range listed {
			if _, ours := timeOf(name); ours {
				names = append(names, name)
			}
		}
		whole := true
		for _, name := range names {
			if _, looked := j.read[name]; looked {
				continue
			}
			switch err := j.readOne(ctx, name); {
			case isMissing(err):
				whole = false
			case err != nil:
				return nil, err
			}
		}
		if whole {
			break
		}
	}
	for name := range j.read {
		if !slices.Contains(names, name) {
			delete(j.read, name)
		}
	}
	return names, nil
}

// readOne joins a segment. One that cannot be read is left alone: its blobs are here
// all the same.
func (j *journal) readOne(ctx context.Context, name string) error {
	text, err := j.place.read(ctx, path.Join(usageAt, name), segmentMost)
	if err != nil {
		return err
	}
	j.read[name] = true
	lines, err := parseSegment(text)
	if err != nil {
		j.warn("a record of what was used cannot be read and is left out", "name", name, "error", err)
		j.read[name] = false
		return nil
	}
	now := j.now()
	for _, l := range lines {
		j.table.join(l, now)
	}
	return nil
}

// compact makes one segment of many.
func (j *journal) compact(ctx context.Context) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	names, err := j.readNew(ctx)
	if err != nil || len(names) <= segmentsMost {
		return err
	}
	now := j.now()
	text, err := formatSegment(j.table.all())
	if err != nil {
		return err
	}
	whole := nameAt(now.time())
	if err := j.place.put(ctx, path.Join(usageAt, whole), text, now.time()); err != nil {
		return err
	}
	j.read[whole] = true
	for _, name := range names {
		if !j.read[name] {
			continue
		}
		if err := j.place.remove(ctx, path.Join(usageAt, name)); err != nil {
			return err
		}
		delete(j.read, name)
	}
	return nil
}

// announce makes sure that others know that a blob is used here, before it is opened
// in a bucket, and reports whether nobody else is about to remove it: who removes one
// says so first, and then looks who uses it. Of two that do so at the same time, each
// sees the other's word.
func (j *journal) announce(ctx context.Context, d digest.Digest) (stays bool, err error) {
	if r, _ := j.table.look(d); r.published <= j.now().before(announceEvery) {
		j.mu.Lock()
		defer j.mu.Unlock()
		if r, _ := j.table.look(d); r.published <= j.now().before(announceEvery) { // still
			if err := j.write(ctx, j.table.unpublished(j.now())); err != nil {
				return false, err
			}
			if _, err := j.readNew(ctx); err != nil {
				return false, err
			}
		}
	}
	r, _ := j.table.look(d)
	return !r.isCondemned(), nil
}
