package wire

// Session is a browser that somebody signed in with, without its text.
type Session struct {
	ID         string `json:"id" doc:"UUID"`
	Agent      string `json:"agent" doc:"What the browser says that it is"`
	Remote     string `json:"remote" doc:"The address that it was last used from"`
	CTime      *Time  `json:"ctime" doc:"When the browser was signed in"`
	LastUsedAt *Time  `json:"last_used_at" doc:"To five minutes"`
	EndsAt     *Time  `json:"ends_at" doc:"When it ends if it is not used again"`
	URL        string `json:"url" doc:"Of this resource"`
}

// TOTPState tells of the caller's second factor.
type TOTPState struct {
	On            bool  `json:"on" doc:"Whether a code is asked for at sign-in"`
	Since         *Time `json:"since" doc:"When it was turned on; null: it is off"`
	RecoveryCodes int   `json:"recovery_codes" doc:"How many are left"`
}

// TOTPEnrolment is the key of a second factor that is not on yet, which is shown
// this once.
type TOTPEnrolment struct {
	Key        string `json:"key" doc:"To type into the app"`
	OTPAuthURL string `json:"otpauth_url" doc:"The same as an address, which apps read as a QR code"`
}

// TOTPCode is a code of the new key.
type TOTPCode struct {
	Code NewPassword `json:"code" doc:"Six digits that the app shows"`
}

// TOTPConfirmed are the recovery codes, which are shown this once.
type TOTPConfirmed struct {
	RecoveryCodes []string `json:"recovery_codes" doc:"Each stands in for a code once; shown this once"`
}

// TOTPDisable turns the second factor off.
type TOTPDisable struct {
	Password NewPassword `json:"password" doc:"The caller's password"`
	Code     NewPassword `json:"code" doc:"A code that the app shows, or a recovery code"`
}
