package cache

import (
	"slices"
	"strconv"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Bounds of what is remembered of who may read what, in memory. What is forgotten
// is proved again.
const (
	mostPlaces    = 4096  // repositories, for each organisation that reads them
	mostManifests = 1024  // in one of these
	mostChildren  = 65536 // manifests whose content is known
)

// place is a repository as one reader sees it.
type place struct {
	reader     string // a credential of an organisation; "" is anybody
	version    int    // of the credential
	host       string
	repository string
}

func (p place) String() string {
	return p.reader + "@" + strconv.Itoa(p.version) + " " + p.host + "/" + p.repository
}

// rights remember which manifests a registry has shown to which readers, and what
// these lead to. Bytes are shared between readers, and rights never are: what is in
// here for one place says nothing about another.
type rights struct {
	now   func() time.Time
	fresh time.Duration // how long a proof holds

	places   *lru.Cache[place, *proofs]
	children *lru.Cache[digest.Digest, []ocispec.Descriptor] // of manifests, which are the same for everybody
}

// proofs are what one place has shown.
type proofs struct {
	mu        sync.Mutex
	tags      map[string]tagged
	manifests *lru.Cache[digest.Digest, proof]
}

// proof is a manifest that the registry has shown, and when it did last.
type proof struct {
	descriptor ocispec.Descriptor
	at         time.Time
}

// tagged is what a tag was, and when.
type tagged struct {
	digest digest.Digest
	at     time.Time
}

func newRights(now func() time.Time, fresh time.Duration) *rights {
	r := &rights{now: now, fresh: fresh}
	r.places, _ = lru.New[place, *proofs](mostPlaces) // its only error is a size below one
	r.children, _ = lru.New[digest.Digest, []ocispec.Descriptor](mostChildren)
	return r
}

// of is what a place has shown.
func (r *rights) of(p place) *proofs {
	if known, ok := r.places.Get(p); ok {
		return known
	}
	made := &proofs{tags: make(map[string]tagged)}
	made.manifests, _ = lru.New[digest.Digest, proof](mostManifests)
	if known, ok, _ := r.places.PeekOrAdd(p, made); ok {
		return known
	}
	return made
}

// show notes that the registry has shown a manifest at a place, under a tag if that is
// not "", to who had the right at a moment.
func (r *rights) show(p place, tag string, manifest ocispec.Descriptor, at time.Time) {
	known := r.of(p)
	known.mu.Lock()
	defer known.mu.Unlock()
	known.manifests.Add(manifest.Digest, proof{manifest, at})
	if tag == "" {
		return
	}
	if len(known.tags) >= mostManifests { // the oldest of them is of the least use
		oldest := ""
		for name, t := range known.tags {
			if oldest == "" || t.at.Before(known.tags[oldest].at) {
				oldest = name
			}
		}
		delete(known.tags, oldest)
	}
	known.tags[tag] = tagged{manifest.Digest, at}
}

// refuse notes that the registry does not show a manifest at a place any more.
func (r *rights) refuse(p place, manifest digest.Digest) {
	known := r.of(p)
	known.mu.Lock()
	defer known.mu.Unlock()
	known.manifests.Remove(manifest)
	for name, t := range known.tags {
		if t.digest == manifest {
			delete(known.tags, name)
		}
	}
}

// forgetTag notes that the registry does not show a tag at a place any more.
func (r *rights) forgetTag(p place, tag string) {
	of := r.of(p)
	of.mu.Lock()
	defer of.mu.Unlock()
	delete(of.tags, tag)
}

// age is how long ago a manifest was shown at a place, or as long as can be.
func (r *rights) age(p place, manifest digest.Digest) time.Duration {
	of := r.of(p)
	of.mu.Lock()
	defer of.mu.Unlock()
	shown, known := of.manifests.Peek(manifest)
	if !known {
		return 1<<63 - 1
	}
	return r.now().Sub(shown.at)
}

// tag is what a tag was when the registry was asked last, and whether that was just
// now.
func (r *rights) tag(p place, name string) (manifest ocispec.Descriptor, isFresh, known bool) {
	of := r.of(p)
	of.mu.Lock()
	defer of.mu.Unlock()
	t, known := of.tags[name]
	if !known {
		return manifest, false, false
	}
	shown, known := of.manifests.Get(t.digest)
	return shown.descriptor, known && r.isFresh(t.at), known
}

func (r *rights) isFresh(at time.Time) bool { return r.now().Sub(at) < r.fresh }

// learn notes what a manifest leads to.
func (r *rights) learn(manifest digest.Digest, children []ocispec.Descriptor) {
	r.children.Add(manifest, children)
}

// way is how a reader came to a digest.
type way struct {
	root   ocispec.Descriptor // the manifest that the registry has shown
	target ocispec.Descriptor // the digest, as the manifest above it describes it
	fresh  bool               // the proof holds
}

// find looks for a manifest that a place has shown and that leads to a digest: one
// whose proof holds, if there is any, or else the one that was shown last.
func (r *rights) find(p place, target digest.Digest) (found way, ok bool) {
	of := r.of(p)
	of.mu.Lock()
	shown := of.manifests.Values()
	of.mu.Unlock()
	for _, root := range slices.Backward(shown) { // the one that was used last comes last
		at, leads := r.leads(root.descriptor, target, deepest)
		if !leads {
			continue
		}
		w := way{root.descriptor, at, r.isFresh(root.at)}
		if w.fresh {
			return w, true
		}
		if !ok {
			found, ok = w, true
		}
	}
	return found, ok
}

// deepest is how many manifests there may be between one that the registry has shown
// and what it leads to: an index, and one within it.
const deepest = 3

// leads reports whether a manifest is a digest or has it below.
func (r *rights) leads(from ocispec.Descriptor, target digest.Digest, depth int) (at ocispec.Descriptor, leads bool) {
	if from.Digest == target {
		return from, true
	}
	if depth == 0 {
		return at, false
	}
	children, _ := r.children.Get(from.Digest)
	for _, child := range children {
		if at, leads = r.leads(child, target, depth-1); leads {
			return at, true
		}
	}
	return at, false
}
