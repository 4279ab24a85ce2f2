package cli

import (
	"fmt"
	"io"
	"path/filepath"

	"github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"

	"fairlead.dev/fairlead/internal/valohaiyaml"
)

// printSARIF prints findings in the form that code hosts and editors read.
// https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
func printSARIF(w io.Writer, name string, findings valohaiyaml.Findings) error {
	levels := map[valohaiyaml.Severity]string{
		valohaiyaml.Error: sarif.LevelError, valohaiyaml.Warning: sarif.LevelWarning, valohaiyaml.Hint: sarif.LevelNote,
	}
	run := sarif.NewRunWithInformationURI("fairlead", "https://fairlead.dev/")
	for _, finding := range findings {
		run.AddRule(finding.Code)
		text := finding.Message
		if finding.Mend != "" {
			text += ". " + finding.Mend
		}
		run.CreateResultForRule(finding.Code).
			WithLevel(levels[finding.Severity]).
			WithMessage(sarif.NewTextMessage(text)).
			AddLocation(sarif.NewLocationWithPhysicalLocation(
				sarif.NewPhysicalLocation().
					WithArtifactLocation(sarif.NewSimpleArtifactLocation(filepath.ToSlash(name))).
					WithRegion(sarif.NewRegion().WithStartLine(max(finding.Line, 1)).WithStartColumn(max(finding.Column, 1))),
			))
	}
	report := sarif.NewReport()
	report.AddRun(run)
	if err := report.PrettyWrite(w); err != nil {
		return fmt.Errorf("printing SARIF: %w", err)
	}
	return nil
}
