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
}

// Credential is a registry credential without its secrets.
type Credential struct {
	ID            string   `json:"id"`
	URL           string   `json:"url"`
	Name          string   `json:"name"`
	Type          string   `json:"type"`
	ImagePattern  string   `json:"image_pattern" doc:"The first of image_patterns"`
	ImagePatterns []string `json:"image_patterns"`
	Owner         int64    `json:"owner" doc:"The organisation's number"`

	// Configuration are the fields that are no secret.
	Configuration map[string]string `json:"configuration"`

	CTime      *Time `json:"ctime"`
	MTime      *Time `json:"mtime"`
	ExpiresAt  *Time `json:"expires_at"`
	LastUsedAt *Time `json:"last_used_at"`

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

// AuditEvent is one row of the trail.
type AuditEvent struct {
	ID           int64             `json:"id"`
	Time         *Time             `json:"time"`
	Actor        string            `json:"actor"`
	ActorID      string            `json:"actor_id"`
	Remote       string            `json:"remote"`
	Verb         string            `json:"verb"`
	Result       string            `json:"result"`
	Organization int64             `json:"organization"`
	ObjectID     string            `json:"object_id"`
	ObjectName   string            `json:"object_name"`
	Execution    string            `json:"execution"`
	Details      map[string]string `json:"details"`
}
