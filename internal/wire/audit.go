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

	Unreadable bool `json:"unreadable,omitempty" doc:"The row was changed in the database so that it cannot be read: there is nothing but its id"`
}

// AuditList is a page of the trail, the newest row first.
type AuditList struct {
	Count    int          `json:"count" doc:"How many there are on all pages, at most 1,000"`
	More     bool         `json:"more" doc:"Whether there are more than that"`
	Next     *string      `json:"next" doc:"Address of the next page, of older rows"`
	Previous *string      `json:"previous" doc:"Always null: newer rows are at the address without before"`
	Results  []AuditEvent `json:"results"`
}

// AuditPoint is a row of the trail's chain.
type AuditPoint struct {
	ID   int64  `json:"id"`
	Hash string `json:"hash"`
	Time *Time  `json:"time,omitempty"`
}

// AuditVerification is what became of verifying the whole chain.
type AuditVerification struct {
	Intact bool  `json:"intact" doc:"Whether every row is there as it was written, and a noted head is in the chain"`
	Count  int64 `json:"count" doc:"How many rows were read and are right"`

	First *AuditPoint `json:"first" doc:"The first of them"`
	Last  *AuditPoint `json:"last" doc:"The last of them"`
	Head  AuditPoint  `json:"head" doc:"The newest row when verifying began; id 0: there is none"`

	Absent int64 `json:"absent,omitempty" doc:"Of an exported file: how many rows between the first and the last are not in it"`

	Removed *AuditPoint `json:"removed,omitempty" doc:"The newest row that was removed for its age"`

	Noted string     `json:"noted,omitempty" enum:"there,removed,wrong" doc:"What became of the head that was noted"`
	Flaw  *AuditFlaw `json:"flaw,omitempty" doc:"The first thing that is wrong"`
}

// AuditFlaw is the first thing that is wrong with the chain.
type AuditFlaw struct {
	ID       int64  `json:"id" doc:"The row"`
	Flaw     string `json:"flaw" enum:"changed,missing,out_of_order,head_differs"`
	Sentence string `json:"sentence"`
}

// AuditVerifyEvent is a line of a verification that is followed: one of the three.
type AuditVerifyEvent struct {
	Progress     *AuditProgress     `json:"progress,omitempty"`
	Verification *AuditVerification `json:"verification,omitempty"`
	Problem      *Problem           `json:"problem,omitempty"`
}

// AuditProgress is how many rows were read, out of how many.
type AuditProgress struct {
	Done int64 `json:"done"`
	All  int64 `json:"all"`
}
