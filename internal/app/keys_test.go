package app

import (
	"context"
	"database/sql"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/wire"
)

func TestAKeyRotationLeavesARowAlsoWhereItFailsHalfway(t *testing.T) {
	dir := t.TempDir()
	var config Config
	set := pflag.NewFlagSet("", pflag.ContinueOnError)
	config.Flags(set)
	for name, value := range map[string]string{"data-dir": dir, "listen": "127.0.0.1:0", "worker": "false"} {
		if err := set.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Open(t.Context(), config, "test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	_, token, err := s.accounts.SignIn(t.Context(), s.First().Username, s.First().Password, "test", "")
	if err != nil {
		t.Fatal(err)
	}
	post := func(path, body string) (int, string) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL()+wire.Base+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+token.Reveal())
		request.Header.Set("Content-Type", "application/json")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }() // only read
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(text)
	}
	newest := func() audit.Link {
		t.Helper()
		rows, _, err := s.store.Events(t.Context(), audit.Filter{OrganizationIDs: []int64{0}, Verb: audit.KeysRotate, Limit: 1})
		if err != nil || len(rows) != 1 {
			t.Fatalf("%d rows, %v", len(rows), err)
		}
		return rows[0]
	}
	if status, text := post("notice-channels/", `{"owner":"main","name":"chat","kind":"webhook","webhook_url":"https://hooks.acme.example/x"}`); status != http.StatusCreated {
		t.Fatalf("%d %s", status, text)
	}
	if status, text := post("keys/rotate/", "{}"); status != http.StatusOK {
		t.Fatalf("%d %s", status, text)
	}
	if row := newest(); row.Result != audit.ResultOK || row.Details["resealed"] != "1" || row.Details["retired"] != "1" || row.Actor != "admin" {
		t.Errorf("the row is %+v", row)
	}

	// A secret that does not open: the new key is there, and the old one stays.
	db, err := sql.Open("sqlite", filepath.Join(dir, "fairlead.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(t.Context(), `UPDATE notice_channels SET sealed = x'00'`); err != nil {
		t.Fatal(err)
	}
	status, text := post("keys/rotate/", "{}")
	if status < 400 {
		t.Fatalf("%d %s", status, text)
	}
	if row := newest(); row.Result == audit.ResultOK || row.Details["key"] == "" || row.Details["retired"] != "0" || !strings.Contains(text, row.Result) {
		t.Errorf("the answer is %s, and the row %+v", text, row)
	}
}
