package oci

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TagPage lists at most so many tags of a repository after one, "" for the beginning,
// as one page of the registry's, and says whether there are more.
// https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#listing-tags
func (c *Client) TagPage(ctx context.Context, repository string, most int, last string, authorization Authorization) (names []string, more bool, err error) {
	query := make(url.Values)
	if most > 0 {
		query.Set("n", strconv.Itoa(most))
	}
	if last != "" {
		query.Set("last", last)
	}
	page, next, err := c.listPage(ctx, "/v2/"+repository+"/tags/list", query.Encode(), repository, authorization)
	if err != nil {
		return nil, false, err
	}
	names = page.Tags
	if most > 0 && len(names) > most { // a registry that does not look at the number
		return names[:most], true, nil
	}
	return names, next != "", nil
}

// Referrers lists the manifests whose subject a digest is. Next is "" at first, and
// then what the page before gave.
// https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#listing-referrers
func (c *Client) Referrers(ctx context.Context, repository string, subject digest.Digest, next string, authorization Authorization) (manifests []Descriptor, more string, err error) {
	address := c.route.URL("/v2/" + repository + "/referrers/" + subject.String())
	address.RawQuery = next
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), http.NoBody)
	if err != nil {
		return nil, "", fmt.Errorf("making a request for referrers: %w", err)
	}
	request.Header.Set("Accept", ocispec.MediaTypeImageIndex)
	authorization.Apply(request)
	response, err := c.http.Do(request)
	if err != nil {
		return nil, "", RedactError(err)
	}
	defer drain(response)
	if response.StatusCode != http.StatusOK || isHTML(response.Header, nil) {
		return nil, "", ReadError(response, repository, authorization.Secret())
	}
	var index ocispec.Index
	if err := json.NewDecoder(io.LimitReader(response.Body, listingBytes)).Decode(&index); err != nil {
		return nil, "", RedactError(fmt.Errorf("reading referrers: %w", err))
	}
	return index.Manifests, nextPage(response.Header.Get("Link")), nil
}
