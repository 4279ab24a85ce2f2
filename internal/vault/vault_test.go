package vault_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/vault"
)

const password = "dckr_pat_hunter2-and-a-tail-that-is-easily-found"

var place = vault.Binding{OrganizationID: 7, CredentialID: "c0ffee", Version: 3}

func TestASealedSecretOpensInItsPlace(t *testing.T) {
	v := open(t, keyPath(t))
	for _, plain := range []string{password, "", "\x00\xff", string(make([]byte, 1<<20))} {
		sealed := seal(t, v, plain)
		got, err := v.Open(sealed, place)
		if err != nil {
			t.Fatal(err)
		}
		if got.Reveal() != plain {
			t.Errorf("opened %d bytes, not the %d that were sealed", len(got.Reveal()), len(plain))
		}
	}
}

func TestASecretMovedElsewhereDoesNotOpen(t *testing.T) {
	v := open(t, keyPath(t))
	sealed := seal(t, v, password)
	for name, where := range map[string]vault.Binding{
		"another organisation":                 {OrganizationID: 8, CredentialID: "c0ffee", Version: 3},
		"another credential":                   {OrganizationID: 7, CredentialID: "c0ffef", Version: 3},
		"another version":                      {OrganizationID: 7, CredentialID: "c0ffee", Version: 2},
		"no place":                             {},
		"a longer credential":                  {OrganizationID: 7, CredentialID: "c0ffee\x00", Version: 3},
		"parts that join to the same text":     {OrganizationID: 7, CredentialID: "c0ffee3", Version: 0},
		"a negative version":                   {OrganizationID: 7, CredentialID: "c0ffee", Version: -3},
		"organisation and version in exchange": {OrganizationID: 3, CredentialID: "c0ffee", Version: 7},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := v.Open(sealed, where)
			if !got.IsEmpty() || fault.From(err).Code != "sealed_broken" {
				t.Errorf("Open = %v, %v; want sealed_broken", got, err)
			}
		})
	}
}

func TestASecretWithAnyByteFlippedOrCutDoesNotOpen(t *testing.T) {
	v := open(t, keyPath(t))
	sealed := seal(t, v, password)
	for i := range sealed.Bytes {
		flipped := vault.Sealed{KeyID: sealed.KeyID, Bytes: bytes.Clone(sealed.Bytes)}
		flipped.Bytes[i] ^= 1
		if got, err := v.Open(flipped, place); err == nil || !got.IsEmpty() {
			t.Errorf("byte %d flipped: opened", i)
		}
		cut := vault.Sealed{KeyID: sealed.KeyID, Bytes: sealed.Bytes[:i]}
		if got, err := v.Open(cut, place); err == nil || !got.IsEmpty() {
			t.Errorf("cut to %d bytes: opened", i)
		}
	}
	if _, err := v.Open(vault.Sealed{KeyID: sealed.KeyID, Bytes: append(bytes.Clone(sealed.Bytes), 0)}, place); err == nil {
		t.Error("a byte more: opened")
	}
}

func TestASecretThatNamesAnotherKeyThanItsOwnDoesNotOpen(t *testing.T) {
	v := open(t, keyPath(t))
	sealed := seal(t, v, password)
	other := rotate(t, v)
	if _, err := v.Open(vault.Sealed{KeyID: other, Bytes: sealed.Bytes}, place); fault.From(err).Code != "sealed_broken" {
		t.Errorf("Open = %v; want sealed_broken", err)
	}
}

func TestSealingForNoCredentialIsRefused(t *testing.T) {
	v := open(t, keyPath(t))
	if _, err := v.Seal(secret.New(password), vault.Binding{OrganizationID: 7}); err == nil {
		t.Error("sealed")
	}
}

