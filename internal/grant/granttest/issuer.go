package granttest

import (
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Issuer is an OpenID Connect provider outside of every cloud, such as a
// cluster's, which says who the server is. Its methods are safe for concurrent
// use.
type Issuer struct {
	name string
	key  *rsa.PrivateKey

	mu    sync.Mutex
	given []string
}

// NewIssuer makes an issuer of that name, an https address.
func NewIssuer(name string) (*Issuer, error) {
	const bits = 2048
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		return nil, fmt.Errorf("making an issuer's key: %w", err)
	}
	return &Issuer{name: name, key: key}, nil
}

// Name is what its tokens have as iss.
func (i *Issuer) Name() string { return i.name }

// Token makes an identity token for a subject and an audience, for ten minutes.
func (i *Issuer) Token(subject, audience string) (string, error) {
	return i.TokenAt(time.Now(), subject, audience)
}

// TokenAt is Token for ten minutes from another moment on.
func (i *Issuer) TokenAt(now time.Time, subject, audience string) (string, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: i.key, KeyID: "1"}}, nil)
	if err != nil {
		return "", fmt.Errorf("making an issuer's signer: %w", err)
	}
	token, err := jwt.Signed(signer).Claims(jwt.Claims{
		Issuer: i.name, Subject: subject, Audience: jwt.Audience{audience},
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(10 * time.Minute)),
	}).Serialize()
	if err != nil {
		return "", fmt.Errorf("signing an identity token: %w", err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.given = append(i.given, token)
	return token, nil
}

// Given is every token that it made.
func (i *Issuer) Given() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return append([]string(nil), i.given...)
}

var (
	errNoToken     = errors.New("no token")
	errOtherIssuer = errors.New("another issuer")
	errSignature   = errors.New("another signature")
)

// read reads a token that the issuer signed; its audience and its times are for
// others to judge.
func (i *Issuer) read(text string) (jwt.Claims, error) {
	var claims jwt.Claims
	parsed, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.RS256})
	switch {
	case err != nil || parsed.UnsafeClaimsWithoutVerification(&claims) != nil:
		return jwt.Claims{}, errNoToken
	case claims.Issuer != i.name:
		return claims, errOtherIssuer
	case parsed.Claims(i.key.Public(), &claims) != nil:
		return claims, errSignature
	}
	return claims, nil
}
