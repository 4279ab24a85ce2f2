package web

import (
	"time"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/fault"
)

const tokensPath = "/auth/tokens/"

// tokensData is a page of somebody's tokens.
type tokensData struct {
	Tokens  []tokenView
	Pager   pager
	Expires []option
}

type tokenView struct {
	account.Token
	Expired bool
}

// tokenLives are what the form offers, by its value. Zero is a token without end.
var tokenLives = map[string]time.Duration{"30": 30 * day, "90": 90 * day, "365": 365 * day, "never": 0}

var tokenExpiries = []option{{"30", "In 30 days"}, {"90", "In 90 days"}, {"365", "In a year"}, {"never", "Never"}}

const (
	day              = 24 * time.Hour
	tokenLifeDefault = "90"
)

func (s *site) tokensPage(v *visit) (page, error) {
	all, err := s.config.Accounts.Tokens(v.ctx(), v.actor)
	if err != nil {
		return page{}, err
	}
	from, to := v.rows(len(all))
	data := tokensData{Pager: pagerOf(v.r.URL, from, to-from, len(all)), Expires: tokenExpiries}
	for _, token := range all[from:to] {
		data.Tokens = append(data.Tokens, tokenView{token, token.IsExpired(s.config.Now())})
	}
	return page{file: "tokens.html", title: "Tokens", data: data, form: formOf(map[string]string{"expires": tokenLifeDefault})}, nil
}

// rows are where the page of a list of so many begins, and where it ends.
func (v *visit) rows(count int) (from, to int) {
	from = min(v.offset(), count)
	return from, min(from+perPage, count)
}

func (s *site) listTokens(v *visit) (answer, error) {
	shown, err := s.tokensPage(v)
	if err != nil {
		return nil, err
	}
	return shown, nil
}

// createdToken is a token whose text is shown this once.
type createdToken struct {
	account.Token
	Text, Server string
}

func (s *site) createToken(v *visit) (answer, error) {
	f, err := v.readForm()
	if err != nil {
		return nil, err
	}
	life, known := tokenLives[f.get("expires")]
	if !known {
		return nil, fault.InvalidField("expires", "expires_unknown", "choose one of the times that are offered")
	}
	var expires time.Time
	if life > 0 {
		expires = s.config.Now().Add(life)
	}
	made, text, err := s.config.Accounts.CreateToken(v.ctx(), v.actor, f.get("name"), expires)
	if err != nil {
		again, failed := s.tokensPage(v)
		if failed != nil {
			return nil, failed
		}
		return v.refuse(f, err, again, "name", "expires")
	}
	return page{file: "token.html", title: "A new token", data: createdToken{made, text.Reveal(), v.link("")}, inPlace: true}, nil
}

func (s *site) deleteToken(v *visit) (answer, error) {
	if err := s.config.Accounts.DeleteToken(v.ctx(), v.actor, v.path("token")); err != nil {
		return nil, err
	}
	return seeOther{to: tokensPath, said: "The token is deleted; it is refused from now on."}, nil
}