func TestSealedBytesHoldNothingOfThePlaintextAndNeverRepeat(t *testing.T) {
	v := open(t, keyPath(t))
	first, second := seal(t, v, password), seal(t, v, password)
	dump := fmt.Sprintf("%s%v%x%s", first.Bytes, first, first.Bytes, base64.StdEncoding.EncodeToString(first.Bytes))
	for i := range len(password) - 8 {
		if bytes.Contains([]byte(dump), []byte(password[i:i+8])) {
			t.Errorf("the sealed bytes hold %q", password[i:i+8])
		}
	}
	if bytes.Equal(first.Bytes, second.Bytes) {
		t.Error("sealing twice gave the same bytes")
	}
}

func TestARotationKeepsOldSecretsOpenUntilTheirKeyIsRetired(t *testing.T) {
	path := keyPath(t)
	v := open(t, path)
	first := primary(t, v)
	old := seal(t, v, password)
	second := rotate(t, v)
	fresh := seal(t, v, password)
	if old.KeyID != first || fresh.KeyID != second || first == second {
		t.Fatalf("sealed with %d and %d; the primaries were %d and %d", old.KeyID, fresh.KeyID, first, second)
	}

	reopened := open(t, path)
	for _, sealed := range []vault.Sealed{old, fresh} {
		for _, v := range []*vault.Vault{v, reopened} {
			if got, err := v.Open(sealed, place); err != nil || got.Reveal() != password {
				t.Errorf("after the rotation: Open = %v, %v", got, err)
			}
		}
	}

	if err := v.Retire(second); !fault.Is(err, fault.Conflict) {
		t.Errorf("retiring the primary = %v, want a conflict", err)
	}
	if err := v.Retire(first + second + 1); !fault.Is(err, fault.NotFound) {
		t.Errorf("retiring no key = %v, want not found", err)
	}
	if err := v.Retire(first); err != nil {
		t.Fatal(err)
	}
	for _, v := range []*vault.Vault{v, reopened} {
		if _, err := v.Open(old, place); fault.From(err).Code != "vault_key_unknown" {
			t.Errorf("the retired key: Open = %v, want vault_key_unknown", err)
		}
		if got, err := v.Open(fresh, place); err != nil || got.Reveal() != password {
			t.Errorf("after retiring: Open = %v, %v", got, err)
		}
		ids, err := v.KeyIDs()
		if diff := cmp.Diff([]uint32{second}, ids); diff != "" || err != nil {
			t.Errorf("keys left (-want +got, %v):\n%s", err, diff)
		}
	}
}

func TestARunningVaultFollowsTheRotationOfAnother(t *testing.T) {
	path := keyPath(t)
	server, command := open(t, path), open(t, path)
	second := rotate(t, command)
	sealed := seal(t, command, password)
	if got, err := server.Open(sealed, place); err != nil || got.Reveal() != password {
		t.Errorf("Open = %v, %v", got, err)
	}
	if got := seal(t, server, password).KeyID; got != second {
		t.Errorf("the server still seals with %d, not with %d", got, second)
	}
	if got := primary(t, server); got != second {
		t.Errorf("primary = %d, want %d", got, second)
	}
}

