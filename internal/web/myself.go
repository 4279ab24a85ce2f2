package web

import (
	"slices"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/notice"
	"fairlead.dev/fairlead/internal/secret"
)

const myselfPath = "/settings/"

// myselfData is what somebody's own page shows.
type myselfData struct {
	User     account.User
	Factor   account.TOTPState
	Sessions []sessionView
	Others   bool   // there is a session to end beside this one
	Mails    bool   // this server sends mail
	Provider string // that people sign in at; "": there is none
	Wish     boxes
}

// sessionView is a session; Here marks the one that asks.
type sessionView struct {
	account.Session
	Here bool
}

func (s *site) showMyself(v *visit) (answer, error) {
	again, err := s.myselfPage(v, nil)
	if err != nil {
		return nil, err
	}
	return again, nil
}

// myselfPage shows who is signed in, with the notices that were asked for in f, or
// those that are kept.
func (s *site) myselfPage(v *visit, f *form) (page, error) {
	data := myselfData{Mails: s.config.Outbox.Mails()}
	if s.config.SignOn != nil {
		data.Provider = s.config.SignOn.Name()
	}
	var err error
	if data.User, err = s.config.Accounts.Me(v.ctx(), v.actor); err != nil {
		return page{}, err
	}
	if data.Factor, err = s.config.Accounts.TOTPState(v.ctx(), v.actor); err != nil {
		return page{}, err
	}
	sessions, err := s.config.Accounts.Sessions(v.ctx(), v.actor)
	if err != nil {
		return page{}, err
	}
	for _, session := range sessions {
		data.Sessions = append(data.Sessions, sessionView{session, session.ID == v.actor.SessionID})
	}
	data.Others = len(sessions) > 1
	wish, err := s.config.Channels.Wish(v.ctx(), v.actor)
	if err != nil {
		return page{}, err
	}
	wanted := wish.Statuses
	if f != nil {
		wanted = f.all("executions")
	}
	data.Wish = statusBoxes("executions", "Mail me when an execution that I started ends as", wanted)
	return page{file: "myself.html", title: "My account", data: data, form: f}, nil
}

// statusBoxes ask for the ways in which executions end.
func statusBoxes(name, label string, wanted []string) boxes {
	asked := boxes{Name: name, Label: label}
	for _, status := range notice.Statuses() {
		asked.Boxes = append(asked.Boxes, box{status, statusWords[status], slices.Contains(wanted, status)})
	}
	return asked
}

// statusWords are the ways for an execution to end, for people.
var statusWords = map[string]string{"complete": "complete", "error": "failed", "stopped": "stopped", "crashed": "crashed (its worker was lost)"}

func (s *site) setWish(v *visit) (answer, error) {
	f, err := v.readForm()
	if err != nil {
		return nil, err
	}
	if _, err := s.config.Channels.SetWish(v.ctx(), v.actor, f.all("executions")); err != nil {
		again, failed := s.myselfPage(v, f)
		if failed != nil {
			return nil, failed
		}
		return v.refuse(f, err, again, "executions")
	}
	return seeOther{to: myselfPath, said: "Your notices are saved."}, nil
}

func passwordPage() page { return page{file: "password.html", title: "Change the password"} }

func (s *site) showPassword(*visit) (answer, error) { return passwordPage(), nil }

func (s *site) changePassword(v *visit) (answer, error) {
	f, err := v.readForm()
	if err != nil {
		return nil, err
	}
	if fresh := f.secret("password"); !fresh.Equal(f.secret("password_again")) {
		err = fault.InvalidField("password_again", "password_differs", "this is not the same as above")
	} else {
		err = s.config.Accounts.ChangePassword(v.ctx(), v.actor, f.secret("current_password"), fresh)
	}
	if err != nil {
		return v.refuse(f, err, passwordPage(), "current_password", "password", "password_again")
	}
	return seeOther{to: myselfPath, said: "The password is changed, and your other sessions have ended. Tokens stay good."}, nil
}

func (s *site) endSession(v *visit) (answer, error) {
	id := v.path("session")
	if id == v.session.ID {
		return s.signOut(v)
	}
	if err := s.config.Accounts.EndSession(v.ctx(), v.actor, id); err != nil && !fault.Is(err, fault.NotFound) { // it may be over meanwhile
		return nil, err
	}
	return seeOther{to: myselfPath, said: "That session has ended."}, nil
}

func (s *site) endOtherSessions(v *visit) (answer, error) {
	if err := s.config.Accounts.EndOtherSessions(v.ctx(), v.actor); err != nil {
		return nil, err
	}
	return seeOther{to: myselfPath, said: "All your other sessions have ended."}, nil
}

// secondFactorPage shows whether there is one, and what can be done about it.
func (s *site) secondFactorPage(v *visit) (page, error) {
	state, err := s.config.Accounts.TOTPState(v.ctx(), v.actor)
	return page{file: "secondfactor.html", title: "Second factor", data: state}, err
}

func (s *site) showSecondFactor(v *visit) (answer, error) {
	shown, err := s.secondFactorPage(v)
	if err != nil {
		return nil, err
	}
	return shown, nil
}

// enrolmentData is a new key, which is shown on the page that it is made for and on
// no other: Key is "" on the one that asks again for a code that was wrong.
type enrolmentData struct {
	Key, URL string
	Code     qrCode
}

func enrolmentPage(data enrolmentData) page {
	return page{file: "enrolment.html", title: "Switch the second factor on", data: data, inPlace: true}
}

func (s *site) beginSecondFactor(v *visit) (answer, error) {
	made, err := s.config.Accounts.BeginTOTP(v.ctx(), v.actor)
	if err != nil {
		return nil, err
	}
	code, err := qrCodeOf(made.URL)
	if err != nil {
		return nil, err
	}
	return enrolmentPage(enrolmentData{Key: made.Key.Reveal(), URL: made.URL.Reveal(), Code: code}), nil
}

func (s *site) confirmSecondFactor(v *visit) (answer, error) {
	f, err := v.readForm()
	if err != nil {
		return nil, err
	}
	codes, err := s.config.Accounts.ConfirmTOTP(v.ctx(), v.actor, f.get("code"))
	if err != nil {
		return v.refuse(f, err, enrolmentPage(enrolmentData{}), "code")
	}
	return page{file: "recovery.html", title: "The second factor is on", data: revealed(codes), inPlace: true}, nil
}

// revealed are the texts, a line each.
func revealed(texts []secret.Text) string {
	var lines string
	for i, text := range texts {
		if i > 0 {
			lines += "\n"
		}
		lines += text.Reveal()
	}
	return lines
}

func (s *site) disableSecondFactor(v *visit) (answer, error) {
	f, err := v.readForm()
	if err != nil {
		return nil, err
	}
	if err := s.config.Accounts.DisableTOTP(v.ctx(), v.actor, f.secret("password"), f.get("code")); err != nil {
		again, failed := s.secondFactorPage(v)
		if failed != nil {
			return nil, failed
		}
		return v.refuse(f, err, again, "password", "code")
	}
	return seeOther{to: myselfPath, said: "The second factor is off. Its key and its recovery codes are worth nothing any more."}, nil
}
