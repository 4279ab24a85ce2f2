package blobs

import (
	"cmp"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
)

// record is all that this process knows of a blob.
type record struct {
	line

	elsewhere moment // last use of which another process told
	published moment // last use that others can read
	dirty     bool   // something of it nobody else can read
	here      bool   // it is in the place, as far as is known
	since     uint64 // the look at the place that was under way when it came to be here
	users     int    // who reads it now, in this process
}

// isCondemned reports whether somebody removes it, or has.
func (r *record) isCondemned() bool { return r.Removed > 0 && r.Removed >= r.Stored }

func (r *record) isPinned() bool { return r.Pinned > r.Unpinned }

// table holds the records. It is safe for concurrent use.
type table struct {
	mu      sync.Mutex
	records map[digest.Digest]*record
	total   int64 // bytes of what is here
	looks   uint64
}

func newTable() *table { return &table{records: make(map[digest.Digest]*record)} }

// of is a blob's record; the caller has the lock.
func (t *table) of(d digest.Digest) *record {
	r := t.records[d]
	if r == nil {
		r = &record{line: line{Digest: d}}
		t.records[d] = r
	}
	return r
}

// setHere takes note of whether a blob is there; the caller has the lock.
func (t *table) setHere(r *record, here bool) {
	if here == r.here {
		return
	}
	if r.here = here; here {
		t.total += r.Size
		r.since = t.looks
	} else {
		t.total -= r.Size
	}
}

// setSize takes note of a blob's size; the caller has the lock.
func (t *table) setSize(r *record, size int64) {
	if r.here {
		t.total += size - r.Size
	}
	r.Size = size
}

// join takes in what another process, or an earlier one, wrote.
func (t *table) join(l line, now moment) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.of(l.Digest)
	used := min(l.Used, now) // a clock that is far ahead keeps nothing for ever
	r.Used, r.elsewhere = max(r.Used, used), max(r.elsewhere, used)
	r.Stored, r.Removed = max(r.Stored, l.Stored), max(r.Removed, l.Removed)
	r.Pinned, r.Unpinned = max(r.Pinned, l.Pinned), max(r.Unpinned, l.Unpinned)
	if r.Size == 0 {
		t.setSize(r, l.Size)
	}
	for name, at := range l.Organizations {
		t.use(r, name, min(at, now))
	}
}

func (*table) use(r *record, organization string, at moment) {
	if r.Organizations == nil {
		r.Organizations = make(map[string]moment)
	}
	r.Organizations[organization] = max(r.Organizations[organization], at)
}

// touch takes note of a use; of nobody's if organization is "".
func (t *table) touch(d digest.Digest, organization string, now moment) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.of(d)
	r.Used, r.dirty = max(r.Used, now), true
	if organization != "" {
		// After its removal, on whichever clock: else the use would be of an earlier copy.
		t.use(r, organization, max(now, r.Removed+1))
	}
}

// usedBy reports whether somebody used the copy that is there.
func (t *table) usedBy(d digest.Digest, organization string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.records[d]
	return r != nil && r.Organizations[organization] > r.Removed
}

// enter counts somebody who reads a blob, fills it, or is about to.
func (t *table) enter(d digest.Digest) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.of(d).users++
}

// leave takes back an enter. Used is for who did read it.
func (t *table) leave(d digest.Digest, used bool, now moment) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.of(d)
	if r.users--; used {
		r.Used, r.dirty = max(r.Used, now), true
	}
	if r.users == 0 && !r.here && !r.dirty && max(r.Used, r.Removed, r.Pinned, r.Unpinned) == 0 {
		delete(t.records, d) // nothing is known of it
	}
}

// stored takes note that a blob was put there.
func (t *table) stored(d digest.Digest, size int64, now moment) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.of(d)
	t.setSize(r, size)
	r.Stored, r.Used, r.dirty = max(now, r.Removed+1, r.Stored), max(r.Used, now), true
	t.setHere(r, true)
}

// found takes note of what a look at the place told of one blob. One of which nobody
// told anything yet was used when it was put there, by another process, perhaps a
// moment ago.
func (t *table) found(d digest.Digest, is about, now moment) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.of(d)
	if r.Used == 0 && r.users == 0 {
		r.Used = min(momentOf(is.modified), now)
		r.elsewhere = r.Used
	}
	t.setSize(r, is.size)
	t.setHere(r, true)
}

// missing takes note that a blob is not there.
func (t *table) missing(d digest.Digest) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.setHere(t.of(d), false)
}

// pin sets whether a blob is pinned.
func (t *table) pin(d digest.Digest, pinned bool, now moment) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.of(d)
	if r.isPinned() == pinned {
		return
	}
	if r.dirty = true; pinned {
		r.Pinned = max(now, r.Unpinned+1)
	} else {
		r.Unpinned = max(now, r.Pinned)
	}
}

// look tells a record's state, if there is one.
func (t *table) look(d digest.Digest) (record, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.records[d]
	if r == nil {
		return record{}, false
	}
	return *r, true
}

// line is what is known of a blob, for use without the lock.
func (t *table) line(d digest.Digest) (line, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.records[d]
	if r == nil {
		return line{}, false
	}
	return r.copied(), true
}

