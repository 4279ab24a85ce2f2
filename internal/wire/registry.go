package wire

// CredentialKind describes one kind of registry credential.
type CredentialKind struct {
	Type   string            `json:"type" doc:"The kind's name, as it is sent"`
	Title  string            `json:"title" doc:"The kind's name for people"`
	Fields []CredentialField `json:"fields" doc:"What its configuration has"`
}

// CredentialField is one field of a kind's configuration.
type CredentialField struct {
	Name     string `json:"name" doc:"Name in the configuration"`
	Title    string `json:"title" doc:"Name for people"`
	Help     string `json:"help" doc:"What to put there, and where to get it"`
	Secret   bool   `json:"secret" doc:"Whether it is sealed and never shown"`
	Required bool   `json:"required" doc:"Whether it must be there"`
	Lines    bool   `json:"lines,omitempty" doc:"May hold line breaks: a key file, certificates"`
	Advanced bool   `json:"advanced,omitempty" doc:"Needed by few"`
}

// Credential is a registry credential without its secrets.
type Credential struct {
	ID            string   `json:"id" doc:"UUID"`
	URL           string   `json:"url" doc:"Of this resource"`
	Name          string   `json:"name" doc:"Name"`
	Kind          string   `json:"kind" doc:"The kind"`
	Type          string   `json:"type" doc:"The kind, as existing clients of the API call it: docker for generic and docker-hub, gcp-cr for gcp"`
	ImagePattern  string   `json:"image_pattern" doc:"The first of image_patterns"`
	ImagePatterns []string `json:"image_patterns" doc:"Which images it is for; the most specific pattern wins"`
	Owner         int64    `json:"owner" doc:"The organisation's number"`

	// Configuration are the fields that are no secret.
	Configuration map[string]string `json:"configuration" doc:"The kind's fields that are no secret"`

	CTime      *Time `json:"ctime" doc:"When it was made"`
	MTime      *Time `json:"mtime" doc:"When it was changed last"`
	ExpiresAt  *Time `json:"expires_at" doc:"When its secret ends, as an admin said; null: not said"`
	LastUsedAt *Time `json:"last_used_at" doc:"When a grant was made of it last; null: never"`

	// State is the credential's standing at a glance, and Check what the
	// registry answered last; absent before the first check of this secret.
	State string `json:"state" enum:"unchecked,works,warning,expiring,fails" doc:"Its standing at a glance"`
	Check *Check `json:"check,omitempty" doc:"What the registry answered last; absent: this secret was not checked yet"`

	// Held is until when a secret that this one took the place of is kept.
	HeldUntil *Time `json:"held_until,omitempty" doc:"Until when the secret that this one took the place of is kept"`

	// Warnings are on the answer to a change alone.
	Warnings []string `json:"warnings,omitempty" doc:"What an admin should know; on the answer to a change alone"`
}

// CredentialChange makes or changes a credential; what is absent stays. The
// patterns are ImagePattern and ImagePatterns together.
type CredentialChange struct {
	Type          string            `json:"type,omitempty" required:"false" doc:"The kind; needed to make one, and cannot be changed"`
	Name          *string           `json:"name,omitempty" required:"false" doc:"Name; absent: the first pattern"`
	ImagePattern  string            `json:"image_pattern,omitempty" required:"false" doc:"One pattern, beside image_patterns"`
	ImagePatterns []string          `json:"image_patterns,omitempty" required:"false" doc:"Which images it is for"`
	Owner         any               `json:"owner,omitempty" required:"false" doc:"The organisation's number or name"`
	Configuration map[string]string `json:"configuration,omitempty" required:"false" doc:"The kind's fields, secrets included"`
	ExpiresAt     *Time             `json:"expires_at,omitempty" required:"false" doc:"When its secret ends"`

	// Check says whether the registry is asked at once what the credential is
	// good for; true if absent.
	Check *bool `json:"check,omitempty" required:"false" doc:"Whether the registry is asked at once what it is good for; absent: yes"`
}

// CredentialRotation says what takes a secret's place: the fields given, or a
// secret that the registry makes, or the one that was replaced last.
type CredentialRotation struct {
	Configuration map[string]string `json:"configuration,omitempty" required:"false" doc:"The kind's fields, secrets included"`
	Renew         bool              `json:"renew,omitempty" required:"false" doc:"Have the registry make the new secret"`
	Back          bool              `json:"back,omitempty" required:"false" doc:"Go back to the secret that was replaced last"`
	ExpiresAt     *Time             `json:"expires_at,omitempty" required:"false" doc:"When the new secret ends"`
	Check         *bool             `json:"check,omitempty" required:"false" doc:"False uses the new secret without asking the registry"`
}

// CheckRequest asks for a check of a credential.
type CheckRequest struct {
	Image string `json:"image,omitempty" required:"false" doc:"An image that is tried to be pulled, without downloading it"`
}

