// Package image knows container image names: references as Docker reads them,
// match patterns that say which images a credential serves, and the index
// that finds the most specific pattern for a reference without a scan.
package image

import (
	"errors"
	"fmt"
	"strings"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"

	"fairlead.dev/fairlead/internal/fault"
)

// Hub is the host under which Docker Hub's images are known.
const Hub = "docker.io"

// Reference is an image name, normalised as Docker does. It is made by
// ParseReference alone and cannot be wrong.
type Reference struct {
	host       string
	repository string
	tag        string
	digest     digest.Digest
}

// ParseReference reads an image name as Docker does: `ubuntu` is
// `docker.io/library/ubuntu:latest`, `acme/x` is `docker.io/acme/x:latest`;
// index.docker.io and registry-1.docker.io are docker.io; hosts compare
// without case. `name:tag@digest` keeps both; the digest decides what is
// pulled. The error is an Invalid fault that says the mend.
func ParseReference(name string) (Reference, error) {
	if name != strings.TrimSpace(name) || name == "" {
		return Reference{}, invalid(name, "an image name must not be empty or begin or end with white space")
	}
	if scheme, rest, found := strings.Cut(name, "://"); found {
		return Reference{}, invalid(name, "an image name has no scheme").WithHint("Leave out %q: %s", scheme+"://", rest)
	}
	named, err := reference.ParseNormalizedNamed(lowerHost(name))
	if err != nil {
		f := invalid(name, "%s", reason(err)).WithCause(err)
		if lower := strings.ToLower(name); lower != name && errors.Is(err, reference.ErrNameContainsUppercase) {
			f = f.WithHint("Write it in lower case.")
		}
		return Reference{}, f
	}
	ref := Reference{host: canonicalHost(reference.Domain(named)), repository: reference.Path(named)}
	if ref.host == Hub && !strings.Contains(ref.repository, "/") {
		ref.repository = "library/" + ref.repository
	}
	if d, ok := named.(reference.Digested); ok {
		ref.digest = d.Digest()
	}
	if t, ok := named.(reference.Tagged); ok {
		ref.tag = t.Tag()
	} else if ref.digest == "" {
		ref.tag = "latest"
	}
	return ref, nil
}

// constant is a type that only an untyped constant converts to, so that
// MustParseReference cannot be given a value from outside.
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
func (r Reference) Host() string { return r.host }

// Repository is the path inside the registry, without host and tag.
func (r Reference) Repository() string { return r.repository }

// Tag is the tag, and "" for an image named by digest alone.
func (r Reference) Tag() string { return r.tag }

// Digest is the digest that the name asks for, and "" if it names a tag only.
func (r Reference) Digest() digest.Digest { return r.digest }

// Target is what to ask the registry for: the digest if there is one, else
// the tag.
func (r Reference) Target() string {
	if r.digest != "" {
		return r.digest.String()
	}
	return r.tag
}

// IsZero reports whether r is the zero value, which names nothing.
func (r Reference) IsZero() bool { return r.host == "" }

// WithDigest is r pinned to d; the tag stays for people to read.
func (r Reference) WithDigest(d digest.Digest) Reference {
	r.digest = d
	return r
}

// Name is host and repository, without tag and digest.
func (r Reference) Name() string { return r.host + "/" + r.repository }

// String is the full normalised name.
func (r Reference) String() string {
	s := r.Name()
	if r.tag != "" {
		s += ":" + r.tag
	}
	if r.digest != "" {
		s += "@" + r.digest.String()
	}
	return s
}

// APIHost is the host that serves the registry's API: registry-1.docker.io
// for Docker Hub, otherwise the host itself.
// https://docs.docker.com/registry/ names it; Docker's client does the same.
func (r Reference) APIHost() string {
	if r.host == Hub {
		return "registry-1.docker.io"
	}
	return r.host
}

// canonicalHost lowers a registry's host and folds the Hub's other names.
func canonicalHost(host string) string {
	switch host = strings.ToLower(host); host {
	case "index.docker.io", "registry-1.docker.io":
		return Hub
	default:
		return host
	}
}

// lowerHost lowers the part of name that Docker takes for a host, so that
// `GHCR.io/a` is a host and not an upper-case path.
func lowerHost(name string) string {
	first, rest, found := strings.Cut(name, "/")
	if !found || !isHost(first) {
		return name
	}
	return strings.ToLower(first) + "/" + rest
}

// isHost is Docker's rule for the first part of a name.
func isHost(part string) bool {
	return strings.ContainsAny(part, ".:") || strings.EqualFold(part, "localhost")
}

func invalid(name, message string, args ...any) *fault.Error {
	f := fault.InvalidField("image", "image_name", message, args...)
	f.Message = "image " + quote(name) + ": " + f.Fields[0].Message
	return f
}

// reason is the parser's error without its package's prefix.
func reason(err error) string {
	return strings.TrimPrefix(err.Error(), "invalid reference format: ")
}

// quote shows a foreign name in a message: escaped, and cut where it is long.
func quote(name string) string {
	const most = 128
	if len(name) > most {
		return fmt.Sprintf("%q…", name[:most])
	}
	return fmt.Sprintf("%q", name)
}
