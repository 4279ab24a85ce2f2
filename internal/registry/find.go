package registry

import (
	"context"
	"strings"

	"fairlead.dev/fairlead/internal/account"
)

// Search says which of an organisation's credentials to find.
type Search struct {
	// Text is held by a credential's name, one of its patterns, or the name or title
	// of its kind, whatever the case of ASCII letters; "": all.
	Text string

	// Only leaves in what it reports; nil: all. It is asked of every credential that has
	// the text, and told when it was used and what State and Ends are made of.
	Only func(Credential) bool

	Limit, Offset int
}

// Found are credentials, the newest first, and how many there are: that fit, and in all.
type Found struct {
	Credentials []Credential
	Fit, All    int
}

// Lookup is a Search as a store does it: with the kinds whose names hold the text.
type Lookup struct {
	Text          string
	Kinds         []string
	Only          func(Credential) bool
	Limit, Offset int
}

// Find finds credentials of one organisation. An offset behind the last one gives none.
func (s *Service) Find(ctx context.Context, actor account.Actor, organization string, search Search) (Found, error) {
	found, err := s.administered(ctx, actor, organization)
	if err != nil {
		return Found{}, err
	}
	lookup := Lookup{Text: strings.ToLower(strings.TrimSpace(search.Text)), Only: search.Only, Limit: max(search.Limit, 0), Offset: max(search.Offset, 0)}
	for _, kind := range s.kinds.Describe() {
		if strings.Contains(kind.Name, lookup.Text) || strings.Contains(strings.ToLower(kind.Title), lookup.Text) {
			lookup.Kinds = append(lookup.Kinds, kind.Name)
		}
	}
	return s.store.FindCredentials(ctx, found.ID, lookup)
}
