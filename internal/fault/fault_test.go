package fault_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/fault"
)

func TestAnErrorThatIsNoFaultTellsAPersonNothingOfItsCause(t *testing.T) {
	f := fault.From(errors.New("pq: password hunter2"))
	if f.Kind != fault.Internal {
		t.Errorf("kind = %q, want internal", f.Kind)
	}
	if strings.Contains(f.Sentence(), "hunter2") {
		t.Errorf("the sentence shows the cause: %q", f.Sentence())
	}
	if !strings.Contains(f.Error(), "hunter2") {
		t.Errorf("the operator's text hides the cause: %q", f.Error())
	}
}

func TestAWrappedFaultKeepsItsKindAndCause(t *testing.T) {
	err := fmt.Errorf("reading the row: %w", fault.New(fault.NotFound, "project_unknown", "no project %q", "p").WithCause(io.EOF))
	if !fault.Is(err, fault.NotFound) {
		t.Errorf("kind = %q, want not_found", fault.KindOf(err))
	}
	if !errors.Is(err, io.EOF) {
		t.Error("the cause is lost")
	}
}

func TestASentenceEndsWithItsHint(t *testing.T) {
	f := fault.New(fault.Denied, "x", "you may not do this").WithHint("Ask an admin of %s.", "acme")
	if want := "you may not do this. Ask an admin of acme."; f.Sentence() != want {
		t.Errorf("sentence = %q, want %q", f.Sentence(), want)
	}
}

func TestJoinTellsEveryFieldAtOnceAndNothingForNoError(t *testing.T) {
	if err := fault.Join(nil, nil); err != nil {
		t.Errorf("Join of nothing = %v", err)
	}
	err := fault.Join(fault.InvalidField("name", "blank", "must not be empty"), nil,
		fault.InvalidField("kind", "unknown", "%q is no kind", "x"))
	f := fault.From(err)
	if len(f.Fields) != 2 || f.Fields[0].Name != "name" || f.Fields[1].Message != `"x" is no kind` {
		t.Errorf("fields = %+v", f.Fields)
	}
	denied := fault.New(fault.Denied, "no", "no")
	if got := fault.Join(fault.InvalidField("a", "b", "c"), denied); !errors.Is(got, error(denied)) {
		t.Errorf("Join hid an error that is not about input: %v", got)
	}
}
