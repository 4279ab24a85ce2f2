package secret_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/secret"
)

const hidden = "dckr_pat_hunter2"

func TestASecretIsPrintedNowhere(t *testing.T) {
	type holder struct {
		Open   secret.Text
		closed secret.Text
	}
	text := secret.New(hidden)
	h := holder{text, text}
	var log bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	logger.Info("x", "secret", text, "holder", h)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", text, "holder", &h)
	asJSON, err := json.Marshal(map[string]any{"a": text, "b": h, "c": []secret.Text{text}})
	if err != nil {
		t.Fatal(err)
	}
	printed := []string{log.String(), string(asJSON)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%T %v"} {
		printed = append(printed, fmt.Sprintf(verb, text), fmt.Sprintf(verb, h), fmt.Sprintf(verb, &h), fmt.Sprintf(verb, []any{h}))
	}
	for _, s := range printed {
		if strings.Contains(s, hidden) || strings.Contains(s, fmt.Sprintf("%x", hidden)) {
			t.Errorf("printed: %s", s)
		}
	}
}

func TestASecretIsReadFromJSONAndRevealed(t *testing.T) {
	var in struct{ Password secret.Text }
	if err := json.Unmarshal([]byte(`{"Password":"`+hidden+`"}`), &in); err != nil {
		t.Fatal(err)
	}
	if in.Password.Reveal() != hidden {
		t.Errorf("read %q", in.Password.Reveal())
	}
	if err := json.Unmarshal([]byte(`{"Password":["`+hidden+`"]}`), &in); err == nil || strings.Contains(err.Error(), hidden) {
		t.Errorf("a secret of the wrong type gave %v", err)
	}
	if !in.Password.Equal(secret.New(hidden)) || in.Password.Equal(secret.New("other")) {
		t.Error("Equal is wrong")
	}
}
