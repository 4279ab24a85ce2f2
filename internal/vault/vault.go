// Package vault seals secrets at rest with a keyset that lives in a file beside
// the database, never inside it: who steals the database has nothing.
//
// Each sealed secret is bound to the row it belongs to (see Binding) and says
// which key sealed it. The package knows nothing of rows, though: to store the
// sealed bytes, and to seal them anew after a rotation, is its caller's part.
// Start with Open.
//
// # Changing the key without downtime
//
// Any number of processes may share one key file while it changes:
//
//  1. Rotate adds a new key. From then on every process seals with it, since
//     each looks at the file before it seals; the old keys still open.
//  2. The caller seals every row anew that another key than the new one sealed,
//     and looks again until there is none: a write that was under way during
//     the first step may still come in with the old key.
//  3. Retire takes the old key out of the file.
//
// Copies of the key file on several machines do not follow each other: put the
// changed file everywhere before the second step.
package vault

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/secret"
)

// Vault seals and opens secrets with the keys of one file. It is safe for
// concurrent use, and several vaults, also of other processes, may use the same
// file. Printing it shows no key.
type Vault struct {
	file    keyFile
	created bool

	mu   sync.Mutex // guards ring
	ring *keyring   // as last read; replaced as a whole, never changed
}

// Binding is the place that a sealed secret belongs to. In any other place it
// does not open.
type Binding struct {
	OrganizationID int64
	CredentialID   string
	Version        int
}

// Sealed is a secret at rest.
type Sealed struct {
	// KeyID names the key that sealed it; it is no secret.
	KeyID uint32
	Bytes []byte
}

// Open reads the key file at path, and makes it, with one new key and readable
// by its owner alone, if there is none. Of several processes that start at once
// one makes the file and all use it. A file that is there is never overwritten.
//
// A file that others may read, that is reached by a symbolic link and belongs
// to somebody else, or that holds no whole keyset is refused.
func Open(path string) (*Vault, error) {
	file := keyFile{path: path}
	ring, err := file.read()
	created := false
	if fault.Is(err, fault.NotFound) {
		ring, created, err = file.create()
	}
	if err != nil {
		return nil, err
	}
	return &Vault{file: file, created: created, ring: ring}, nil
}

// Created reports whether Open made the key file, so that a caller whose
// database holds sealed rows already sees that the file was lost or that path
// is wrong. Require finds the same on every later start too.
func (v *Vault) Created() bool { return v.created }

// Require refuses, with the mend, if one of these keys, with which rows are
// sealed, is not in the file. Call it at the start with those of the database.
func (v *Vault) Require(keyIDs ...uint32) error {
	ring, err := v.current()
	if err != nil {
		return err
	}
	for _, id := range keyIDs {
		if !ring.holds(id) {
			return v.unknownKey(id)
		}
	}
	return nil
}

// PrimaryKeyID is the id of the key that Seal uses now.
func (v *Vault) PrimaryKeyID() (uint32, error) {
	ring, err := v.current()
	if err != nil {
		return 0, err
	}
	return ring.primary, nil
}

// KeyIDs are the ids of all keys of the file, in ascending order.
func (v *Vault) KeyIDs() ([]uint32, error) {
	ring, err := v.current()
	if err != nil {
		return nil, err
	}
	return ring.ids(), nil
}

// Seal seals plain for its place, with the key that is the file's primary at
// this moment. It refuses if the file is gone or bad, since what it sealed then
// might never open again.
func (v *Vault) Seal(plain secret.Text, where Binding) (Sealed, error) {
	if where.CredentialID == "" {
		return Sealed{}, errors.New("sealing a secret for no credential")
	}
	ring, err := v.current()
	if err != nil {
		return Sealed{}, err
	}
	sealed, err := ring.aead.Encrypt([]byte(plain.Reveal()), where.associatedData())
	if err != nil {
		return Sealed{}, fmt.Errorf("sealing a secret: %w", err)
	}
	return Sealed{KeyID: ring.primary, Bytes: sealed}, nil
}

// Open gives the secret that was sealed for this place. A vault that is running
// still opens with the keys it knows if the file has gone.
func (v *Vault) Open(sealed Sealed, where Binding) (secret.Text, error) {
	ring, err := v.current()
	if err != nil {
		if ring = v.known(); !ring.holds(sealed.KeyID) {
			return secret.Text{}, err
		}
	}
	if !ring.holds(sealed.KeyID) {
		return secret.Text{}, v.unknownKey(sealed.KeyID)
	}
	plain, err := ring.open(sealed, where.associatedData())
	if err != nil {
		return secret.Text{}, fault.New(fault.Internal, "sealed_broken",
			"the sealed secret of the credential %q does not open", where.CredentialID).
			WithHint("Its row was altered, or moved from another credential: enter the secret anew.").WithCause(err)
	}
	return secret.New(string(plain)), nil
}

// Rotate adds a new key to the file, makes it the primary, and returns its id.
// The old keys stay able to open until they are retired.
func (v *Vault) Rotate() (uint32, error) {
	ring, err := v.change((*keyring).rotated)
	if err != nil {
		return 0, err
	}
	return ring.primary, nil
}

// Retire takes a key out of the file. What is still sealed with it never opens
// again: see the package comment for what must come before. The primary key is
// refused as a conflict.
func (v *Vault) Retire(keyID uint32) error {
	_, err := v.change(func(ring *keyring) (*keyring, error) { return ring.without(keyID) })
	return err
}

// Format prints where the keys are, and none of them, for every verb and flag.
func (v *Vault) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "vault "+v.file.path) }

// change replaces the key file by what edit makes of it.
func (v *Vault) change(edit func(*keyring) (*keyring, error)) (*keyring, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	ring, err := v.file.change(edit)
	if err != nil {
		return nil, err
	}
	v.ring = ring
	return ring, nil
}

// current is the keyring as it is in the file at this moment; it reads the file
// only if that changed.
func (v *Vault) current() (*keyring, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.file.unchanged(v.ring.read) {
		return v.ring, nil
	}
	ring, err := v.file.read()
	if err != nil {
		return nil, err
	}
	v.ring = ring
	return ring, nil
}

// known is the keyring as it was last read.
func (v *Vault) known() *keyring {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.ring
}

func (v *Vault) unknownKey(id uint32) error {
	return fault.New(fault.Internal, "vault_key_unknown", "secrets are sealed with the key %d, which is not in the key file %q", id, v.file.path).
		WithHint("Put the key file back from a backup, or from the machine that sealed them; without that key they must be entered anew.")
}

// associatedData is the place in bytes. Each part has a fixed length or says
// its length first, so that no two places look the same.
func (b Binding) associatedData() []byte {
	data := []byte("fairlead credential 1\x00")
	data = binary.BigEndian.AppendUint64(data, uint64(b.OrganizationID))
	data = binary.BigEndian.AppendUint64(data, uint64(len(b.CredentialID)))
	data = append(data, b.CredentialID...)
	return binary.BigEndian.AppendUint64(data, uint64(b.Version))
}
