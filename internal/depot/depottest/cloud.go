package depottest

import (
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Cloud is a cloud's object store with one bucket, which the test's environment
// has the login for. Its methods speak to the fake itself, without a login.
type Cloud struct {
	// Name is the cloud's, for a test's.
	Name string

	// Depot is the bucket's address as an operator writes it, and Elsewhere of
	// one that is not there.
	Depot, Elsewhere string

	// Secrets are what no error and no log may show.
	Secrets []string

	// Spoil makes one thing about the environment's login wrong, by the setting
	// that has to be mended.
	Spoil map[string]func(t *testing.T)

	// Part is how many bytes at most the cloud's library sends at once.
	Part int

	input   func(key string) string
	store   shelf
	isRead  func(*http.Request) bool // asks for the bytes of a file
	isWrite func(*http.Request) bool // brings some, or ends what was brought
	busy    func(w http.ResponseWriter)

	mu     sync.Mutex
	ranges []string
	breaks []int // bytes after which the next reads break off
	onRead func()
	refuse int // of the next requests, as a cloud does that is overloaded
	drop   int // of the next writes, whose connection is closed
	asked  int
	closed map[string]bool // rights that the login does not have: read, write
	copies int             // how often a copy is asked for before it is done
	public bool
}

// shelf is what holds a bucket's files.
type shelf interface {
	put(key string, content []byte, encoding string)
	get(key string) (content []byte, found bool)
	unfinished() int
}

// Each runs a test with every cloud.
func Each(t *testing.T, test func(t *testing.T, cloud *Cloud)) {
	t.Helper()
	for name, start := range map[string]func(*testing.T) *Cloud{"S3": S3, "Google Cloud Storage": Google, "Azure Blob Storage": Azure} {
		t.Run(name, func(t *testing.T) { test(t, start(t)) })
	}
}

// Input is the address of a file as a step writes it.
func (c *Cloud) Input(key string) string { return c.input(key) }

// Put keeps a file, in place of the one that was there.
func (c *Cloud) Put(key, content string) { c.store.put(key, []byte(content), "") }

// PutEncoded keeps a file whose Content-Encoding is told.
func (c *Cloud) PutEncoded(key, content, encoding string) {
	c.store.put(key, []byte(content), encoding)
}

// Get reads a file.
func (c *Cloud) Get(key string) (content string, found bool) {
	text, found := c.store.get(key)
	return string(text), found
}

// Unfinished counts the uploads whose parts are kept, and paid for, though
// nobody ended or gave up the upload.
func (c *Cloud) Unfinished() int { return c.store.unfinished() }

// BreakReads closes the connection of the next reads after so many bytes each.
func (c *Cloud) BreakReads(after ...int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.breaks = append(c.breaks, after...)
}

// OnBreak is called when a read breaks off.
func (c *Cloud) OnBreak(do func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.onRead = do
}

// Reads are the ranges of the reads so far; "" is of a whole file.
func (c *Cloud) Reads() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.ranges)
}

// Asked counts the requests so far.
func (c *Cloud) Asked() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked
}

// Overload refuses the next requests as this cloud does that has too many.
func (c *Cloud) Overload(requests int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refuse = requests
}

// DropWrites closes the connections of the next writes before they are answered.
func (c *Cloud) DropWrites(requests int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop = requests
}

// SlowCopies has each copy go on, at Azure, until it was asked for so often.
func (c *Cloud) SlowCopies(asked int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.copies = asked
}

// Forbid takes a right from the login: "read" or "write".
func (c *Cloud) Forbid(right string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed[right] = true
}

// Allow gives a right back.
func (c *Cloud) Allow(right string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.closed, right)
}

// Publish lets everybody read the bucket's files, in S3 and at Google.
func (c *Cloud) Publish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.public = true
}

// gives reports whether a request needs no login.
func (c *Cloud) gives(r *http.Request) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.public && r.Header.Get("Authorization") == "" && (r.Method == http.MethodGet || r.Method == http.MethodHead)
}

// forbids reports whether the login lacks the right for a request.
func (c *Cloud) forbids(r *http.Request) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return c.closed["read"]
	}
	return c.closed["write"]
}

// disturb does to a request what a test ordered; done if that was all.
func (c *Cloud) disturb(w http.ResponseWriter, r *http.Request) (_ http.ResponseWriter, done bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	switch {
	case c.refuse > 0:
		c.refuse--
		c.busy(w)
		return w, true
	case c.drop > 0 && c.isWrite(r):
		c.drop--
		_, _ = io.CopyN(io.Discard, r.Body, 3)
		panic(http.ErrAbortHandler)
	}
	if c.isRead(r) {
		asked := r.Header.Get("Range")
		if asked == "" {
			asked = r.Header.Get("X-Ms-Range")
		}
		c.ranges = append(c.ranges, asked)
		if len(c.breaks) > 0 {
			w = &breaking{ResponseWriter: w, left: c.breaks[0], then: c.onRead}
			c.breaks = c.breaks[1:]
		}
	}
	return w, false
}

// breaking closes the connection after some bytes.
type breaking struct {
	http.ResponseWriter
	left int
	then func()
}

func (b *breaking) Write(p []byte) (int, error) {
	if len(p) < b.left {
		b.left -= len(p)
		return b.ResponseWriter.Write(p)
	}
	_, _ = b.ResponseWriter.Write(p[:b.left])
	_ = http.NewResponseController(b.ResponseWriter).Flush()
	if b.then != nil {
		b.then()
	}
	panic(http.ErrAbortHandler)
}

// object is a file.
type object struct {
	content    []byte
	encoding   string
	kind       string
	generation int64 // counts the bucket's changes
	modified   time.Time

	// Of Azure.
	appends bool   // it is an append blob
	copying int    // how often more it is asked for before the copy is done
	source  []byte // what it will be then
}

// objects are a bucket's files, and the uploads that have begun.
type objects struct {
	mu      sync.Mutex
	changes int64
	byKey   map[string]object
	begun   map[string][]byte // what came of an upload, by its name
}

func newObjects() *objects {
	return &objects{byKey: make(map[string]object), begun: make(map[string][]byte)}
}

func (o *objects) keep(key string, kept object) object {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.changes++
	kept.generation, kept.modified = o.changes, time.Now().UTC()
	o.byKey[key] = kept
	return kept
}

func (o *objects) put(key string, content []byte, encoding string) {
	o.keep(key, object{content: content, encoding: encoding})
}

func (o *objects) find(key string) (object, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	found, is := o.byKey[key]
	return found, is
}

func (o *objects) get(key string) ([]byte, bool) {
	found, is := o.find(key)
	return found.content, is
}

// listMost is how many files the clouds list at once.
const listMost = 1000

// below are the keys that begin so, in order.
func (o *objects) below(prefix string) []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var keys []string
	for key := range o.byKey {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

func (o *objects) remove(key string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, is := o.byKey[key]
	delete(o.byKey, key)
	return is
}

func (o *objects) unfinished() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.begun)
}

// span reads a range to the end or between two bytes; no is one that the file
// has not.
func span(asked string, size int) (from, to int, no bool) {
	spec, is := strings.CutPrefix(asked, "bytes=")
	if !is {
		return 0, size, asked != ""
	}
	first, last, _ := strings.Cut(spec, "-")
	from, err := strconv.Atoi(first)
	if err != nil || from >= size {
		return 0, 0, true
	}
	to = size
	if end, err := strconv.Atoi(last); err == nil && end < size {
		to = end + 1
	}
	return from, to, false
}
