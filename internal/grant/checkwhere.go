package grant

import (
	"slices"

	"fairlead.dev/fairlead/internal/image"
)

// literalHosts are the registries that a check asks: the image's, and those that
// patterns name in full, at most a few.
func literalHosts(request CheckRequest) []string {
	var hosts []string
	add := func(host string) {
		if !slices.Contains(hosts, host) && len(hosts) < registryHosts {
			hosts = append(hosts, host)
		}
	}
	if !request.Image.IsZero() {
		add(request.Image.Host())
	}
	for _, pattern := range request.Patterns {
		if !pattern.HasWildcardHost() {
			add(pattern.Host())
		}
	}
	return hosts
}

// literalAt are the repositories of a host that a check knows by name: the
// image's, and those that patterns name without a wildcard.
func literalAt(host string, request CheckRequest) []string {
	names := literalRepositories(host, request.Patterns)
	if ref := request.Image; !ref.IsZero() && ref.Host() == host {
		names = slices.DeleteFunc(names, func(name string) bool { return name == ref.Repository() })
		names = slices.Insert(names, 0, ref.Repository())
	}
	return names
}

// probes are images to ask with: the one that is to be tried, or else the
// repositories that patterns name without a wildcard.
func probes(request CheckRequest) []image.Reference {
	if !request.Image.IsZero() {
		return []image.Reference{request.Image}
	}
	var refs []image.Reference
	for _, pattern := range request.Patterns {
		if ref, err := image.ParseReference(pattern.Host() + "/" + pattern.Path()); err == nil {
			refs = append(refs, ref)
		}
	}
	return refs
}

// covered are the names of a host's repositories that a pattern covers.
func covered(patterns []image.Pattern, host string, names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !coveredBy(patterns, host, name) })
}
