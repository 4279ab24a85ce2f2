package worker

import (
	"strings"
	"sync"
	"testing"

	"fairlead.dev/fairlead/internal/execution"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/wire"
)

func TestSecretsAreHiddenInTheLogWhateverLineTheyAreOn(t *testing.T) {
	hidden := newMask(map[string]wire.OpenSecret{
		"KEY":   {Text: secret.New("hunter2-hunter2")},
		"PART":  {Text: secret.New("hunter2")},
		"LINES": {Text: secret.New("-----BEGIN KEY-----\nMIIEpAIBAAKCAQEA\n-----END KEY-----\n")},
		"SHORT": {Text: secret.New("abc")},
		"EMPTY": {},
	})
	for text, want := range map[string]string{
		"key=hunter2-hunter2 part=hunter2": "key=*** part=***",
		"MIIEpAIBAAKCAQEA":                 "***",
		"abc and nothing else":             "abc and nothing else",
	} {
		if got := hidden.over(text); got != want {
			t.Errorf("%q shows as %q, not %q", text, got, want)
		}
	}
	if got := (mask{}).over("hunter2"); got != "hunter2" {
		t.Errorf("a mask of nothing hides %q", got)
	}
}

func TestASecretIsHiddenThoughALongLineIsCutInItsMiddle(t *testing.T) {
	const key = "hunter2-hunter2"
	j := &journal{hidden: newMask(map[string]wire.OpenSecret{"KEY": {Text: secret.New(key)}})}
	j.changed = sync.NewCond(&j.mu)
	out := &lineWriter{journal: j, stream: execution.Stdout}
	line := strings.Repeat("x", execution.LineMost-5) + key + strings.Repeat("y", execution.LineMost)
	for len(line) > 0 { // in pieces, as a pipe gives them
		n := min(1000, len(line))
		if _, err := out.Write([]byte(line[:n])); err != nil {
			t.Fatal(err)
		}
		line = line[n:]
	}
	out.close()
	var all strings.Builder
	for _, event := range j.pending {
		all.WriteString(event.Message)
	}
	if strings.Contains(all.String(), "hunter2") || !strings.Contains(all.String(), "***") {
		t.Error("the secret came out where the line was cut")
	}
}
