package oci

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"fairlead.dev/fairlead/internal/image"
)

// CatalogueScope is the right to list a registry's repositories.
// https://distribution.github.io/distribution/spec/auth/scope/
const CatalogueScope = "registry:catalog:*"

// Bounds of a listing.
const (
	cataloguePages = 10
	cataloguePage  = "?n=500"
	catalogueMost  = 4 << 20 // bytes of one page
)

// Repositories lists a registry's repositories, at most ten pages of them. A
// registry that has no such list, or does not show it, is an *Error.
// https://distribution.github.io/distribution/spec/api/#listing-repositories
func (c *Client) Repositories(ctx context.Context, authorization Authorization) ([]string, error) {
	var all []string
	path := "/v2/_catalog" + cataloguePage
	for range cataloguePages {
		names, next, err := c.cataloguePage(ctx, path, authorization)
		if err != nil {
			return nil, err
		}
		all = append(all, names...)
		if next == "" {
			break
		}
		path = next
	}
	return all, nil
}

func (c *Client) cataloguePage(ctx context.Context, path string, authorization Authorization) (names []string, next string, err error) {
	relative, err := url.Parse(path)
	if err != nil {
		return nil, "", fmt.Errorf("reading the address of a list: %w", err)
	}
	address := c.route.URL(relative.Path)
	address.RawQuery = relative.RawQuery
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), http.NoBody)
	if err != nil {
		return nil, "", fmt.Errorf("making a request for a list: %w", err)
	}
	authorization.Apply(request)
	response, err := c.http.Do(request)
	if err != nil {
		return nil, "", RedactError(err)
	}
	defer drain(response)
	if response.StatusCode != http.StatusOK || isHTML(response.Header, nil) {
		return nil, "", ReadError(response, "", authorization.Secret())
	}
	var page struct {
		Repositories []string `json:"repositories"`
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, catalogueMost)).Decode(&page); err != nil {
		return nil, "", fmt.Errorf("reading a list of repositories: %w", err)
	}
	return page.Repositories, nextPage(response.Header.Get("Link")), nil
}

// linkNext finds the address of the next page.
// https://www.rfc-editor.org/rfc/rfc8288#section-3
var linkNext = regexp.MustCompile(`<([^<>]{1,1000})>\s*;\s*rel="?next"?`)

// nextPage is the path and query of the next page on the same registry, "" for
// none: whatever host a link names, it is the registry that is asked.
func nextPage(link string) string {
	found := linkNext.FindStringSubmatch(link)
	if found == nil {
		return ""
	}
	u, err := url.Parse(found[1])
	if err != nil || !strings.HasPrefix(u.Path, "/v2/") {
		return ""
	}
	return (&url.URL{Path: u.Path, RawQuery: u.RawQuery}).String()
}

// RateLimit asks how much a registry still gives, with a HEAD request for an
// image, which Docker Hub does not count. It reports false where the registry
// speaks of no limit.
func (c *Client) RateLimit(ctx context.Context, ref image.Reference, authorization Authorization) (RateLimit, bool, error) {
	response, err := c.manifest(ctx, http.MethodHead, ref, authorization)
	if err != nil {
		return RateLimit{}, false, err
	}
	defer drain(response)
	limit, found := ParseRateLimit(response.Header)
	if !found && response.StatusCode >= http.StatusBadRequest {
		return RateLimit{}, false, ReadError(response, ref.Repository(), authorization.Secret())
	}
	return limit, found, nil
}
