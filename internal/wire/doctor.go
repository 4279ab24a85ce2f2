package wire

// Doctor is what a server found when it looked at itself.
type Doctor struct {
	At       Time      `json:"at" doc:"By the server's clock"`
	Findings []Finding `json:"findings" doc:"What was looked at, and what came of it"`
}

// Finding is one thing that was looked at.
type Finding struct {
	Part     string `json:"part" doc:"What was looked at, such as database or keys"`
	Result   string `json:"result" enum:"ok,warn,fail" doc:"Whether it is as it should be; fail: something does not work until it is mended"`
	Code     string `json:"code,omitempty" doc:"Of the fault that was found"`
	Sentence string `json:"sentence" doc:"What was found, for people"`
	Next     string `json:"next,omitempty" doc:"What to do"`
}

// Results of a finding.
const (
	FindingOK   = "ok"
	FindingWarn = "warn"
	FindingFail = "fail"
)
