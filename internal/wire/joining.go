package wire

// Invitation lets whoever has its text become a member of an organisation, once.
type Invitation struct {
	ID           string `json:"id" doc:"UUID; it is not the text"`
	Organization string `json:"organization" doc:"Name of the organisation that it is to"`
	Email        string `json:"email" doc:"Whom it is for; empty: anybody who has it"`
	Role         string `json:"role" doc:"What who accepts it becomes there: admin or member"`
	InvitedBy    string `json:"invited_by" doc:"Name of the admin who made it"`
	CTime        *Time  `json:"ctime" doc:"When it was made"`
	ExpiresAt    *Time  `json:"expires_at" doc:"When it ends"`
}

// NewInvitation makes an invitation.
type NewInvitation struct {
	Email     string `json:"email,omitempty" required:"false" doc:"Whom it is for, and mailed to where the server has a mail server"`
	Role      string `json:"role,omitempty" required:"false" doc:"admin or member; absent: member"`
	ExpiresAt *Time  `json:"expires_at,omitempty" required:"false" doc:"At most 30 days ahead; absent: in seven days"`
}

// CreatedInvitation is an invitation with its text, which is shown this once.
type CreatedInvitation struct {
	Invitation
	Text string `json:"token" doc:"Shown this once"`
	Link string `json:"link" doc:"Where a browser accepts it; it holds the text"`

	Mailed      bool   `json:"mailed" doc:"Whether it was mailed to the address"`
	MailProblem string `json:"mail_problem,omitempty" doc:"Why it was not mailed, where that was tried"`
}

// InvitationText is an invitation as whoever was invited has it.
type InvitationText struct {
	Text NewPassword `json:"token" doc:"The invitation's text, fli_…"`
}

// AcceptInvitation makes a new user a member.
type AcceptInvitation struct {
	Text     NewPassword `json:"token" doc:"The invitation's text, fli_…"`
	Username string      `json:"username" doc:"What the user will sign in with: letters, digits, dots, dashes and underscores"`
	Email    string      `json:"email,omitempty" required:"false" doc:"Absent: the invitation's"`
	Password NewPassword `json:"password" doc:"What the user will sign in with"`
}

// JoinedOrganization is what somebody became a member of.
type JoinedOrganization struct {
	Organization string `json:"organization" doc:"Name of the organisation"`
	Username     string `json:"username" doc:"Name of who is a member now"`
	Role         string `json:"role" doc:"Their role there: admin or member"`
}

// NewDeviceLogin asks to sign a machine in.
type NewDeviceLogin struct {
	Name string `json:"name" doc:"What the machine calls itself, and the token is called"`
}

// DeviceLogin is what a machine shows and asks with; the names are those of RFC 8628.
type DeviceLogin struct {
	DeviceCode      string `json:"device_code" doc:"What the machine asks for its token with; a secret"`
	UserCode        string `json:"user_code" doc:"What a person types"`
	VerificationURI string `json:"verification_uri" doc:"Where they type it"`
	ExpiresIn       int    `json:"expires_in" doc:"In seconds"`
	Interval        int    `json:"interval" doc:"Seconds between two questions, at least"`
}

// DevicePoll asks for the token of a machine.
type DevicePoll struct {
	DeviceCode NewPassword `json:"device_code" doc:"The machine's secret, fld_…, of the answer to its asking"`
}

// DeviceCode names a machine that waits by the code that it shows.
type DeviceCode struct {
	UserCode string `json:"user_code" doc:"What the machine shows, as WDJB-MJHT; small letters and no dash will do"`
}

// DeviceQuestion is what somebody decides on.
type DeviceQuestion struct {
	Name      string `json:"name" doc:"The machine, as it calls itself"`
	Remote    string `json:"remote" doc:"The address that it asked from"`
	CTime     *Time  `json:"ctime" doc:"When it asked"`
	ExpiresAt *Time  `json:"expires_at" doc:"Until when it can be decided on"`
}
