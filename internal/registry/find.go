package registry

import (
	"context"
	"slices"
	"strings"

	"fairlead.dev/fairlead/internal/account"
)

// Search says which of an organisation's credentials to find.
type Search struct {
	// Text is held by a credential's name, one of its patterns, or the name or title
	// of its kind, whatever the case of ASCII letters; "": all.
	Text string

	// Only leaves in what it reports; nil: all. With it every credential that has the
	// text is read.
	Only func(Credential) bool

	Limit, Offset int
}

// Found are credentials, the newest first, and how many there are: that fit, and in all.
type Found struct {
	Credentials []Credential
	Fit, All    int
}

// Lookup is a Search as a store does it: with the kinds whose names hold the text, and
// no limit below 0.
type Lookup struct {
	Text          string
	Kinds         []string
	Limit, Offset int
}

// Find finds credentials of one organisation. An offset behind the last one gives none.
func (s *Service) Find(ctx context.Context, actor account.Actor, organization string, search Search) (Found, error) {
	found, err := s.administered(ctx, actor, organization)
	if err != nil {
		return Found{}, err
	}
	lookup := Lookup{Text: strings.ToLower(strings.TrimSpace(search.Text)), Limit: search.Limit, Offset: search.Offset}
	for _, kind := range s.kinds.Describe() {
		if strings.Contains(kind.Name, lookup.Text) || strings.Contains(strings.ToLower(kind.Title), lookup.Text) {
			lookup.Kinds = append(lookup.Kinds, kind.Name)
		}
	}
	if search.Only == nil {
		return s.store.FindCredentials(ctx, found.ID, lookup)
	}
	lookup.Limit, lookup.Offset = -1, 0
	all, err := s.store.FindCredentials(ctx, found.ID, lookup)
	if err != nil {
		return Found{}, err
	}
	fit := slices.DeleteFunc(all.Credentials, func(c Credential) bool { return !search.Only(c) })
	from := min(max(search.Offset, 0), len(fit))
	return Found{Credentials: fit[from:min(from+max(search.Limit, 0), len(fit))], Fit: len(fit), All: all.All}, nil
}
