package vault

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
	"github.com/tink-crypto/tink-go/v2/tink"

	"fairlead.dev/fairlead/internal/fault"
)

// keyring is a keyset in memory, ready for use. It never changes.
type keyring struct {
	handle  *keyset.Handle
	aead    tink.AEAD
	primary uint32

	// read is which state of the file this is.
	read fileState
}

// newKeyring makes a keyring of one new key.
//
// XChaCha20-Poly1305 has nonces of 192 bits, which random choice never
// repeats: no count of sealed secrets makes a rotation urgent.
// https://developers.google.com/tink/aead#choose_a_key_type
func newKeyring() (*keyring, error) {
	handle, err := keyset.NewHandle(aead.XChaCha20Poly1305KeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	return keyringOf(handle)
}

// keyringOf takes a keyset whose keys are all AEAD keys that write their id in
// front of what they seal.
func keyringOf(handle *keyset.Handle) (*keyring, error) {
	for _, key := range handle.KeysetInfo().GetKeyInfo() {
		if key.GetOutputPrefixType() != tinkpb.OutputPrefixType_TINK || key.GetStatus() != tinkpb.KeyStatusType_ENABLED {
			return nil, fmt.Errorf("the key %d is disabled, or has no prefix", key.GetKeyId())
		}
	}
	primitive, err := aead.New(handle)
	if err != nil {
		return nil, fmt.Errorf("not an AEAD keyset: %w", err)
	}
	return &keyring{handle: handle, aead: primitive, primary: handle.KeysetInfo().GetPrimaryKeyId()}, nil
}

// parseKeyring reads a cleartext keyset in JSON. Its error tells nothing of the
// text, which may be key material.
func parseKeyring(text []byte) (*keyring, error) {
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(text)))
	if err != nil {
		return nil, errors.New("not a keyset")
	}
	ring, err := keyringOf(handle)
	if err != nil {
		return nil, errors.New("not a keyset of enabled AEAD keys with prefixes")
	}
	return ring, nil
}

// text is the cleartext keyset in JSON.
func (r *keyring) text() ([]byte, error) {
	var text bytes.Buffer
	if err := insecurecleartextkeyset.Write(r.handle, keyset.NewJSONWriter(&text)); err != nil {
		return nil, fmt.Errorf("writing the keyset: %w", err)
	}
	return text.Bytes(), nil
}

func (r *keyring) ids() []uint32 {
	var ids []uint32
	for _, key := range r.handle.KeysetInfo().GetKeyInfo() {
		ids = append(ids, key.GetKeyId())
	}
	slices.Sort(ids)
	return ids
}

func (r *keyring) holds(id uint32) bool {
	return slices.ContainsFunc(r.handle.KeysetInfo().GetKeyInfo(), func(key *tinkpb.KeysetInfo_KeyInfo) bool {
		return key.GetKeyId() == id
	})
}

// open opens with the key that sealed says, and with no other.
func (r *keyring) open(sealed Sealed, associatedData []byte) ([]byte, error) {
	// What Tink seals starts with a one and the key's id.
	// https://developers.google.com/tink/wire-format#tink_output_prefix
	prefix := binary.BigEndian.AppendUint32([]byte{1}, sealed.KeyID)
	if !bytes.HasPrefix(sealed.Bytes, prefix) {
		return nil, fmt.Errorf("the sealed bytes are not those of the key %d", sealed.KeyID)
	}
	return r.aead.Decrypt(sealed.Bytes, associatedData)
}

// rotated is r with a new primary key.
func (r *keyring) rotated() (*keyring, error) {
	manager := keyset.NewManagerFromHandle(r.handle)
	id, err := manager.Add(aead.XChaCha20Poly1305KeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("adding a key: %w", err)
	}
	if err := manager.SetPrimary(id); err != nil {
		return nil, fmt.Errorf("making the new key the primary: %w", err)
	}
	return keyringFrom(manager)
}

// without is r without the key id.
func (r *keyring) without(id uint32) (*keyring, error) {
	if !r.holds(id) {
		return nil, fault.New(fault.NotFound, "vault_key_unknown", "there is no key %d", id)
	}
	if id == r.primary {
		return nil, fault.New(fault.Conflict, "vault_key_primary", "the key %d is the one that seals now", id).
			WithHint("Rotate first, and seal what it sealed anew.")
	}
	manager := keyset.NewManagerFromHandle(r.handle)
	if err := manager.Delete(id); err != nil {
		return nil, fmt.Errorf("deleting a key: %w", err)
	}
	return keyringFrom(manager)
}

func keyringFrom(manager *keyset.Manager) (*keyring, error) {
	handle, err := manager.Handle()
	if err != nil {
		return nil, fmt.Errorf("building the keyset: %w", err)
	}
	return keyringOf(handle)
}
