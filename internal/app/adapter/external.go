package adapter

import (
	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/vault"
)

// externalPrefix begins the binding of a refresh token, so that it opens in the
// place of no other secret.
const externalPrefix = "external-session/"

func refreshBinding(place account.RefreshPlace) vault.Binding {
	return vault.Binding{CredentialID: externalPrefix + place.SessionID, Version: place.Version}
}

// SealRefresh seals a refresh token for its place; with OpenRefresh, a Sealer is
// an account.RefreshSealer too.
func (s Sealer) SealRefresh(plain secret.Text, place account.RefreshPlace) (account.SealedRefresh, error) {
	sealed, err := s.Vault.Seal(plain, refreshBinding(place))
	return account.SealedRefresh(sealed), err
}

// OpenRefresh gives the refresh token that was sealed for that place.
func (s Sealer) OpenRefresh(sealed account.SealedRefresh, place account.RefreshPlace) (secret.Text, error) {
	return s.Vault.Open(vault.Sealed(sealed), refreshBinding(place))
}
