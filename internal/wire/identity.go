package wire

import "time"

// Identity is a subject of a provider elsewhere that a user signs in with.
type Identity struct {
	Issuer  string `json:"issuer" doc:"The provider's name of itself"`
	Subject string `json:"subject" doc:"What the provider knows the person by"`

	Username   string     `json:"username" doc:"What the provider last called the person"`
	Email      string     `json:"email" doc:"Address that the provider last told; nothing is decided by it"`
	CreatedAt  time.Time  `json:"ctime" doc:"When it was linked"`
	LastUsedAt *time.Time `json:"last_used_at" doc:"null: never"`
}

// NewIdentity links an identity.
type NewIdentity struct {
	Issuer  string `json:"issuer" doc:"The provider's name of itself: the issuer of its tokens"`
	Subject string `json:"subject" doc:"What the provider knows the person by: the subject of its tokens"`
}
