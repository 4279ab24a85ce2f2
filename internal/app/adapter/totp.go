package adapter

import (
	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/vault"
)

// totpPrefix begins the binding of a second factor's key, so that it opens in the
// place of no other.
const totpPrefix = "totp/"

func totpBinding(place account.TOTPPlace) vault.Binding {
	return vault.Binding{CredentialID: totpPrefix + place.UserID + "/" + place.ID}
}

// SealTOTP seals a second factor's key for its place; with OpenTOTP, a Sealer is
// an account.Sealer too.
func (s Sealer) SealTOTP(plain secret.Text, place account.TOTPPlace) (account.Sealed, error) {
	sealed, err := s.Vault.Seal(plain, totpBinding(place))
	return account.Sealed(sealed), err
}

// OpenTOTP gives the key that was sealed for that place.
func (s Sealer) OpenTOTP(sealed account.Sealed, place account.TOTPPlace) (secret.Text, error) {
	return s.Vault.Open(vault.Sealed(sealed), totpBinding(place))
}
