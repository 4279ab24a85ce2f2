package grant

import (
	"fmt"
	"time"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/oci"
)

// CheckRequest says which credential is to be checked, and what it is for.
type CheckRequest struct {
	Material Material // as Normalise returned it
	Patterns []image.Pattern

	// Image is tried to be pulled, without downloading it; none where zero.
	Image image.Reference

	// Tell, where it is not nil, is called with each step as it is done, by
	// one goroutine at a time.
	Tell func(Step)
}

// Question is what one step of a check asks.
type Question string

// The questions, in the order in which they are asked.
const (
	// AskSecret is whether the registry accepts the secret.
	AskSecret Question = "secret"

	// AskNarrow is whether a grant can be limited to one repository.
	AskNarrow Question = "narrow"

	// AskRepositories is which repositories it can read.
	AskRepositories Question = "repositories"

	// AskRights is whether it can do more than read.
	AskRights Question = "rights"

	// AskExpiry is when the secret ends, or how old it is.
	AskExpiry Question = "expiry"

	// AskLimit is how much the registry still gives.
	AskLimit Question = "rate-limit"

	// AskImage is whether one image can be pulled.
	AskImage Question = "image"
)

// Result is how a step came out.
type Result string

// The results.
const (
	Passed  Result = "passed"
	Warning Result = "warning" // works, and is unwise or will not for long
	Failed  Result = "failed"  // pulls will fail
	Unknown Result = "unknown" // the registry does not tell
)

// Step is one question of a check and its answer.
type Step struct {
	Question Question
	Result   Result

	// Code is stable: the fault's where it Failed, and one of the kind's own
	// for a Warning; empty otherwise.
	Code     string
	Sentence string // what was found; begins with a capital, ends without a full stop
	Hint     string // the next step, where there is one

	// Policy is a document to paste at the registry: the least rights that
	// serve, ready for this credential.
	Policy string

	Took time.Duration
}

// Report is what a check found.
type Report struct {
	Steps []Step

	// Identity is who the registry says that the credential is: an ARN, a
	// mail address, a user name; empty where it does not tell.
	Identity string

	// Repositories are names of repositories that can be read and that a
	// pattern covers, with their host, sorted; at most MostRepositories.
	// Listed tells that the registry has a list to ask: without it, no
	// repositories means that nobody knows.
	Repositories []string
	Listed       bool

	ExpiresAt time.Time // of the secret; zero: never, or not told
	CreatedAt time.Time // of the secret; zero: not told
	RateLimit *oci.RateLimit

	StartedAt time.Time
	Took      time.Duration
}

// MostRepositories is how many repositories a report names.
const MostRepositories = 100

// Failed is the first step that failed; false where none did.
func (r Report) Failed() (Step, bool) {
	for _, step := range r.Steps {
		if step.Result == Failed {
			return step, true
		}
	}
	return Step{}, false
}

// Checkup is a check under way. A kind's Check tells it each step as it is
// done; it is used by one goroutine.
type Checkup struct {
	report Report
	now    func() time.Time
	tell   func(Step)
	begin  time.Time // of the step under way
}

func newCheckup(now func() time.Time, tell func(Step)) *Checkup {
	begin := now()
	return &Checkup{report: Report{StartedAt: begin}, now: now, tell: tell, begin: begin}
}

// Report is what was found up to now, for the kind to fill in who the
// credential is, what it can read, and when it ends.
func (c *Checkup) Report() *Report { return &c.report }

// Step adds a step that took from the end of the last one until now.
func (c *Checkup) Step(step Step) {
	now := c.now()
	step.Took = now.Sub(c.begin)
	c.begin = now
	c.report.Steps = append(c.report.Steps, step)
	if c.tell != nil {
		c.tell(step)
	}
}

// Passed adds a step that came out right.
func (c *Checkup) Passed(question Question, sentence string) {
	c.Step(Step{Question: question, Result: Passed, Sentence: sentence})
}

// Warn adds a step that warns; policy may be empty.
func (c *Checkup) Warn(question Question, code, sentence, hint, policy string) {
	c.Step(Step{Question: question, Result: Warning, Code: code, Sentence: sentence, Hint: hint, Policy: policy})
}

// Unknown adds a step that the registry does not answer.
func (c *Checkup) Unknown(question Question, sentence, hint string) {
	c.Step(Step{Question: question, Result: Unknown, Sentence: sentence, Hint: hint})
}

// Failed adds a step that failed with an error, which should be a fault.
func (c *Checkup) Failed(question Question, err error) {
	f := fault.From(err)
	c.Step(Step{Question: question, Result: Failed, Code: f.Code, Sentence: f.Message, Hint: f.Hint})
}

func (c *Checkup) done() Report {
	c.report.Took = c.now().Sub(c.report.StartedAt)
	return c.report
}

// counted is a number of things for a sentence.
func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprint(n, " ", many)
}
