package image

import "strings"

// paths finds the patterns of a site that cover a path and tag. All sites share
// its maps, so that a site with one pattern is small.
type paths struct {
	// whole has the patterns without any wildcard, by path or path:tag.
	whole map[place]int32

	// below has the other patterns. Those with a wildcard in the path are found
	// by the literal directory that they begin with, such as `acme/ml/`, and
	// those with one in the tag alone by the whole path; the tree spells the
	// rest of the pattern.
	below map[place]*node

	sites int32
}

// place is a path at a site.
type place struct {
	site int32
	path string
}

// site is what there is to find at one host, so that nothing else is asked for.
type site struct {
	number int32
	depths depths // how many slashes the directories have
	root   node   // the patterns with no literal directory at all

	hasPaths    bool // exact paths without a tag
	hasTags     bool // exact paths with an exact tag
	hasTagGlobs bool // exact paths with a wildcard in the tag
}

// depths is a set of small numbers; all from 63 on count as one.
type depths uint64

func (d *depths) add(n int)     { *d |= 1 << min(n, 63) }
func (d depths) has(n int) bool { return d&(1<<min(n, 63)) != 0 }

func newPaths() paths {
	return paths{whole: make(map[place]int32), below: make(map[place]*node)}
}

// site returns a new site.
func (s *paths) site() *site {
	s.sites++
	return &site{number: s.sites}
}

// add puts p into at. link is given the entry that p's place has, and returns
// the one that it is to have.
func (s *paths) add(at *site, p Pattern, link func(first int32) int32) {
	path, pathAndTag := p.Path(), p.text[p.hostEnd+1:]
	if literals(pathAndTag) == len(pathAndTag) {
		key := place{at.number, pathAndTag}
		s.whole[key] = link(s.whole[key])
		if p.HasTag() {
			at.hasTags = true
		} else {
			at.hasPaths = true
		}
		return
	}
	key := place{at.number, path}
	if int(p.prefix) == len(path) {
		at.hasTagGlobs = true
	} else {
		key.path = path[:strings.LastIndexByte(path[:p.prefix], '/')+1]
		at.depths.add(strings.Count(key.path, "/"))
	}
	tree := &at.root
	if key.path != "" {
		if tree = s.below[key]; tree == nil {
			tree = new(node)
			s.below[key] = tree
		}
	}
	value := tree.add(pathAndTag[len(key.path):])
	*value = link(*value)
}

// each gives the first entry of every pattern at the site that covers ref's
// path and tag: of all of them, or of those with the longest literal prefix of
// the path. It reports whether there was one.
func (s *paths) each(at *site, ref Reference, all bool, take func(id int32)) (any bool) {
	path, tag := ref.Repository(), ref.Tag()
	var here bool
	found := func(value int32) {
		if value != 0 {
			take(value)
			here, any = true, true
		}
	}
	// Of tags, the one with the longest literal prefix need not go first, so
	// that no tag makes the search content.
	tags := search{text: tag, visit: func(value int32, _ *node) bool { found(value); return false }}

	if at.hasPaths {
		found(s.whole[place{at.number, path}])
	}
	if at.hasTags && tag != "" {
		found(s.whole[place{at.number, ref.text[ref.hostEnd+1:]}])
	}
	if at.hasTagGlobs {
		if tree := s.below[place{at.number, path}]; tree != nil {
			tags.walk(tree.child(':'), 0)
		}
	}

	directories := search{text: path, visit: func(value int32, tagTree *node) bool {
		here = false
		found(value)
		if tagTree != nil {
			tags.walk(tagTree, 0)
		}
		return here && !all
	}}
	// From the deepest directory up: every pattern in one has a longer literal
	// prefix than any above it.
	for depth, end := strings.Count(path, "/"), len(path); depth >= 0; depth-- {
		end = strings.LastIndexByte(path[:end], '/')
		if at.depths.has(depth) {
			tree := &at.root
			if depth > 0 {
				tree = s.below[place{at.number, path[:end+1]}]
			}
			if tree != nil {
				directories.walk(tree, end+1)
			}
		}
		if any && !all {
			break
		}
	}
	return any
}
