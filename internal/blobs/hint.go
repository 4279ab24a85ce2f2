package blobs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"path"
	"strings"

	"github.com/opencontainers/go-digest"
)

// hintsAt is the folder of hints: /hints/SHA-256-OF-THE-NAME/ALGORITHM-HEX.
const hintsAt = "/hints"

func hintPath(name string, d digest.Digest) string {
	return path.Join(hintFolder(name), d.Algorithm().String()+"-"+d.Encoded())
}

func hintFolder(name string) string {
	sum := sha256.Sum256([]byte(name))
	return path.Join(hintsAt, hex.EncodeToString(sum[:]))
}

// Hint notes a digest under a name, for other processes and later ones: a thing to try,
// on which nothing may depend. To note it again costs as much and changes nothing.
func (s *Store) Hint(ctx context.Context, name string, d digest.Digest) error {
	if !isDigest(d) {
		return digestInvalid(d)
	}
	return s.place.asFault(s.place.put(ctx, hintPath(name, d), []byte(d.String()+"\n"), s.config.Now()))
}

// Hints are the digests noted under a name, in no order.
func (s *Store) Hints(ctx context.Context, name string) ([]digest.Digest, error) {
	names, err := s.place.list(ctx, hintFolder(name))
	if err != nil {
		return nil, s.place.asFault(err)
	}
	var found []digest.Digest
	for _, name := range names {
		algorithm, encoded, _ := strings.Cut(name, "-")
		if d := digest.NewDigestFromEncoded(digest.Algorithm(algorithm), encoded); isDigest(d) {
			found = append(found, d)
		}
	}
	return found, nil
}

// Forget takes a Hint back; it is no error if there is none.
func (s *Store) Forget(ctx context.Context, name string, d digest.Digest) error {
	if !isDigest(d) {
		return digestInvalid(d)
	}
	return s.place.asFault(s.place.remove(ctx, hintPath(name, d)))
}
