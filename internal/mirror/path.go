package mirror

import (
	"net/url"
	"strings"

	"github.com/opencontainers/go-digest"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
)

// noun is what a path of the API leads to.
type noun string

const (
	nounBase      noun = "" // /v2/ itself
	nounManifests noun = "manifests"
	nounBlobs     noun = "blobs"
	nounTags      noun = "tags"
	nounReferrers noun = "referrers"
)

// target is what a request asks for. It is made by parse alone.
type target struct {
	noun noun

	// name is the repository as the client calls it.
	name string

	// ref is the image; of nounTags only its host and repository mean anything,
	// and of blobs and referrers it always has a digest. It is zero for nounBase.
	ref image.Reference
}

// base is where the API begins.
const base = "/v2/"

// namespace is the query parameter in which containerd names the registry that
// it wants mirrored.
const namespace = "ns"

// parse reads the address of a request. Unnamed is the registry of one that names
// none; "" refuses it. What it refuses is a fault.
func parse(u *url.URL, unnamed string) (target, error) {
	rest, below := strings.CutPrefix(u.Path, base)
	switch {
	case u.Path+"/" == base, below && rest == "":
		return target{noun: nounBase}, nil
	case !below:
		return target{}, unknownPath(u)
	}
	name, noun, value := split(rest)
	if noun == nounBase {
		return target{}, unknownPath(u)
	}
	// The one byte whose escaped form means something else than itself.
	if strings.Contains(strings.ToLower(u.RawPath), "%2f") {
		return target{}, fault.New(fault.Invalid, "name_escaped", "the path has an escaped slash in it").
			WithHint("Write the slashes of a repository's name as they are.")
	}
	host, repository, err := locate(name, u.Query()[namespace], unnamed)
	if err != nil {
		return target{}, err
	}
	ref, err := referenceOf(host, repository, noun, value)
	return target{noun: noun, name: name, ref: ref}, err
}

// split cuts a path behind /v2/ into the repository's name, what of it is asked
// for, and which one. The noun is nounBase where the path has no such form.
func split(rest string) (name string, n noun, value string) {
	if name, found := strings.CutSuffix(rest, "/tags/list"); found {
		return name, nounTags, ""
	}
	slash := strings.LastIndexByte(rest, '/')
	if slash < 0 {
		return "", nounBase, ""
	}
	rest, value = rest[:slash], rest[slash+1:]
	slash = strings.LastIndexByte(rest, '/') // -1 where the name is missing
	switch n := noun(rest[slash+1:]); n {
	case nounManifests, nounBlobs, nounReferrers:
		return rest[:max(slash, 0)], n, value
	default: // and tags, which have a list alone
		return "", nounBase, ""
	}
}

// locate tells the registry and the repository that a name means.
func locate(name string, spaces []string, unnamed string) (host, repository string, err error) {
	first, rest, found := strings.Cut(name, "/")
	switch {
	case len(spaces) > 1:
		return "", "", fault.New(fault.Invalid, "registry_twice", "the query names the registry %d times", len(spaces)).
			WithHint("Name it once: ?ns=docker.io.")
	case len(spaces) == 1 && !isHost(spaces[0]):
		return "", "", fault.New(fault.Invalid, "registry_host", "%.300q in the query is no registry host", spaces[0]).
			WithHint("Name it in full: ?ns=docker.io.")
	case len(spaces) == 1 && found && strings.EqualFold(first, spaces[0]):
		return spaces[0], rest, nil // a mirror by path, whose client names the registry all the same
	case len(spaces) == 1:
		return spaces[0], name, nil
	case found && isHost(first) && first != strings.ToLower(first):
		return "", "", fault.New(fault.Invalid, "name_upper_case", "%.300q has upper-case letters, and a name has none", name).
			WithHint("Write the registry as %.300s.", strings.ToLower(first))
	case found && isHost(first):
		return first, rest, nil
	case unnamed != "":
		return unnamed, name, nil
	default:
		return "", "", fault.New(fault.NotFound, "registry_unnamed", "%.300q does not say which registry it is in", name).
			WithHint("Begin the name with the registry, such as docker.io/library/ubuntu, or add ?ns=docker.io.")
	}
}

// isHost is Docker's rule for the first part of a name.
func isHost(part string) bool {
	return strings.ContainsAny(part, ".:") && !strings.ContainsAny(part, "/@") || strings.EqualFold(part, "localhost")
}

// referenceOf makes an image's name of its parts, each of which ends up as that
// part and no other.
func referenceOf(host, repository string, n noun, value string) (image.Reference, error) {
	if strings.ContainsAny(repository, ":@") {
		return image.Reference{}, fault.New(fault.Invalid, "name_character", "%.300q is no repository", repository).
			WithHint("Its parts are lower-case letters and digits, joined by `.`, `_`, `__` or `-`, with one `/` between parts.")
	}
	name := host + "/" + repository
	switch isDigest := strings.Contains(value, ":"); {
	case n == nounTags:
	case isDigest || n != nounManifests:
		if digest.Digest(value).Validate() != nil {
			return image.Reference{}, fault.New(fault.Invalid, codeDigest, "%.200q is no digest", value).
				WithHint("A digest is `sha256:` and 64 hexadecimal digits in lower case.")
		}
		name += "@" + value
	case strings.ContainsAny(value, "@"):
		return image.Reference{}, noTag(value)
	default:
		name += ":" + value
	}
	ref, err := image.ParseReference(name)
	if err == nil && n != nounTags && ref.Target() != value {
		err = noTag(value)
	}
	if err != nil {
		return image.Reference{}, err
	}
	return ref, nil
}

func noTag(value string) error {
	return fault.New(fault.Invalid, "tag", "%.200q is no tag", value).
		WithHint("A tag has 1 to 128 letters, digits, `_`, `.` and `-`, and begins with none of the last two.")
}

func unknownPath(u *url.URL) error {
	return fault.New(fault.NotFound, codePath, "there is nothing at %.200q", u.Path).
		WithHint("The cache serves manifests, blobs, tags/list and referrers below %sHOST/REPOSITORY/.", base)
}