// Check is what the registry answered about a credential.
type Check struct {
	At           *Time       `json:"at" doc:"When it was made"`
	Milliseconds int64       `json:"milliseconds" doc:"How long it took"`
	Identity     string      `json:"identity,omitempty" doc:"Who the registry says that the credential is"`
	Steps        []CheckStep `json:"steps" doc:"What was asked, in order"`

	Repositories []string `json:"repositories,omitempty" doc:"That it can read and that a pattern covers; not all where there are many"`
	Listed       bool     `json:"listed" doc:"Whether the registry has a list to ask"`

	SecretExpiresAt *Time      `json:"secret_expires_at,omitempty" doc:"When the secret ends, as the registry says"`
	SecretCreatedAt *Time      `json:"secret_created_at,omitempty" doc:"When the secret was made, as the registry says"`
	RateLimit       *RateLimit `json:"rate_limit,omitempty" doc:"What the registry said of how much it still gives"`
}

// CheckStep is one question of a check and its answer.
type CheckStep struct {
	Question     string `json:"question" doc:"What was asked"`
	Result       string `json:"result" enum:"passed,warning,failed,unknown" doc:"What came of it"`
	Code         string `json:"code,omitempty" doc:"What went wrong, for programs"`
	Sentence     string `json:"sentence" doc:"The answer for people"`
	Hint         string `json:"hint,omitempty" doc:"What to do next"`
	Policy       string `json:"policy,omitempty" doc:"A document to paste at the registry"`
	Milliseconds int64  `json:"milliseconds" doc:"How long it took"`
}

// RateLimit is how much a registry still gives.
type RateLimit struct {
	Limit         int    `json:"limit" doc:"Pulls in the window"`
	Remaining     int    `json:"remaining" doc:"Pulls that are left"`
	WindowSeconds int64  `json:"window_seconds,omitempty" doc:"How long the window is; 0: not said"`
	Source        string `json:"source,omitempty" doc:"Whom it is counted for, as the registry says"`
}

// CheckEvent is one line of a check that is followed: a step, or at the end the
// credential, or what kept the check from being made.
type CheckEvent struct {
	Step       *CheckStep  `json:"step,omitempty" doc:"A step that was done"`
	Credential *Credential `json:"credential,omitempty" doc:"The credential, at the end"`
	Problem    *Problem    `json:"problem,omitempty" doc:"What kept the check from being made"`
}

// ImageCheckRequest asks whether a project could pull an image now.
type ImageCheckRequest struct {
	Project string `json:"project" doc:"Id, name or OWNER/NAME"`
	Image   string `json:"image" doc:"Name of the image"`
}

// ImageCheck is the answer.
type ImageCheck struct {
	Image      string `json:"image" doc:"The name as it is matched"`
	Credential string `json:"credential,omitempty" doc:"Name of the credential; absent: none"`
	Type       string `json:"type,omitempty" doc:"Kind of the credential"`
	Pattern    string `json:"pattern,omitempty" doc:"The pattern by which it covers the image"`
	Sentence   string `json:"sentence" doc:"The whole for people"`
	Digest     string `json:"digest,omitempty" doc:"Digest of the image's manifest"`
	Narrow     bool   `json:"narrow" doc:"The grant is limited to this repository"`

	// Failure is why it cannot be pulled.
	Failure *Failure `json:"failure,omitempty" doc:"Why it cannot be pulled; absent: it can"`

	GrantMilliseconds    int64 `json:"grant_milliseconds" doc:"How long the grant took"`
	ManifestMilliseconds int64 `json:"manifest_milliseconds" doc:"How long the manifest took"`
}

// Explanation says which credential an image would be pulled with, and why.
type Explanation struct {
	Image    string `json:"image" doc:"The name as it is matched"`
	Project  string `json:"project" doc:"Id of the project"`
	Personal bool   `json:"personal" doc:"A personal project uses no credential of any organisation"`

	// Sentence is the whole in one sentence.
	Sentence string `json:"sentence" doc:"The whole in one sentence"`

	// Candidates all cover the image; the first is the one that is used.
	Candidates []Candidate `json:"candidates" doc:"Credentials that cover the image; the first is the one that is used"`

	// NearMisses almost cover it.
	NearMisses []NearMiss `json:"near_misses" doc:"Credentials that almost cover it"`
}

// Candidate is a credential that covers an image.
type Candidate struct {
	ID      string `json:"id" doc:"UUID of the credential"`
	Name    string `json:"name" doc:"Its name"`
	Type    string `json:"type" doc:"Its kind"`
	Pattern string `json:"pattern" doc:"The pattern that covers the image"`
	Reason  string `json:"reason" doc:"Why it goes before the next"`
}

// NearMiss is a credential that would cover an image but for a little.
type NearMiss struct {
	ID      string `json:"id" doc:"UUID of the credential"`
	Name    string `json:"name" doc:"Its name"`
	Type    string `json:"type" doc:"Its kind"`
	Pattern string `json:"pattern" doc:"The pattern that almost covers it"`
	Reason  string `json:"reason" doc:"What differs"`
}

// KeyRotation is what became of a rotation of the sealing keys.
type KeyRotation struct {
	KeyID    uint32 `json:"key_id" doc:"Id of the new key"`
	Resealed int    `json:"resealed" doc:"How many secrets were sealed anew"`
	Retired  int    `json:"retired" doc:"How many old keys left the file"`
}
