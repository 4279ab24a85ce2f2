package web

import (
	"fmt"
	"strings"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/fault"
)

const devicePath = "/device/"

// deviceQuestion is what a machine asks, for somebody to decide on.
type deviceQuestion struct {
	account.DeviceLogin
	Code string
}

func devicePage() page { return page{file: "device.html", title: "Sign a machine in"} }

// showDevice asks for the code. One that came with the address is filled in and not
// looked up: whoever approves has read it on their machine, and a page of somebody
// else's, which could lead here again and again, uses no guesses up.
func (s *site) showDevice(v *visit) (answer, error) {
	shown := devicePage()
	shown.form = formOf(map[string]string{"user_code": v.r.URL.Query().Get("user_code")})
	return shown, nil
}

func (s *site) askDevice(v *visit) (answer, error) {
	f, err := v.readForm()
	if err != nil {
		return nil, err
	}
	asked, err := s.config.Accounts.DeviceRequest(v.ctx(), v.actor, f.get("user_code"))
	if err != nil {
		return v.refuse(f, besideCode(err), devicePage(), "user_code")
	}
	return page{file: "devicequestion.html", title: "Sign " + asked.Name + " in", data: deviceQuestion{asked, strings.ToUpper(f.get("user_code"))}, inPlace: true}, nil
}

func (s *site) decideDevice(v *visit) (answer, error) {
	f, err := v.readForm()
	if err != nil {
		return nil, err
	}
	code := f.get("user_code")
	asked, err := s.config.Accounts.DeviceRequest(v.ctx(), v.actor, code)
	switch {
	case err != nil:
	case f.get("decision") == "approve":
		err = s.config.Accounts.ApproveDevice(v.ctx(), v.actor, code)
	case f.get("decision") == "deny":
		err = s.config.Accounts.DenyDevice(v.ctx(), v.actor, code)
	default:
		err = fault.InvalidField("decision", "decision_missing", "approve or deny it")
	}
	if err != nil {
		return v.refuse(f, besideCode(err), devicePage(), "user_code")
	}
	if f.get("decision") == "deny" {
		return seeOther{to: devicePath, said: fmt.Sprintf("%s is denied.", asked.Name)}, nil
	}
	return seeOther{to: tokensPath, said: fmt.Sprintf("%s is approved: it signs in within seconds, and its token is listed here then.", asked.Name)}, nil
}

// besideCode has a code that no machine waits with told beside the field.
func besideCode(err error) error {
	if !fault.Is(err, fault.NotFound) {
		return err
	}
	unknown := fault.From(err)
	return fault.InvalidField("user_code", unknown.Code, "%s", unknown.Message).WithHint("%s", unknown.Hint)
}
