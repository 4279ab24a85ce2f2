package oci

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// May is what a registry's answer shows of a right.
type May string

// The answers.
const (
	MayNot    May = "not"
	MaySo     May = "so"
	MayUnsaid May = "unsaid" // the answer shows neither
)

// nothing is a digest that no content has.
var nothing = "sha256:" + strings.Repeat("0", 64)

// TryPush shows whether an authorization may push to a repository, and pushes
// nothing: what is sent is no manifest, under a digest that is not its own, and
// a registry that decides on the right first then finds fault with it, before
// it stores anything.
// https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pushing-manifests
func (c *Client) TryPush(ctx context.Context, repository string, authorization Authorization) (May, error) {
	answer, err := c.try(ctx, http.MethodPut, repository, "no manifest", authorization)
	switch {
	case err != nil:
		return MayUnsaid, err
	case answer.Status < http.StatusMultipleChoices, slices.ContainsFunc([]string{"MANIFEST_INVALID", "DIGEST_INVALID", "MANIFEST_UNVERIFIED", "SIZE_INVALID"}, answer.Has):
		return MaySo, nil
	default:
		return answer.may(), nil
	}
}

// TryDelete shows whether an authorization may delete from a repository, by
// asking to delete what nobody has. A registry that looks before it decides
// says that it knows no such manifest to those who may not, too.
// https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#deleting-manifests
func (c *Client) TryDelete(ctx context.Context, repository string, authorization Authorization) (May, error) {
	answer, err := c.try(ctx, http.MethodDelete, repository, "", authorization)
	switch {
	case err != nil:
		return MayUnsaid, err
	case answer.Status < http.StatusMultipleChoices, answer.Has(CodeManifestUnknown):
		return MaySo, nil
	default:
		return answer.may(), nil
	}
}

// may reads a refusal: of who asks, or of what is asked whoever asks it.
func (e *Error) may() May {
	switch {
	case e.Status == http.StatusUnauthorized, e.Status == http.StatusForbidden, e.Status == http.StatusMethodNotAllowed,
		e.Has(CodeDenied), e.Has("UNSUPPORTED"):
		return MayNot
	default:
		return MayUnsaid
	}
}

// try sends a request for the manifest that nobody has. Its answer, whatever it
// is, is told as an *Error.
func (c *Client) try(ctx context.Context, method, repository, body string, authorization Authorization) (*Error, error) {
	path := "/v2/" + repository + "/manifests/" + nothing
	content := io.Reader(http.NoBody)
	if body != "" {
		content = strings.NewReader(body)
	}
	request, err := http.NewRequestWithContext(ctx, method, c.route.URL(path).String(), content)
	if err != nil {
		return nil, fmt.Errorf("making a request for %s%s: %w", c.route.api, path, err)
	}
	if body != "" {
		request.Header.Set("Content-Type", ocispec.MediaTypeImageManifest)
	}
	authorization.Apply(request)
	response, err := c.http.Do(request)
	if err != nil {
		return nil, RedactError(err)
	}
	defer drain(response)
	return ReadError(response, repository, authorization.Secret()), nil
}
