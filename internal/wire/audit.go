package wire

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

	Hash     string `json:"hash" doc:"SHA-256 of the row and of the row before it, in hexadecimal"`
	Previous string `json:"previous" doc:"The hash of the row before"`
}
