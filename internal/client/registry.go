package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/wire"
)

// CredentialKinds are the kinds of registry credential that there are.
func (c *Client) CredentialKinds(ctx context.Context) ([]wire.CredentialKind, error) {
	return all[wire.CredentialKind](ctx, c, "registry-credential-kinds/", nil)
}

// Credentials are those of one organisation, or of all that the caller
// administers where organization is "".
func (c *Client) Credentials(ctx context.Context, organization string) ([]wire.Credential, error) {
	query := url.Values{}
	if organization != "" {
		query.Set("organization", organization)
	}
	return all[wire.Credential](ctx, c, "registry-credentials/", query)
}

// Credential finds one by id.
func (c *Client) Credential(ctx context.Context, id string) (found wire.Credential, err error) {
	return found, c.get(ctx, path("registry-credentials", id), nil, &found)
}

// CreateCredential registers a credential.
func (c *Client) CreateCredential(ctx context.Context, draft wire.CredentialChange) (created wire.Credential, err error) {
	return created, c.post(ctx, "registry-credentials/", draft, &created)
}

// ChangeCredential changes what is set in change and keeps the rest.
func (c *Client) ChangeCredential(ctx context.Context, id string, change wire.CredentialChange) (changed wire.Credential, err error) {
	return changed, c.call(ctx, http.MethodPatch, path("registry-credentials", id), nil, change, &changed)
}

// DeleteCredential forgets a credential.
func (c *Client) DeleteCredential(ctx context.Context, id string) error {
	return c.delete(ctx, path("registry-credentials", id))
}

// CheckCredential asks the registry what a credential is good for; tell gets
// each step as it is done. With an image, that is tried to be pulled too.
func (c *Client) CheckCredential(ctx context.Context, id, image string, tell func(wire.CheckStep)) (wire.Credential, error) {
	body, err := json.Marshal(wire.CheckRequest{Image: image})
	if err != nil {
		return wire.Credential{}, fmt.Errorf("making a request: %w", err)
	}
	request, err := c.request(ctx, http.MethodPost, path("registry-credentials", id, "check"), nil, bytes.NewReader(body))
	if err != nil {
		return wire.Credential{}, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/x-ndjson")
	response, err := c.send(request)
	if err != nil {
		return wire.Credential{}, err
	}
	defer func() { _ = response.Body.Close() }() // only read
	for lines := json.NewDecoder(io.LimitReader(response.Body, answerMost)); ; {
		var event wire.CheckEvent
		if err := lines.Decode(&event); err != nil {
			if ctx.Err() != nil {
				return wire.Credential{}, ctx.Err()
			}
			return wire.Credential{}, fault.New(fault.Unavailable, codeUnreadable, "the server broke off in the middle of the check").
				WithHint("Try again.").WithCause(err)
		}
		switch {
		case event.Step != nil:
			tell(*event.Step)
		case event.Problem != nil:
			return wire.Credential{}, faultOf(*event.Problem, response.StatusCode)
		case event.Credential != nil:
			return *event.Credential, nil
		}
	}
}

// RotateCredential puts a new secret in the place of the old one.
func (c *Client) RotateCredential(ctx context.Context, id string, rotation wire.CredentialRotation) (rotated wire.Credential, err error) {
	return rotated, c.post(ctx, path("registry-credentials", id, "rotate"), rotation, &rotated)
}

// CheckImage tries to pull an image for a project, up to its manifest.
func (c *Client) CheckImage(ctx context.Context, project, image string) (checked wire.ImageCheck, err error) {
	return checked, c.post(ctx, "check/", wire.ImageCheckRequest{Project: project, Image: image}, &checked)
}

// Explain tells which credential an image would be pulled with.
func (c *Client) Explain(ctx context.Context, project, image string) (explained wire.Explanation, err error) {
	query := url.Values{"project": {project}, "image": {image}}
	return explained, c.get(ctx, "explain/", query, &explained)
}
