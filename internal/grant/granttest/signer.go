package granttest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"fairlead.dev/fairlead/internal/oci"
)

const (
	tokenIssuer = "granttest"
	tokenKeyID  = "granttest-1"
)

// signer makes the tokens that the registry behind a fake verifies.
type signer struct {
	service string
	signer  jose.Signer
	keys    []byte // JWKS of the public key

	mu     sync.Mutex
	opaque map[string]string // an unreadable token to the one behind it
	given  []string
}

func newSigner(service string) (*signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a token key: %w", err)
	}
	s, err := jose.NewSigner(jose.SigningKey{
		Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: tokenKeyID},
	}, nil)
	if err != nil {
		return nil, fmt.Errorf("making a token signer: %w", err)
	}
	keys, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
		{Key: key.Public(), KeyID: tokenKeyID, Algorithm: string(jose.ES256), Use: "sig"},
	}})
	if err != nil {
		return nil, fmt.Errorf("writing the token key: %w", err)
	}
	return &signer{service: service, signer: s, keys: keys, opaque: make(map[string]string)}, nil
}

// sign makes a token with an access claim, as
// https://distribution.github.io/distribution/spec/auth/jwt/ says.
func (s *signer) sign(user string, now time.Time, life time.Duration, granted []oci.Access) (string, error) {
	if granted == nil {
		granted = []oci.Access{} // a claim that grants nothing, not a missing one
	}
	token, err := jwt.Signed(s.signer).Claims(jwt.Claims{
		Issuer: tokenIssuer, Subject: user, Audience: jwt.Audience{s.service}, ID: rand.Text(),
		IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(life)),
	}).Claims(map[string]any{"access": granted}).Serialize()
	if err != nil {
		return "", fmt.Errorf("signing a token: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.given = append(s.given, token)
	return token, nil
}

// Given is every token that the registry signed or gave out.
func (r *Registry) Given() []string {
	r.signer.mu.Lock()
	defer r.signer.mu.Unlock()
	return slices.AppendSeq(slices.Clone(r.signer.given), maps.Keys(r.signer.opaque))
}

// hide gives an unreadable token that stands for another.
func (s *signer) hide(token string) (opaque string) {
	opaque = rand.Text() + rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opaque[opaque] = token
	return opaque
}

func (s *signer) behind(opaque string) (token string, found bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	token, found = s.opaque[opaque]
	return token, found
}

func access(repository string, actions ...string) oci.Access {
	return oci.Access{Type: "repository", Name: repository, Actions: actions}
}