// unpublished are the lines that others cannot read yet; the caller tells publish or
// unpublish what became of them. What is being read counts as used now.
func (t *table) unpublished(now moment) []line {
	t.mu.Lock()
	defer t.mu.Unlock()
	var lines []line
	for _, r := range t.records {
		if r.users > 0 {
			r.Used, r.dirty = max(r.Used, now), true
		}
		if r.dirty {
			r.dirty = false
			lines = append(lines, r.copied())
		}
	}
	return lines
}

// publish takes note that others can read lines.
func (t *table) publish(lines []line) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range lines {
		r := t.of(l.Digest)
		r.published = max(r.published, l.Used)
	}
}

// unpublish takes note that they cannot.
func (t *table) unpublish(lines []line) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range lines {
		t.of(l.Digest).dirty = true
	}
}

// copied is the record's line, for use without the lock; of organisations, those
// that count.
func (r *record) copied() line {
	l := r.line
	l.Organizations = nil
	for name, at := range r.Organizations {
		if at > r.Removed {
			if l.Organizations == nil {
				l.Organizations = make(map[string]moment, len(r.Organizations))
			}
			l.Organizations[name] = at
		}
	}
	return l
}

// forget drops the records of blobs that are not there and that nobody used or
// removed since.
func (t *table) forget(since moment) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for d, r := range t.records {
		if !r.here && !r.isPinned() && r.users == 0 && !r.dirty && max(r.Used, r.Removed, r.Unpinned) < since {
			delete(t.records, d)
		}
	}
}

func (t *table) all() []line {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := make([]line, 0, len(t.records))
	for _, r := range t.records {
		lines = append(lines, r.copied())
	}
	return lines
}

// beginLook counts a look at the place; what comes to be here from now on need not
// be in it.
func (t *table) beginLook() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.looks++
	return t.looks
}

// endLook takes note of what is there. It returns the blobs whose size is not known.
func (t *table) endLook(look uint64, there []digest.Digest) (unknown []digest.Digest) {
	t.mu.Lock()
	defer t.mu.Unlock()
	seen := make(map[digest.Digest]bool, len(there))
	for _, d := range there {
		seen[d] = true
		r := t.of(d)
		if r.Size == 0 && d != d.Algorithm().FromBytes(nil) {
			unknown = append(unknown, d)
			continue
		}
		t.setHere(r, true)
	}
	for d, r := range t.records {
		if r.here && !seen[d] && r.since < look {
			t.setHere(r, false)
		}
	}
	return unknown
}

// victim is a blob that is to be removed.
type victim struct {
	digest    digest.Digest
	elsewhere moment // what was known of other processes' use
	used      moment
	size      int64
}

// condemn chooses what is to be removed so that no more than limit bytes stay, the
// least recently used first, and marks it: what is pinned or being read stays, and
// what another process used after spare; where that is 0 nobody need be spared, and
// what is there counts, whatever was announced. A limit of 0 is none. Those that were
// condemned before old and are still there are chosen in any case.
func (t *table) condemn(limit int64, spare, old, now moment) []victim {
	t.mu.Lock()
	defer t.mu.Unlock()
	var left, candidates []victim
	for d, r := range t.records {
		v := victim{d, r.elsewhere, r.Used, r.Size}
		switch {
		case !r.here || r.users > 0 || r.isPinned():
		case spare == 0, !r.isCondemned() && r.elsewhere < spare:
			candidates = append(candidates, v)
		case r.isCondemned() && r.Removed < old:
			left = append(left, v)
		}
	}
	slices.SortFunc(candidates, func(a, b victim) int {
		return cmp.Or(cmp.Compare(a.used, b.used), cmp.Compare(a.digest, b.digest))
	})
	over := t.total - limit
	if limit == 0 {
		over = 0
	}
	for _, v := range left {
		over -= v.size
	}
	chosen := left
	for _, v := range candidates {
		if over <= 0 {
			break
		}
		over -= v.size
		r := t.records[v.digest]
		r.Removed, r.dirty = max(now, r.Stored), true
		chosen = append(chosen, v)
	}
	return chosen
}

// pardon takes a condemned blob back if another process used it meanwhile.
func (t *table) pardon(v victim) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.of(v.digest)
	if r.elsewhere <= v.elsewhere && r.isCondemned() {
		return false
	}
	r.Stored, r.dirty = max(r.Stored, r.Removed+1), true
	return true
}

// gone takes note that a blob was removed.
func (t *table) gone(d digest.Digest) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.of(d)
	if r.isCondemned() { // and not put there again meanwhile
		t.setHere(r, false)
	}
}

// drop marks a blob removed whose content is wrong.
func (t *table) drop(d digest.Digest, now moment) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.of(d)
	r.Removed, r.dirty = max(now, r.Stored), true
	t.setHere(r, false)
}

// Usage is what a store holds.
type Usage struct {
	Blobs int
	Bytes int64

	// Organizations are the bytes of what each organisation used; a blob that several
	// used counts for each.
	Organizations map[string]int64
}

func (t *table) usage() Usage {
	t.mu.Lock()
	defer t.mu.Unlock()
	u := Usage{Bytes: t.total, Organizations: make(map[string]int64)}
	for _, r := range t.records {
		if !r.here {
			continue
		}
		u.Blobs++
		for name, at := range r.Organizations {
			if at > r.Removed && !isSource(name) {
				u.Organizations[name] += r.Size
			}
		}
	}
	return u
}

func (t *table) over(limit int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return limit > 0 && t.total > limit
}
