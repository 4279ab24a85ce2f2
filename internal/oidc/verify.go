package oidc

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"time"

	goidc "github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"

	"fairlead.dev/fairlead/internal/fault"
)

// signatures are those that are taken: all have a public key.
var signatures = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.ES256, jose.ES384, jose.ES512, jose.PS256, jose.PS384, jose.PS512, jose.EdDSA,
}

// verifier checks one token with keys, and tells afterwards whether the keys
// could be had.
func (p *Provider) verifier(d *discovered, keys goidc.KeySet, now time.Time) (*goidc.IDTokenVerifier, *keyReader) {
	config := &goidc.Config{ClientID: p.config.ClientID, Now: func() time.Time { return now.Add(-p.config.Skew) }}
	for _, name := range d.document.Algorithms {
		if slices.Contains(signatures, jose.SignatureAlgorithm(name)) {
			config.SupportedSigningAlgs = append(config.SupportedSigningAlgs, name)
		}
	}
	reader := &keyReader{KeySet: keys}
	return goidc.NewVerifier(p.config.Issuer, reader, config), reader
}

// keyReader keeps why keys could not be read, which the library makes a text of.
type keyReader struct {
	goidc.KeySet
	unread error
}

// VerifySignature implements goidc.KeySet.
func (k *keyReader) VerifySignature(ctx context.Context, jwt string) ([]byte, error) {
	payload, err := k.KeySet.VerifySignature(ctx, jwt)
	_, isNet := errors.AsType[*url.Error](err)
	_, isFault := errors.AsType[*fault.Error](err)
	if isNet || isFault || ctx.Err() != nil {
		k.unread = err
	}
	return payload, err
}
