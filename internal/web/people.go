package web

// peopleRoutes are the pages of accounts and members.
func (s *site) peopleRoutes() {
	s.on("GET /settings/{$}", user, s.showMyself)
	s.on("POST /settings/notices/{$}", user, s.setWish)
	s.on("GET /settings/password/{$}", user, s.showPassword)
	s.on("POST /settings/password/{$}", user, s.changePassword)
	s.on("POST /settings/sessions/{session}/end/{$}", user, s.endSession)
	s.on("POST /settings/sessions/end-others/{$}", user, s.endOtherSessions)
	s.on("GET /settings/second-factor/{$}", user, s.showSecondFactor)
	s.on("POST /settings/second-factor/begin/{$}", user, s.beginSecondFactor)
	s.on("POST /settings/second-factor/confirm/{$}", user, s.confirmSecondFactor)
	s.on("POST /settings/second-factor/off/{$}", user, s.disableSecondFactor)
}

// boxes ask for several of a few things.
type boxes struct {
	Name, Label, Help, Problem string
	Boxes                      []box
}

type box struct {
	Value, Label string
	On           bool
}
