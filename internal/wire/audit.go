package wire

// AuditEvent is one row of the trail.
type AuditEvent struct {
	ID           int64             `json:"id" doc:"Number of the row; later rows have higher ones"`
	Time         *Time             `json:"time" doc:"When it happened"`
	Actor        string            `json:"actor" doc:"Name of who did it"`
	ActorID      string            `json:"actor_id" doc:"Id of who did it"`
	Remote       string            `json:"remote" doc:"Address that the request came from"`
	Verb         string            `json:"verb" doc:"What was done, such as credential.create"`
	Result       string            `json:"result" doc:"ok, or what it failed with"`
	Organization int64             `json:"organization" doc:"Number of the organisation that it concerns; 0: the installation"`
	ObjectID     string            `json:"object_id" doc:"Id of what it was done to"`
	ObjectName   string            `json:"object_name" doc:"Name of what it was done to"`
	Execution    string            `json:"execution" doc:"Id of the execution that it was done for; empty: none"`
	Details      map[string]string `json:"details" doc:"What else is known, without secrets"`

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
	Results  []AuditEvent `json:"results" doc:"Those of this page"`
}

// AuditPoint is a row of the trail's chain.
type AuditPoint struct {
	ID   int64  `json:"id" doc:"Number of the row"`
	Hash string `json:"hash" doc:"Its hash, in hexadecimal"`
	Time *Time  `json:"time,omitempty" doc:"When what it tells of happened"`
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
	Flaw     string `json:"flaw" enum:"changed,missing,out_of_order,head_differs" doc:"What is wrong with it"`
	Sentence string `json:"sentence" doc:"The same for people"`
}

// AuditVerifyEvent is a line of a verification that is followed: one of the three.
type AuditVerifyEvent struct {
	Progress     *AuditProgress     `json:"progress,omitempty" doc:"How far it is"`
	Verification *AuditVerification `json:"verification,omitempty" doc:"What came of it, at the end"`
	Problem      *Problem           `json:"problem,omitempty" doc:"What kept it from being verified"`
}

// AuditProgress is how many rows were read, out of how many.
type AuditProgress struct {
	Done int64 `json:"done" doc:"Rows that were read"`
	All  int64 `json:"all" doc:"Rows that there are"`
}
