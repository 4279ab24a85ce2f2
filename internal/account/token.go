package account

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"time"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/secret"
)

// Token lets a program act as a user, as a worker, or as a pull-through cache. Its text is shown once,
// when it is made; only its hash is kept.
type Token struct {
	ID   string // UUID
	Name string

	// UserID is whom the token acts for; "" for a worker's token, which may
	// act only on the executions that the worker holds, and for a cache's.
	UserID string

	// Cache tells that the token is a cache's, which may act only for those whose
	// own tokens it shows as well.
	Cache bool

	// EnvironmentID is where a worker's token works; "" for a user's.
	EnvironmentID string

	CreatedAt  time.Time
	ExpiresAt  time.Time // zero: it does not expire
	LastUsedAt time.Time // zero: never used; kept to the minute
}

// IsWorker reports whether the token is a worker's.
func (t Token) IsWorker() bool { return t.UserID == "" && !t.Cache }

// IsExpired reports whether the token is past its end at now.
func (t Token) IsExpired(now time.Time) bool {
	return !t.ExpiresAt.IsZero() && !now.Before(t.ExpiresAt)
}

// The beginnings of a token's text. They let secret scanners find a token that
// was left where it should not be.
const (
	userTokenPrefix    = "flu_"
	workerTokenPrefix  = "flw_"
	cacheTokenPrefix   = "flc_"
	sessionTokenPrefix = "fls_"
)

// newTokenText draws 256 random bits: nothing that could be guessed, so that a
// plain SHA-256 is enough of a hash.
func newTokenText(prefix string) secret.Text {
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never fails, see crypto/rand
	return secret.New(prefix + base64.RawURLEncoding.EncodeToString(random))
}

// HashToken is what a token's text is looked up by: SHA-256 in hex.
func HashToken(text secret.Text) string {
	sum := sha256.Sum256([]byte(text.Reveal()))
	return hex.EncodeToString(sum[:])
}

// tokenLifeMost is the longest life of a token that has an end at all.
const tokenLifeMost = 10 * 366 * 24 * time.Hour

// validExpiry refuses an end in the past or out of reason.
func validExpiry(expires, now time.Time) error {
	switch {
	case expires.IsZero():
		return nil
	case !expires.After(now):
		return fault.InvalidField("expires_at", "past", "%s is in the past", expires.Format(time.RFC3339))
	case expires.After(now.Add(tokenLifeMost)):
		return fault.InvalidField("expires_at", "far", "%s is more than ten years away", expires.Format(time.RFC3339)).
			WithHint("Leave it out for a token that does not expire.")
	}
	return nil
}
