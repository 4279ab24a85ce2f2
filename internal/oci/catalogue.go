package oci

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
)

// CatalogueScope is the right to list a registry's repositories.
// https://distribution.github.io/distribution/spec/auth/scope/
const CatalogueScope = "registry:catalog:*"

// CataloguePath is where the distribution specification has that list.
// https://distribution.github.io/distribution/spec/api/#listing-repositories
const CataloguePath = "/v2/_catalog"

// Bounds of a listing.
const (
	listingPages = 5    // of any list
	listingPage  = 1000 // entries asked for; registries give fewer
	listingBytes = 4 << 20
	listingName  = 512 // bytes; distribution allows 255
)

// Listing is what a registry lists, in its own order.
type Listing struct {
	Names []string
	Pages int  // that were asked for: requests
	More  bool // it goes on; the rest was not asked for
}

// Repositories lists a registry's repositories, at most five pages of them.
// Path is CataloguePath, or where a registry with a root of its own has its
// list. A registry that has no list, or does not show it, is an *Error.
func (c *Client) Repositories(ctx context.Context, path string, authorization Authorization) (Listing, error) {
	return c.list(ctx, path, listingPage, "", authorization, func(page listingBody) []string { return page.Repositories })
}

// Tags lists at most so many tags of a repository: with 1, whether it can be
// read at all. https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#listing-tags
func (c *Client) Tags(ctx context.Context, repository string, most int, authorization Authorization) (Listing, error) {
	found, err := c.list(ctx, "/v2/"+repository+"/tags/list", min(most, listingPage), repository, authorization,
		func(page listingBody) []string { return page.Tags })
	if len(found.Names) >= most {
		found.Names, found.More = found.Names[:most], found.More || len(found.Names) > most
	}
	return found, err
}

// listingBody is a page of either list.
type listingBody struct {
	Repositories []string `json:"repositories"`
	Tags         []string `json:"tags"`
}

// list asks for page after page, until there are as many names as were asked
// for where that is less than a page.
func (c *Client) list(ctx context.Context, path string, size int, repository string, authorization Authorization, names func(listingBody) []string) (Listing, error) {
	var all Listing
	query := "n=" + strconv.Itoa(size)
	for {
		page, next, err := c.listPage(ctx, path, query, repository, authorization)
		all.Pages++
		if answer, ok := errors.AsType[*Error](err); ok && answer.Status == http.StatusBadRequest && all.Pages == 1 {
			query = "" // some find fault with a number above their own
			continue
		}
		if err != nil {
			return Listing{Pages: all.Pages}, err
		}
		for _, name := range names(page) {
			if name != "" && len(name) <= listingName {
				all.Names = append(all.Names, name)
			}
		}
		switch {
		case next == "":
			return all, nil
		case all.Pages == listingPages, size < listingPage && len(all.Names) >= size:
			all.More = true
			return all, nil
		}
		query = next
	}
}

func (c *Client) listPage(ctx context.Context, path, query, repository string, authorization Authorization) (page listingBody, next string, err error) {
	address := c.route.URL(path)
	address.RawQuery = query
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), http.NoBody)
	if err != nil {
		return page, "", fmt.Errorf("making a request for a list: %w", err)
	}
	authorization.Apply(request)
	response, err := c.http.Do(request)
	if err != nil {
		return page, "", RedactError(err)
	}
	defer drain(response)
	if response.StatusCode != http.StatusOK || isHTML(response.Header, nil) {
		return page, "", ReadError(response, repository, authorization.Secret())
	}
	page, err = readListing(response.Body)
	if err != nil {
		return page, "", RedactError(err)
	}
	return page, nextPage(response.Header.Get("Link")), nil
}

// readListing reads one page, of at most 4 MiB.
func readListing(body io.Reader) (page listingBody, err error) {
	if err := json.NewDecoder(io.LimitReader(body, listingBytes)).Decode(&page); err != nil {
		return listingBody{}, fmt.Errorf("reading a list: %w", err)
	}
	return page, nil
}

// linkNext finds the address of the next page.
// https://www.rfc-editor.org/rfc/rfc8288#section-3
var linkNext = regexp.MustCompile(`<([^<>]{1,1000})>\s*;\s*rel="?next"?`)

// nextPage is the query of a list's next page, "" for none: whatever host and
// path a link names, it is the same list that is asked.
func nextPage(link string) string {
	found := linkNext.FindStringSubmatch(link)
	if found == nil {
		return ""
	}
	u, err := url.Parse(found[1])
	if err != nil {
		return ""
	}
	return u.Query().Encode()
}
