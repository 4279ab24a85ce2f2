package wire

// CredentialKind describes one kind of registry credential.
type CredentialKind struct {
	Type   string            `json:"type"`
	Title  string            `json:"title"`
	Fields []CredentialField `json:"fields"`
}

// CredentialField is one field of a kind's configuration.
type CredentialField struct {
	Name     string `json:"name"`
	Title    string `json:"title"`
	Help     string `json:"help"`
	Secret   bool   `json:"secret"`
	Required bool   `json:"required"`
	Lines    bool   `json:"lines,omitempty" doc:"May hold line breaks: a key file, certificates"`
	Advanced bool   `json:"advanced,omitempty" doc:"Needed by few"`
}

// Credential is a registry credential without its secrets.
type Credential struct {
	ID            string   `json:"id"`
	URL           string   `json:"url"`
	Name          string   `json:"name"`
	Kind          string   `json:"kind"`
	Type          string   `json:"type" doc:"The kind, as existing clients of the API call it: docker for generic and docker-hub, gcp-cr for gcp"`
	ImagePattern  string   `json:"image_pattern" doc:"The first of image_patterns"`
	ImagePatterns []string `json:"image_patterns"`
	Owner         int64    `json:"owner" doc:"The organisation's number"`

	// Configuration are the fields that are no secret.
	Configuration map[string]string `json:"configuration"`

	CTime      *Time `json:"ctime"`
	MTime      *Time `json:"mtime"`
	ExpiresAt  *Time `json:"expires_at"`
	LastUsedAt *Time `json:"last_used_at"`

	// State is the credential's standing at a glance, and Check what the
	// registry answered last; absent before the first check of this secret.
	State string `json:"state" enum:"unchecked,works,warning,expiring,fails"`
	Check *Check `json:"check,omitempty"`

	// Held is until when a secret that this one took the place of is kept.
	HeldUntil *Time `json:"held_until,omitempty"`

	// Warnings are on the answer to a change alone.
	Warnings []string `json:"warnings,omitempty"`
}

// CredentialChange makes or changes a credential; what is absent stays. The
// patterns are ImagePattern and ImagePatterns together.
type CredentialChange struct {
	Type          string            `json:"type,omitempty" required:"false"`
	Name          *string           `json:"name,omitempty" required:"false"`
	ImagePattern  string            `json:"image_pattern,omitempty" required:"false"`
	ImagePatterns []string          `json:"image_patterns,omitempty" required:"false"`
	Owner         any               `json:"owner,omitempty" required:"false" doc:"The organisation's number or name"`
	Configuration map[string]string `json:"configuration,omitempty" required:"false" doc:"The kind's fields, secrets included"`
	ExpiresAt     *Time             `json:"expires_at,omitempty" required:"false"`

	// Check says whether the registry is asked at once what the credential is
	// good for; true if absent.
	Check *bool `json:"check,omitempty" required:"false"`
}

// CredentialRotation says what takes a secret's place: the fields given, or a
// secret that the registry makes, or the one that was replaced last.
type CredentialRotation struct {
	Configuration map[string]string `json:"configuration,omitempty" required:"false" doc:"The kind's fields, secrets included"`
	Renew         bool              `json:"renew,omitempty" required:"false" doc:"Have the registry make the new secret"`
	Back          bool              `json:"back,omitempty" required:"false" doc:"Go back to the secret that was replaced last"`
	ExpiresAt     *Time             `json:"expires_at,omitempty" required:"false"`
	Check         *bool             `json:"check,omitempty" required:"false" doc:"False uses the new secret without asking the registry"`
}

// CheckRequest asks for a check of a credential.
type CheckRequest struct {
	Image string `json:"image,omitempty" required:"false" doc:"An image that is tried to be pulled, without downloading it"`
}

// Check is what the registry answered about a credential.
type Check struct {
	At           *Time       `json:"at"`
	Milliseconds int64       `json:"milliseconds" doc:"How long it took"`
	Identity     string      `json:"identity,omitempty" doc:"Who the registry says that the credential is"`
	Steps        []CheckStep `json:"steps"`

	Repositories []string `json:"repositories,omitempty" doc:"That it can read and that a pattern covers; not all where there are many"`
	Listed       bool     `json:"listed" doc:"Whether the registry has a list to ask"`

	SecretExpiresAt *Time      `json:"secret_expires_at,omitempty"`
	SecretCreatedAt *Time      `json:"secret_created_at,omitempty"`
	RateLimit       *RateLimit `json:"rate_limit,omitempty"`
}

// CheckStep is one question of a check and its answer.
type CheckStep struct {
	Question     string `json:"question"`
	Result       string `json:"result" enum:"passed,warning,failed,unknown"`
	Code         string `json:"code,omitempty"`
	Sentence     string `json:"sentence"`
	Hint         string `json:"hint,omitempty"`
	Policy       string `json:"policy,omitempty" doc:"A document to paste at the registry"`
	Milliseconds int64  `json:"milliseconds"`
}

// RateLimit is how much a registry still gives.
type RateLimit struct {
	Limit         int    `json:"limit"`
	Remaining     int    `json:"remaining"`
	WindowSeconds int64  `json:"window_seconds,omitempty"`
	Source        string `json:"source,omitempty"`
}

// CheckEvent is one line of a check that is followed: a step, or at the end the
// credential, or what kept the check from being made.
type CheckEvent struct {
	Step       *CheckStep  `json:"step,omitempty"`
	Credential *Credential `json:"credential,omitempty"`
	Problem    *Problem    `json:"problem,omitempty"`
}

// ImageCheckRequest asks whether a project could pull an image now.
type ImageCheckRequest struct {
	Project string `json:"project"`
	Image   string `json:"image"`
}

// ImageCheck is the answer.
type ImageCheck struct {
	Image      string `json:"image" doc:"The name as it is matched"`
	Credential string `json:"credential,omitempty"`
	Type       string `json:"type,omitempty"`
	Pattern    string `json:"pattern,omitempty"`
	Sentence   string `json:"sentence"`
	Digest     string `json:"digest,omitempty"`
	Narrow     bool   `json:"narrow" doc:"The grant is limited to this repository"`

	// Failure is why it cannot be pulled.
	Failure *Failure `json:"failure,omitempty"`

	GrantMilliseconds    int64 `json:"grant_milliseconds"`
	ManifestMilliseconds int64 `json:"manifest_milliseconds"`
}

// Explanation says which credential an image would be pulled with, and why.
type Explanation struct {
	Image    string `json:"image" doc:"The name as it is matched"`
	Project  string `json:"project"`
	Personal bool   `json:"personal" doc:"A personal project uses no credential of any organisation"`

	// Sentence is the whole in one sentence.
	Sentence string `json:"sentence"`

	// Candidates all cover the image; the first is the one that is used.
	Candidates []Candidate `json:"candidates"`

	// NearMisses almost cover it.
	NearMisses []NearMiss `json:"near_misses"`
}

// Candidate is a credential that covers an image.
type Candidate struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Type    string `json:"type"`
	Pattern string `json:"pattern"`
	Reason  string `json:"reason" doc:"Why it goes before the next"`
}

// NearMiss is a credential that would cover an image but for a little.
type NearMiss struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Type    string `json:"type"`
	Pattern string `json:"pattern"`
	Reason  string `json:"reason" doc:"What differs"`
}

// KeyRotation is what became of a rotation of the sealing keys.
type KeyRotation struct {
	KeyID    uint32 `json:"key_id"`
	Resealed int    `json:"resealed"`
	Retired  int    `json:"retired"`
}
