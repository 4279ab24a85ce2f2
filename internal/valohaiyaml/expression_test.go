package valohaiyaml_test

import (
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/valohaiyaml"
)

func lintExpression(text string) string {
	_, findings := valohaiyaml.Parse("f", []byte("- step:\n    name: s\n    image: a\n    command: b\n    stop-condition: |-\n      "+text+"\n"))
	var said []string
	for _, f := range findings {
		said = append(said, f.Message)
	}
	return strings.Join(said, "; ")
}

func TestConditionsOfPythonAreTaken(t *testing.T) {
	for _, text := range []string{
		"a", "accuracy > 0.9", "a and b or not c", "0 < a <= 1 != 2", "a.b.c == 'it'", `a is not None`, "a not in b", "a in b",
		"-a ** -2 > 1e3", "(a + b) * 2 // 3 % 4 / 5 - 6 >= .5", "0x1F == 0b11", "True", "größe > 1", `a == "x\"y"`,
		"a and b and c and d and e and f and g and h and i and j",
	} {
		if said := lintExpression(text); said != "" {
			t.Errorf("%s: %s", text, said)
		}
	}
}

func TestWhatIsNoConditionIsToldWithItsPlace(t *testing.T) {
	for text, want := range map[string]string{
		"a >":                            "it ends too early at character 4",
		"a > > b":                        `">" is not expected at character 5`,
		"a b":                            `"b" is not expected at character 3`,
		"a = 1":                          `'=' has no meaning here at character 3`,
		"'open":                          "the string is not closed at character 1",
		"(a":                             "it ends too early at character 3",
		"a)":                             `")" is not expected`,
		"a.1":                            "is not expected",
		"a.":                             "it ends too early",
		"lambda":                         `"lambda" is not expected`,
		"ü + $":                          `'$' has no meaning here at character 5`,
		"f(x)":                           `"(" is not expected`,
		"a or":                           "it ends too early",
		"a and":                          "it ends too early",
		"not":                            "it ends too early",
		"2 **":                           "it ends too early",
		"a+b+c+d+e+f+g+h+i":              "nested 9 deep, more than 8",
		strings.Repeat("(", 100) + "a":   "too many parentheses",
		strings.Repeat("a**", 100) + "a": "too many parentheses",
		strings.Repeat("not ", 9) + "a":  "deep, more than 8",
		strings.Repeat("-", 9) + "a":     "deep, more than 8",
		"a" + strings.Repeat(".b", 9):    "deep, more than 8",
	} {
		if said := lintExpression(text); !strings.Contains(said, want) {
			t.Errorf("%s: %q, want %q", text, said, want)
		}
	}
}
