package app

import (
	"os"
	"path/filepath"
	"testing"

	"fairlead.dev/fairlead/internal/fault"
)

func TestAnIdentityTokenIsReadAnewForItsAudience(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	any, azure := write("any", "for-any"), write("azure", "for-azure")
	own, err := newIdentity([]string{any, "api://AzureADTokenExchange=" + azure})
	if err != nil {
		t.Fatal(err)
	}
	for audience, want := range map[string]string{"//iam.googleapis.com/x": "for-any", "api://AzureADTokenExchange": "for-azure"} {
		if got, err := own.token(t.Context(), audience); err != nil || got.Reveal() != want {
			t.Errorf("%s: %v, want %s", audience, err, want)
		}
	}
	write("azure", "renewed")
	if got, err := own.token(t.Context(), "api://AzureADTokenExchange"); err != nil || got.Reveal() != "renewed" {
		t.Errorf("the renewed token is not read: %v", err)
	}
}

func TestAMistakeInAnIdentityTokensFileIsTold(t *testing.T) {
	for _, settings := range [][]string{{"relative"}, {"a=/x", "a=/y"}} {
		if _, err := newIdentity(settings); !fault.Is(err, fault.Invalid) {
			t.Errorf("%v: %v, want invalid", settings, err)
		}
	}
	own, err := newIdentity([]string{"a=/does/not/exist"})
	if err != nil {
		t.Fatal(err)
	}
	for audience, code := range map[string]string{"a": "identity_unreadable", "b": "identity_missing"} {
		if _, err := own.token(t.Context(), audience); fault.From(err).Code != code {
			t.Errorf("%s: %v, want %s", audience, err, code)
		}
	}
	if none, err := newIdentity(nil); none != nil || err != nil {
		t.Errorf("without settings: %v, %v", none, err)
	}
}
