package client

import (
	"context"
	"net/url"
	"strconv"

	"fairlead.dev/fairlead/internal/wire"
)

// Doctor has the server look at itself, and where credentials is true ask the
// registries what its credentials are good for, which may take minutes.
func (c *Client) Doctor(ctx context.Context, credentials bool) (found wire.Doctor, err error) {
	err = c.get(ctx, "doctor/", url.Values{"credentials": {strconv.FormatBool(credentials)}}, &found)
	return found, err
}
