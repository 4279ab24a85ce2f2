package oci

import (
	"context"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
)

// MaxManifest is how many bytes a manifest may have: what registries are asked
// to accept at least, and the most that this client reads.
// https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pushing-manifests
const MaxManifest = 4 << 20

// Descriptor names content by digest, media type and size.
type Descriptor = ocispec.Descriptor

// ManifestTypes are the media types of manifests that a registry is asked for.
var ManifestTypes = []string{
	ocispec.MediaTypeImageIndex,
	ocispec.MediaTypeImageManifest,
	"application/vnd.docker.distribution.manifest.list.v2+json",
	"application/vnd.docker.distribution.manifest.v2+json",
}

// Client asks one registry about manifests. Its errors are *Error for what the
// registry answers, faults for what the rules refuse, and network errors
// without query strings; package diagnosis makes a fault of any of them. It is
// safe for concurrent use.
type Client struct {
	route *Route
	http  *http.Client
	limit atomic.Pointer[RateLimit] // as the last answer that spoke of one says
}

// NewClient asks over a route.
func NewClient(route *Route) *Client {
	return &Client{route: route, http: &http.Client{Transport: route}}
}

// Ping asks whether the registry is there and how it wants to be asked: no
// challenge where it takes this authorization (or needs none), its challenges
// where it does not, and an error for every other answer.
func (c *Client) Ping(ctx context.Context, authorization Authorization) ([]Challenge, error) {
	response, err := c.do(ctx, http.MethodGet, "/v2/", authorization)
	if err != nil {
		return nil, err
	}
	defer drain(response)
	switch {
	case response.StatusCode == http.StatusOK && isHTML(response.Header, nil):
		return nil, ReadError(response, "")
	case response.StatusCode == http.StatusOK:
		return nil, nil
	case response.StatusCode == http.StatusUnauthorized:
		if challenges := ParseChallenges(response.Header); len(challenges) > 0 {
			return challenges, nil
		}
	}
	return nil, ReadError(response, "")
}

// ResolveManifest asks what an image is now, with a HEAD request where the
// registry answers it (Docker Hub does not count those). A reference with a
// digest is answered with that digest or an error.
func (c *Client) ResolveManifest(ctx context.Context, ref image.Reference, authorization Authorization) (Descriptor, error) {
	response, err := c.manifest(ctx, http.MethodHead, ref, authorization)
	if err != nil {
		return Descriptor{}, err
	}
	defer drain(response)
	switch status := response.StatusCode; {
	case status == http.StatusOK:
		found, err := describe(response, ref)
		if err == nil && found.Digest != "" && found.Size > 0 {
			return found, nil
		}
		if err != nil {
			return Descriptor{}, err
		}
	case status == http.StatusForbidden, status == http.StatusNotFound, status == http.StatusMethodNotAllowed,
		c.route.cache != nil && status >= http.StatusBadRequest:
		// The answer to HEAD has no body to say which of several reasons it is. A cache
		// gives those of its registry, and counts no questions.
	default:
		return Descriptor{}, ReadError(response, ref.Repository())
	}
	found, _, err := c.Manifest(ctx, ref, authorization)
	return found, err
}

// Manifest reads a manifest of at most MaxManifest bytes and checks it against
// the digest asked for, or else the one that the registry names. The
// descriptor's digest is always that of the bytes returned.
func (c *Client) Manifest(ctx context.Context, ref image.Reference, authorization Authorization) (Descriptor, []byte, error) {
	response, err := c.manifest(ctx, http.MethodGet, ref, authorization)
	if err != nil {
		return Descriptor{}, nil, err
	}
	defer drain(response)
	if response.StatusCode != http.StatusOK {
		return Descriptor{}, nil, ReadError(response, ref.Repository())
	}
	found, err := describe(response, ref)
	if err != nil {
		return Descriptor{}, nil, err
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, MaxManifest+1))
	if err != nil {
		return Descriptor{}, nil, RedactError(fmt.Errorf("reading the manifest of %s: %w", ref, err))
	}
	if len(body) > MaxManifest {
		return Descriptor{}, nil, fault.New(fault.Exhausted, "manifest_too_large", "the manifest of %s has more than %d bytes", ref, MaxManifest)
	}
	algorithm := digest.Canonical
	if found.Digest != "" {
		algorithm = found.Digest.Algorithm()
	}
	actual := algorithm.FromBytes(body)
	if found.Digest != "" && found.Digest != actual {
		return Descriptor{}, nil, digestMismatch(ref, found.Digest, actual)
	}
	found.Digest, found.Size = actual, int64(len(body))
	return found, body, nil
}

func (c *Client) manifest(ctx context.Context, method string, ref image.Reference, authorization Authorization) (*http.Response, error) {
	if host := apiHost(ref.Host()); host != c.route.api {
		return nil, fmt.Errorf("asking %s for an image of %s", c.route.api, host)
	}
	return c.do(ctx, method, c.route.Repository(ref.Repository(), "manifests", ref.Target()), authorization)
}

func (c *Client) do(ctx context.Context, method, path string, authorization Authorization) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.route.URL(path).String(), http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("making a request for %s%s: %w", c.route.api, path, err)
	}
	if strings.Contains(path, "/manifests/") {
		request.Header["Accept"] = ManifestTypes
	}
	authorization.Apply(request)
	response, err := c.http.Do(request)
	if err != nil {
		return nil, RedactError(err)
	}
	if limit, found := ParseRateLimit(response.Header); found {
		c.limit.Store(&limit)
	}
	return response, nil
}

// describe reads the descriptor that an answer's header holds. The digest is
// empty where neither the reference nor the header has one.
func describe(response *http.Response, ref image.Reference) (Descriptor, error) {
	if isHTML(response.Header, nil) {
		return Descriptor{}, ReadError(response, ref.Repository())
	}
	mediaType, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if err != nil {
		mediaType = "" // the manifest itself says it too
	}
	found := Descriptor{MediaType: mediaType, Size: response.ContentLength, Digest: ref.Digest()}
	said := digest.Digest(response.Header.Get("Docker-Content-Digest"))
	switch {
	case said == "":
	case said.Validate() != nil:
		return Descriptor{}, fault.New(fault.Unavailable, "digest_invalid", "%s names a digest for %s that is none: %s", response.Request.URL.Host, ref, escape(said.String()))
	case found.Digest == "":
		found.Digest = said
	case found.Digest != said:
		return Descriptor{}, digestMismatch(ref, found.Digest, said)
	}
	return found, nil
}

func digestMismatch(ref image.Reference, want, got digest.Digest) error {
	return fault.New(fault.Unavailable, "digest_mismatch", "the content of %s is not what was asked for: its digest is %s, not %s", ref, got, want).
		WithHint("Something between here and the registry altered it; nothing of it was used. Try again, and tell the registry's operator if it stays so.")
}

// drain reads what little may be left of an answer, so that its connection
// can be used again, and closes it.
func drain(response *http.Response) {
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 16<<10))
	_ = response.Body.Close()
}
