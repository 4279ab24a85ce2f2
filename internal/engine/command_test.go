package engine_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/engine"
)

func TestArgumentsTakeThePlaceOfCmdAndFollowTheEntrypoint(t *testing.T) {
	for name, test := range map[string]struct{ entrypoint, cmd, args, want []string }{
		"an entrypoint gets the image's cmd": {[]string{"/run"}, []string{"a"}, nil, []string{"/run", "a"}},
		"arguments win over cmd":             {[]string{"/run"}, []string{"a"}, []string{"b", "c"}, []string{"/run", "b", "c"}},
		"cmd alone is the command":           {nil, []string{"sh"}, nil, []string{"sh"}},
		"nothing is nothing":                 {nil, nil, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, engine.Command(test.entrypoint, test.cmd, test.args)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestALaterEnvironmentWinsAndLinesThatAreNoPairAreLeftOut(t *testing.T) {
	got := engine.Environ([]string{"A=1", "B=2", "C"}, []string{"A=3", "=x", "D=a=b"})
	if diff := cmp.Diff([]string{"A=3", "B=2", "D=a=b"}, got); diff != "" {
		t.Error(diff)
	}
}
