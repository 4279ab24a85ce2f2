// Package image knows container image names: references as Docker reads them,
// match patterns that say which images a credential serves, and the index
// that finds the most specific pattern for a reference without a scan.
//
// It knows nothing of credentials, organisations or registries' protocols, and
// does no I/O. Start with ParseReference, ParsePattern and NewIndex; the
// README beside this file says why the rules are what they are.
package image

import (
	// A digest is refused as unsupported unless its algorithm is linked in.
	_ "crypto/sha256"
	_ "crypto/sha512"
	"strings"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"

	"fairlead.dev/fairlead/internal/fault"
)

// Hub is the host under which Docker Hub's images are known.
const Hub = "docker.io"

// nameMost bounds an image name in bytes: the longest host, repository, tag
// and digest with their separators fit in.
const nameMost = 1024

// Reference is an image name, normalised as Docker does. It is made by
// ParseReference alone and cannot be wrong: host and repository have 1 to 255
// bytes, the tag at most 128, all of them printable ASCII. References compare
// with ==.
type Reference struct {
	text string // HOST/REPOSITORY[:TAG], in one piece so that it can be a key

	// Where the host and the repository end in text.
	hostEnd, pathEnd uint16

	digest digest.Digest
}

// ParseReference reads an image name as Docker does: `ubuntu` is
// `docker.io/library/ubuntu:latest`, `acme/x` is `docker.io/acme/x:latest`;
// index.docker.io and registry-1.docker.io are docker.io; hosts compare
// without case. `name:tag@digest` keeps both; the digest decides what is
// pulled. The error is an Invalid fault that says the mend.
//
// It is stricter than Docker in three things that Docker takes for hosts and
// nobody means: `Acme/x` is an upper-case path and not a host `Acme`, a host
// such as `my_host.example` that no URL could hold is refused, and so is one
// beyond 255 bytes.
func ParseReference(name string) (Reference, error) {
	if t := textTrouble(name, "an image name", nameMost); t != nil {
		return Reference{}, invalidName(name, t)
	}
	host, rest := splitHost(name)
	named, err := reference.ParseNormalizedNamed(host + "/" + rest)
	if err != nil || reference.Domain(named) != host || len(host) > hostMost || isImageID(name) {
		return Reference{}, invalidName(name, nameTrouble(name, host, rest))
	}
	ref := Reference{text: named.Name(), hostEnd: uint16(len(host)), pathEnd: uint16(len(named.Name()))}
	if d, ok := named.(reference.Digested); ok {
		ref.digest = d.Digest()
	}
	if t, ok := named.(reference.Tagged); ok {
		ref.text += ":" + t.Tag()
	} else if ref.digest == "" {
		ref.text += ":latest"
	}
	return ref, nil
}

// constant is a type that only an untyped constant converts to, so that
// MustParseReference and MustParsePattern cannot be given a value from outside.
type constant string

// MustParseReference is ParseReference for constants in tests and tables; it
// panics on a name that is none.
func MustParseReference(name constant) Reference {
	ref, err := ParseReference(string(name))
	if err != nil {
		panic(err)
	}
	return ref
}

// Host is the registry's host and port, lower case, docker.io for Docker Hub.
func (r Reference) Host() string { return r.text[:r.hostEnd] }

// Repository is the path inside the registry, without host and tag.
func (r Reference) Repository() string { return r.text[min(r.hostEnd+1, r.pathEnd):r.pathEnd] }

// Tag is the tag, and "" for an image named by digest alone.
func (r Reference) Tag() string { return strings.TrimPrefix(r.text[r.pathEnd:], ":") }

// Digest is the digest that the name asks for, and "" if it names a tag only.
func (r Reference) Digest() digest.Digest { return r.digest }

// Target is what to ask the registry for: the digest if there is one, else
// the tag.
func (r Reference) Target() string {
	if r.digest != "" {
		return r.digest.String()
	}
	return r.Tag()
}

// IsZero reports whether r is the zero value, which names nothing.
func (r Reference) IsZero() bool { return r.text == "" }

// WithDigest is r pinned to d; the tag stays for people to read.
func (r Reference) WithDigest(d digest.Digest) Reference {
	r.digest = d
	return r
}

// Name is host and repository, without tag and digest.
func (r Reference) Name() string { return r.text[:r.pathEnd] }

// String is the full normalised name; ParseReference reads it as r again.
func (r Reference) String() string {
	if r.digest != "" {
		return r.text + "@" + r.digest.String()
	}
	return r.text
}

// APIHost is the host that serves the registry's API: registry-1.docker.io
// for Docker Hub, otherwise the host itself.
// https://docs.docker.com/registry/ names it; Docker's client does the same.
func (r Reference) APIHost() string {
	if r.Host() == Hub {
		return "registry-1.docker.io"
	}
	return r.Host()
}

// invalidName is the fault of an image name.
func invalidName(name string, t *trouble) *fault.Error {
	f := fault.InvalidField("image", "image_name", "%s", t.message).WithHint("%s", t.hint)
	f.Message = "image " + shown(name) + ": " + t.message
	return f
}

// nameTrouble says what is wrong with a name that is refused. host and rest
// are its normalised halves.
func nameTrouble(name, host, rest string) *trouble {
	path, digestText, hasDigest := strings.Cut(rest, "@")
	path, tag, hasTag := strings.Cut(path, ":")
	switch {
	case isImageID(name):
		return newTrouble("id", "this is an image's ID, and a registry knows names").
			mend("Write NAME@sha256:%s with the name of its repository.", name)
	case hostTrouble(host) != nil:
		return hostTrouble(host)
	case pathTrouble(path) != nil:
		return pathTrouble(path)
	case hasTag && !isTag(tag):
		return newTrouble("tag", "%s is no tag", shown(tag)).
			mend("A tag has 1 to 128 letters, digits, `_`, `.` and `-`, and begins with none of the last two.")
	case hasDigest:
		return newTrouble("digest", "%s is no digest", shown(digestText)).
			mend("A digest is `sha256:` and 64 hexadecimal digits in lower case.")
	default:
		return newTrouble("name", "this is no image name that Docker takes").
			mend("Write HOST/REPOSITORY:TAG, such as ghcr.io/acme/train:v2.")
	}
}
