package gitfetch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"

	"fairlead.dev/fairlead/internal/fault"
)

// visit is one call's work on one repository.
type visit struct {
	f       *Fetcher
	remote  Remote
	address address
	cache   *cache
}

// refresh brings the copy up to date, and fetches one commit beside the refs if
// it is not zero. What fails for a copy that is there is tried once more with a
// new one: it may be the copy that is broken, or what the host says of it. The
// caller holds the whole lock.
func (v *visit) refresh(ctx context.Context, also plumbing.Hash) (err error) {
	defer guard(&err)
	old, err := v.cache.load()
	if err != nil && !errors.Is(err, errIncomplete) {
		return err
	}
	if old != nil && !v.cache.isCrowded(v.f.config.MostBytes) {
		err = v.update(ctx, old, also)
		old.close()
		if err == nil {
			return nil
		}
		if !errors.Is(err, errIncomplete) {
			return v.explain(ctx, err)
		}
	} else if old != nil {
		old.close()
	}
	return v.explain(ctx, v.clone(ctx, also))
}

// guard makes an error of a panic: what strangers send is decoded by a library,
// and a mistake of it there must not end the server.
func guard(err *error) {
	if panicked := recover(); panicked != nil {
		*err = fault.New(fault.Unavailable, "git_unreachable", "the git host sent what cannot be read").
			WithHint("See that `git clone` takes the address; if it does, tell the operator.").
			WithCause(fmt.Errorf("panic: %v\n%s", panicked, debug.Stack()))
	}
}

// explain makes a fault of an error, and forgets a login that was refused.
func (v *visit) explain(ctx context.Context, err error) error {
	if err == nil || isNotOurs(err) {
		return err
	}
	err = unreachable(ctx, v.remote, v.address, err)
	if k := fault.KindOf(err); k == fault.Unauthenticated || k == fault.Denied || k == fault.NotFound {
		v.f.disprove(v.remote, v.address)
	}
	return err
}

// arrive connects and reads the refs; nil if the repository is empty.
func (v *visit) arrive(ctx context.Context) (session, *packp.AdvRefs, error) {
	s, err := v.f.connect(ctx, v.remote, v.address)
	if err != nil {
		return nil, nil, err
	}
	refs, err := s.advertised(ctx)
	if err != nil {
		s.close()
		return nil, nil, err
	}
	v.f.prove(v.remote, v.address)
	return s, refs, nil
}

// update fetches what is new into the copy that is there.
func (v *visit) update(ctx context.Context, old *copied, also plumbing.Hash) error {
	if err := sweep(v.cache.dir); err != nil {
		return err
	}
	s, refs, err := v.arrive(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	next, wants := plan(refs)
	next.Shallow = old.state.Shallow
	// A tag's object is wanted for its commit alone: one whose commit is here
	// is left.
	for want, commit := range wants {
		if old.has(commit) {
			delete(wants, want)
		}
	}
	if !also.IsZero() && !old.has(also) {
		if wants, err = alone(refs, also); err != nil {
			return err
		}
	}
	if len(wants) > 0 {
		var haves []plumbing.Hash
		for _, text := range old.state.Refs {
			if hash := plumbing.NewHash(text); old.has(hash) {
				haves = append(haves, hash)
			}
		}
		err := v.download(ctx, s, v.cache.dir, &next, refs.Capabilities, slices.Collect(maps.Keys(wants)), haves)
		if err != nil && ctx.Err() == nil && !fault.Is(err, fault.Exhausted) && !errors.Is(err, errTooLarge) && !isNotOurs(err) {
			return fmt.Errorf("%w: %w", errIncomplete, err)
		}
		if err != nil {
			return err
		}
	}
	return finish(v.cache.dir, next)
}

// clone makes a new copy and puts it in the place of what is there.
func (v *visit) clone(ctx context.Context, also plumbing.Hash) error {
	dir, err := os.MkdirTemp(v.f.config.Dir, filepath.Base(v.cache.dir)+newMark)
	if err != nil {
		return fmt.Errorf("making a copy of a repository: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	s, refs, err := v.arrive(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	next, wants := plan(refs)
	if !also.IsZero() {
		single, err := alone(refs, also)
		if err != nil {
			return err
		}
		maps.Copy(wants, single)
	}
	if len(wants) > 0 {
		if err := v.download(ctx, s, dir, &next, refs.Capabilities, slices.Collect(maps.Keys(wants)), nil); err != nil {
			return err
		}
	}
	if err := finish(dir, next); err != nil {
		return err
	}
	return v.cache.replace(dir)
}

// plan is the state that a list of refs leads to, and what to ask for: the
// object that each ref names, and the commit that it leads to.
func plan(refs *packp.AdvRefs) (state, map[plumbing.Hash]plumbing.Hash) {
	next, wants := state{Refs: make(map[string]string)}, make(map[plumbing.Hash]plumbing.Hash)
	if refs == nil {
		return next, wants
	}
	for name, hash := range refs.References {
		if !strings.HasPrefix(name, headsPrefix) && !strings.HasPrefix(name, tagsPrefix) {
			continue
		}
		if len(name) > refMost || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
			continue // git makes none of such a name in UTF-8
		}
		commit := hash
		if peeled, found := refs.Peeled[name]; found {
			commit = peeled
		}
		next.Refs[name], wants[hash] = commit.String(), commit
	}
	for _, link := range refs.Capabilities.Get(capability.SymRef) {
		if target, found := strings.CutPrefix(link, "HEAD:"); found && next.Refs[target] != "" {
			next.Default = target
		}
	}
	return next, wants
}

// alone asks for one commit that no ref names, of a host that gives such.
func alone(refs *packp.AdvRefs, hash plumbing.Hash) (map[plumbing.Hash]plumbing.Hash, error) {
	if refs == nil || !refs.Capabilities.Supports(capability.AllowReachableSHA1InWant) &&
		!refs.Capabilities.Supports(capability.AllowTipSHA1InWant) && !refs.Capabilities.Supports("allow-any-sha1-in-want") {
		return nil, errNotOurs
	}
	return map[plumbing.Hash]plumbing.Hash{hash: hash}, nil
}

// download asks for commits and takes what comes into the copy in dir.
func (v *visit) download(
	ctx context.Context, s session, dir string, next *state, has *capability.List, wants, haves []plumbing.Hash,
) error {
	request := newRequest(has, wants, haves, hashes(next.Shallow), v.f.config.Depth)
	body, err := s.exchange(ctx, request)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	answer := packp.NewUploadPackResponse(request)
	if err := answer.Decode(body); err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	if err := receive(ctx, packOf(request, answer), dir, v.f.config.MostBytes); err != nil {
		return err
	}
	shallow := make(map[string]bool)
	for _, hash := range next.Shallow {
		shallow[hash] = true
	}
	for _, hash := range answer.Unshallows {
		delete(shallow, hash.String())
	}
	for _, hash := range answer.Shallows {
		shallow[hash.String()] = true
	}
	next.Shallow = slices.Sorted(maps.Keys(shallow))
	return nil
}

// finish looks whether the commit of each ref is there, and writes the state.
func finish(dir string, next state) error {
	storage := openStorage(dir)
	defer func() { _ = storage.Close() }()
	for name, text := range next.Refs {
		found, err := storage.EncodedObject(plumbing.AnyObject, plumbing.NewHash(text))
		switch {
		case err != nil:
			return fmt.Errorf("%w: %s: %w", errIncomplete, name, err)
		case found.Type() != plumbing.CommitObject:
			delete(next.Refs, name) // a tag of a file or a directory
		}
	}
	return save(dir, next)
}
