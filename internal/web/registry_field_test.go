package web

import (
	"slices"
	"testing"
)

func TestCommandsInAHintAreToldFromItsWords(t *testing.T) {
	for text, want := range map[string][]prose{
		"no command":               {{"no command", false}},
		"say `fairlead x` and `y`": {{"say ", false}, {"fairlead x", true}, {" and ", false}, {"y", true}},
		"one ` alone":              {{"one ` alone", false}},
		"":                         nil,
	} {
		if got := proseOf(text); !slices.Equal(got, want) {
			t.Errorf("%q is %+v", text, got)
		}
	}
}