func TestSealingAndOpeningGoOnWhileKeysChange(t *testing.T) {
	path := keyPath(t)
	server := open(t, path)
	old := seal(t, server, password)
	var users sync.WaitGroup
	for range 4 {
		users.Go(func() {
			for range 200 {
				sealed, err := server.Seal(secret.New(password), place)
				if err != nil {
					t.Error(err)
					return
				}
				for _, sealed := range []vault.Sealed{old, sealed} {
					if got, err := server.Open(sealed, place); err != nil || got.Reveal() != password {
						t.Errorf("Open = %v, %v", got, err)
					}
				}
			}
		})
	}
	var rotations sync.WaitGroup
	for range 4 {
		command := open(t, path)
		rotations.Go(func() {
			for range 5 {
				if _, err := command.Rotate(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	users.Wait()
	rotations.Wait()
	if ids, err := server.KeyIDs(); len(ids) != 21 || err != nil {
		t.Errorf("%d keys (%v); a rotation undid another", len(ids), err)
	}
}

func TestAVaultWhoseFileWentStillOpensButSealsNothing(t *testing.T) {
	path := keyPath(t)
	v := open(t, path)
	sealed := seal(t, v, password)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if got, err := v.Open(sealed, place); err != nil || got.Reveal() != password {
		t.Errorf("Open = %v, %v", got, err)
	}
	if _, err := v.Seal(secret.New(password), place); fault.From(err).Code != "vault_key_missing" {
		t.Errorf("Seal = %v, want vault_key_missing", err)
	}
	if _, err := v.Rotate(); fault.From(err).Code != "vault_key_missing" {
		t.Errorf("Rotate = %v, want vault_key_missing", err)
	}
}

func TestAKeyFileThatWasLostIsNoticedAtTheNextStarts(t *testing.T) {
	path := keyPath(t)
	first := open(t, path)
	sealed := seal(t, first, password)
	if !first.Created() {
		t.Error("the first start did not say that it made the file")
	}
	if open(t, path).Created() {
		t.Error("the second start says that it made the file")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if !open(t, path).Created() {
		t.Error("the start after the loss did not say that it made the file")
	}
	later := open(t, path)
	if err := later.Require(sealed.KeyID); fault.From(err).Code != "vault_key_unknown" {
		t.Errorf("Require = %v, want vault_key_unknown", err)
	}
	if err := later.Require(primary(t, later)); err != nil {
		t.Error(err)
	}
}

func TestAVaultPrintsNoKey(t *testing.T) {
	path := keyPath(t)
	v := open(t, path)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Key []struct {
			KeyData struct{ Value []byte }
		}
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	key := file.Key[0].KeyData.Value
	key = key[len(key)-32:]
	asJSON, err := json.Marshal([]any{v})
	if err != nil {
		t.Fatal(err)
	}
	printed := asJSON
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		printed = fmt.Appendf(printed, verb+verb+verb, v, []any{v}, struct{ v *vault.Vault }{v})
	}
	for _, form := range []string{
		string(key), fmt.Sprintf("%x", key), fmt.Sprintf("%v", key), fmt.Sprintf("%#v", key),
		base64.StdEncoding.EncodeToString(file.Key[0].KeyData.Value),
	} {
		if bytes.Contains(printed, []byte(form)) {
			t.Errorf("printed: %s", printed)
		}
	}
}

// FuzzOpen feeds sealed bytes that nobody sealed.
func FuzzOpen(f *testing.F) {
	v, err := vault.Open(filepath.Join(f.TempDir(), "key.json"))
	if err != nil {
		f.Fatal(err)
	}
	sealed, err := v.Seal(secret.New(password), place)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed.KeyID, sealed.Bytes[:5], int64(7), "c0ffee", 3)
	f.Add(sealed.KeyID, sealed.Bytes, int64(8), "c0ffee", 3)
	f.Add(uint32(0), []byte{}, int64(0), "", 0)
	f.Fuzz(func(t *testing.T, keyID uint32, text []byte, organization int64, credential string, version int) {
		where := vault.Binding{OrganizationID: organization, CredentialID: credential, Version: version}
		got, err := v.Open(vault.Sealed{KeyID: keyID, Bytes: text}, where)
		if bytes.Equal(text, sealed.Bytes) && keyID == sealed.KeyID && where == place {
			return
		}
		if err == nil || !got.IsEmpty() {
			t.Fatalf("forged: %v", got)
		}
		if _, ok := errors.AsType[*fault.Error](err); !ok {
			t.Fatalf("%v is no fault", err)
		}
	})
}

func keyPath(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "key.json")
}

func open(t *testing.T, path string) *vault.Vault {
	t.Helper()
	v, err := vault.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func seal(t *testing.T, v *vault.Vault, plain string) vault.Sealed {
	t.Helper()
	sealed, err := v.Seal(secret.New(plain), place)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func rotate(t *testing.T, v *vault.Vault) uint32 {
	t.Helper()
	id, err := v.Rotate()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func primary(t *testing.T, v *vault.Vault) uint32 {
	t.Helper()
	id, err := v.PrimaryKeyID()
	if err != nil {
		t.Fatal(err)
	}
	return id
}
