package client

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/wire"
)

// Outputs are the files that an execution left.
func (c *Client) Outputs(ctx context.Context, execution string) ([]wire.Datum, error) {
	return all[wire.Datum](ctx, c, "data/", url.Values{"output_execution": {execution}})
}

// Datum finds a file that an execution left.
func (c *Client) Datum(ctx context.Context, id string) (found wire.Datum, err error) {
	return found, c.get(ctx, path("data", id), nil, &found)
}

// Download reads a datum's bytes.
func (c *Client) Download(ctx context.Context, id string) (io.ReadCloser, error) {
	var link wire.Download
	if err := c.get(ctx, path("data", id, "download"), nil, &link); err != nil {
		return nil, err
	}
	address, err := url.Parse(link.URL)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "answer", "the server named no address for the download").WithCause(err)
	}
	// At the server as this client knows it, whatever name it gives itself.
	request, err := c.request(ctx, http.MethodGet, path("data", id, "content"), address.Query(), nil)
	if err != nil {
		return nil, err
	}
	response, err := c.send(request)
	if err != nil {
		return nil, err
	}
	return response.Body, nil
}

// Purge deletes a datum's bytes.
func (c *Client) Purge(ctx context.Context, id string) (purged wire.Datum, err error) {
	return purged, c.post(ctx, path("data", id, "purge"), nil, &purged)
}

// Metadata are what an execution told of itself, after a number.
func (c *Client) Metadata(ctx context.Context, execution string, after int64) ([]wire.Metadatum, error) {
	var told []wire.Metadatum
	for {
		var list wire.List[wire.Metadatum]
		query := url.Values{"after": {strconv.FormatInt(after, 10)}}
		if err := c.get(ctx, path("executions", execution, "metadata"), query, &list); err != nil || len(list.Results) == 0 {
			return told, err
		}
		told = append(told, list.Results...)
		after = told[len(told)-1].Number
	}
}

// AddOutput keeps a file of the outputs of the lease's execution. The body is
// read once, and is of size bytes.
func (c *Client) AddOutput(ctx context.Context, leaseID, name string, size int64, body io.Reader) (kept wire.Datum, err error) {
	request, err := c.request(ctx, http.MethodPost, path("leases", leaseID, "outputs"), url.Values{"name": {name}}, body)
	if err != nil {
		return wire.Datum{}, err
	}
	request.ContentLength = size
	request.Header.Set("Content-Type", "application/octet-stream")
	response, err := c.send(request)
	if err != nil {
		return wire.Datum{}, err
	}
	return kept, decode(response, &kept)
}

// InputRequest asks for a datum among the inputs of the lease's execution.
func (c *Client) InputRequest(ctx context.Context, leaseID, datum string) (*http.Request, error) {
	return c.request(ctx, http.MethodGet, path("leases", leaseID, "data", datum), nil, nil)
}
