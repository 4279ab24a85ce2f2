package adapter

import (
	"fairlead.dev/fairlead/internal/notice"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/vault"
)

// channelPrefix begins the binding of a notice channel's signing secret, so that
// it opens in the place of no other.
const channelPrefix = "notice-channel/"

func channelBinding(place notice.Place) vault.Binding {
	return vault.Binding{CredentialID: channelPrefix + place.ChannelID, Version: place.Version}
}

// SealChannel seals a signing secret for its place; with OpenChannel, a Sealer is
// a notice.Sealer too.
func (s Sealer) SealChannel(plain secret.Text, place notice.Place) (notice.Sealed, error) {
	sealed, err := s.Vault.Seal(plain, channelBinding(place))
	return notice.Sealed(sealed), err
}

// OpenChannel gives the secret that was sealed for that place.
func (s Sealer) OpenChannel(sealed notice.Sealed, place notice.Place) (secret.Text, error) {
	return s.Vault.Open(vault.Sealed(sealed), channelBinding(place))
}
