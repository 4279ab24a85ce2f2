package blobs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"path"
	"strings"

	"github.com/opencontainers/go-digest"

	"fairlead.dev/fairlead/internal/fault"
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

// hintMost bounds a hint's text, in bytes.
const hintMost = 4 << 10

// Hint notes a digest under a name, with a text of up to 4 KiB, for other processes and
// later ones. To note it again costs as much, and the last text stays.
func (s *Store) Hint(ctx context.Context, name string, d digest.Digest, text string) error {
	if !isDigest(d) {
		return digestInvalid(d)
	}
	if len(text) > hintMost {
		return fault.New(fault.Invalid, "hint_large", "a hint has %d bytes, more than %d", len(text), hintMost)
	}
	// What is empty would be missing in some clouds.
	return s.place.asFault(s.place.put(ctx, hintPath(name, d), []byte(text+"\n"), s.config.Now()))
}

// HintText is the text that a digest was noted with; a NotFound fault that wraps
// ErrNotFound says that it was not.
func (s *Store) HintText(ctx context.Context, name string, d digest.Digest) (string, error) {
	if !isDigest(d) {
		return "", digestInvalid(d)
	}
	text, err := s.place.read(ctx, hintPath(name, d), hintMost+1)
	if isMissing(err) {
		return "", blobMissing(d)
	}
	return strings.TrimSuffix(string(text), "\n"), s.place.asFault(err)
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
