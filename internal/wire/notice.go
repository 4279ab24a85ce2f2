package wire

// NoticeChannel is where notices go: the addresses of some people, or a program
// that listens.
type NoticeChannel struct {
	ID    string `json:"id" doc:"UUID"`
	URL   string `json:"url" doc:"Of this resource"`
	Name  string `json:"name" doc:"Name"`
	Kind  string `json:"kind" doc:"email or webhook"`
	Owner int64  `json:"owner" doc:"The organisation's number; 0: the installation's"`

	Addresses  []string `json:"addresses" doc:"Of an e-mail channel"`
	WebhookURL string   `json:"webhook_url,omitempty" doc:"Where a webhook is sent"`

	Events   []string `json:"events" doc:"What it is told of"`
	Projects []string `json:"projects" doc:"Ids of the projects whose executions are told; empty: all of the organisation"`
	Statuses []string `json:"statuses" doc:"How an execution has to end to be told of"`
	Enabled  bool     `json:"enabled" doc:"Whether it is told of anything"`

	CTime *Time `json:"ctime" doc:"When it was made"`
	MTime *Time `json:"mtime" doc:"When it was changed last"`

	// LastDelivery is what came of the last attempt; null: there was none.
	LastDelivery *NoticeOutcome `json:"last_delivery" doc:"What came of the last attempt; null: there was none"`

	// Secret is a webhook's signing secret, where it was just made; it is shown
	// nowhere else.
	Secret string `json:"secret,omitempty" doc:"Where it was just made; it is shown this once"`
}

// NoticeOutcome is what came of an attempt to deliver.
type NoticeOutcome struct {
	At      *Time  `json:"at" doc:"When it was tried"`
	State   string `json:"state" doc:"delivered, waiting (it is tried again) or given_up"`
	Code    string `json:"code,omitempty" doc:"What went wrong, for programs"`
	Message string `json:"message,omitempty" doc:"What went wrong, for people"`
}

// NewNoticeChannel makes a channel.
type NewNoticeChannel struct {
	Owner        any      `json:"owner,omitempty" required:"false" doc:"The organisation's number or name; absent: the only one that I administer"`
	Installation bool     `json:"installation,omitempty" required:"false" doc:"A channel of the installation, for lost workers (operators)"`
	Name         string   `json:"name" doc:"Name"`
	Kind         string   `json:"kind" doc:"email or webhook"`
	Addresses    []string `json:"addresses,omitempty" required:"false" doc:"Of an e-mail channel"`
	WebhookURL   string   `json:"webhook_url,omitempty" required:"false" doc:"Of a webhook"`
	Events       []string `json:"events,omitempty" required:"false" doc:"Absent: all that such a channel can be told of"`
	Projects     []string `json:"projects,omitempty" required:"false" doc:"Ids or OWNER/NAME"`
	Statuses     []string `json:"statuses,omitempty" required:"false" doc:"complete, error, stopped, crashed; absent: error and crashed"`
}

// NoticeChannelChange changes what is not absent.
type NoticeChannelChange struct {
	Name       *string   `json:"name,omitempty" required:"false" doc:"Name"`
	Addresses  *[]string `json:"addresses,omitempty" required:"false" doc:"Of an e-mail channel"`
	WebhookURL *string   `json:"webhook_url,omitempty" required:"false" doc:"Of a webhook"`
	Events     *[]string `json:"events,omitempty" required:"false" doc:"What it is told of"`
	Projects   *[]string `json:"projects,omitempty" required:"false" doc:"Ids or OWNER/NAME; empty: all of the organisation"`
	Statuses   *[]string `json:"statuses,omitempty" required:"false" doc:"How an execution has to end to be told of"`
	Enabled    *bool     `json:"enabled,omitempty" required:"false" doc:"Whether it is told of anything"`
	NewSecret  bool      `json:"new_secret,omitempty" required:"false" doc:"Make another signing secret; the old one is worth nothing from then on"`
}

// NoticeDelivery is a message on its way to one receiver, or what became of it.
type NoticeDelivery struct {
	ID       string `json:"id" doc:"What the receiver gets as webhook-id or Message-ID, the same at every attempt"`
	Receiver string `json:"receiver,omitempty" doc:"The e-mail address"`
	Event    string `json:"event" doc:"What happened"`
	Title    string `json:"title" doc:"The same in a few words for people"`
	Notices  int    `json:"notices" doc:"How many it tells; more than one in a digest"`
	State    string `json:"state" doc:"waiting, delivered or given_up"`
	Attempts int    `json:"attempts" doc:"How often it was tried"`
	Code     string `json:"code,omitempty" doc:"What went wrong last, for programs"`
	Message  string `json:"message,omitempty" doc:"What went wrong last"`
	CTime    *Time  `json:"ctime" doc:"When it happened"`
	NextAt   *Time  `json:"next_attempt_at" doc:"When it is tried next; null: it is not"`
	DoneAt   *Time  `json:"done_at" doc:"When it arrived or was given up; null: not yet"`
}

// NoticeWish is what a user is mailed of the executions that they start.
type NoticeWish struct {
	Executions []string `json:"executions" doc:"complete, error, stopped, crashed; empty: nothing"`
	Address    string   `json:"address,omitempty" required:"false" doc:"Where the mail goes; read-only"`
}
