package wire

// Doctor is what a server found when it looked at itself.
type Doctor struct {
	At       Time      `json:"at" doc:"By the server's clock"`
	Findings []Finding `json:"findings"`
}

// Finding is one thing that was looked at.
type Finding struct {
	Part     string `json:"part"`
	Result   string `json:"result" enum:"ok,warn,fail"`
	Code     string `json:"code,omitempty" doc:"Of the fault that was found"`
	Sentence string `json:"sentence"`
	Next     string `json:"next,omitempty" doc:"What to do"`
}

// Results of a finding.
const (
	FindingOK   = "ok"
	FindingWarn = "warn"
	FindingFail = "fail"
)
