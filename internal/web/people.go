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

	s.on("GET /auth/tokens/{$}", user, s.listTokens)
	s.on("POST /auth/tokens/{$}", user, s.createToken)
	s.on("POST /auth/tokens/{token}/delete/{$}", user, s.deleteToken)

	s.on("GET /device/{$}", user, s.showDevice)
	s.on("POST /device/{$}", user, s.askDevice)
	s.on("POST /device/decide/{$}", user, s.decideDevice)
	s.on("GET /invitations/{text}/{$}", anybody, s.showInvitation)
	s.on("POST /invitations/{text}/{$}", anybody, s.acceptInvitation)
	s.on("POST /invitations/{text}/join/{$}", user, s.joinByInvitation)

	s.on("GET /o/{organization}/members/{$}", user, s.listMembers)
	s.on("POST /o/{organization}/members/{$}", user, s.addMember)
	s.on("POST /o/{organization}/members/{username}/role/{$}", user, s.changeRole)
	s.on("POST /o/{organization}/members/{username}/remove/{$}", user, s.removeMember)
	s.on("GET /o/{organization}/invitations/{$}", user, s.listInvitations)
	s.on("POST /o/{organization}/invitations/{$}", user, s.invite)
	s.on("POST /o/{organization}/invitations/{invitation}/revoke/{$}", user, s.revokeInvitation)

	s.channelRoutes("/o/{organization}/settings/", user)
	s.channelRoutes("/notices/", operator)

	s.on("GET /users/{$}", operator, s.listUsers)
	s.on("POST /users/{$}", operator, s.createUser)
	s.on("GET /users/{username}/{$}", operator, s.showUser)
	s.on("POST /users/{username}/password/{$}", operator, s.setPassword)
	s.on("POST /users/{username}/second-factor/reset/{$}", operator, s.resetSecondFactor)
	s.on("GET /organizations/{$}", operator, s.showNewOrganization)
	s.on("POST /organizations/{$}", operator, s.createOrganization)
}

// channelRoutes are the pages of notice channels, of an organisation or of the
// installation.
func (s *site) channelRoutes(at string, who who) {
	s.on("GET "+at+"{$}", who, s.listChannels)
	s.on("GET "+at+"new-channel/{$}", who, s.showNewChannel)
	s.on("POST "+at+"channels/{$}", who, s.createChannel)
	s.on("GET "+at+"channels/{channel}/{$}", who, s.showChannel)
	s.on("POST "+at+"channels/{channel}/{$}", who, s.changeChannel)
	s.on("POST "+at+"channels/{channel}/test/{$}", who, s.testChannel)
	s.on("POST "+at+"channels/{channel}/pause/{$}", who, s.pauseChannel)
	s.on("POST "+at+"channels/{channel}/resume/{$}", who, s.resumeChannel)
	s.on("POST "+at+"channels/{channel}/secret/{$}", who, s.renewChannelSecret)
	s.on("POST "+at+"channels/{channel}/delete/{$}", who, s.deleteChannel)
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
