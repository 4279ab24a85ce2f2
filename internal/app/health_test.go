package app

import (
	"bytes"
	"database/sql"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/store"
	"fairlead.dev/fairlead/internal/vault"
)

// probed is a server's door with the probes in front, and what it logs.
type probed struct {
	t        *testing.T
	dir      string
	store    *store.Store
	health   *health
	door     http.Handler
	log      bytes.Buffer
	ahead    time.Duration
	database string
}

func newProbed(t *testing.T) *probed {
	t.Helper()
	p := &probed{t: t, dir: t.TempDir()}
	p.database = filepath.Join(p.dir, "fairlead.db")
	var err error
	if p.store, err = store.Open(t.Context(), p.database); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.store.Close() }) // a test may have closed it
	sealing, err := vault.Open(filepath.Join(p.dir, "keys.json"))
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	p.health = &health{
		parts: storeParts(p.store, sealing), logger: slog.New(slog.NewTextHandler(&p.log, nil)),
		now: func() time.Time { return began.Add(p.ahead) },
	}
	p.door = p.health.before(http.NotFoundHandler())
	return p
}

// ask is the status and the body of an answer, a while later.
func (p *probed) ask(path string) (int, string) {
	p.t.Helper()
	p.ahead += 2 * readyFor
	answer := httptest.NewRecorder()
	p.door.ServeHTTP(answer, httptest.NewRequestWithContext(p.t.Context(), http.MethodGet, path, http.NoBody))
	return answer.Code, answer.Body.String()
}

func (p *probed) want(path string, status int, text string) {
	p.t.Helper()
	if code, body := p.ask(path); code != status || body != text+"\n" {
		p.t.Errorf("%s answers %d and %s, want %d and %s\n%s", path, code, body, status, text, &p.log)
	}
}

const allReady = `{"status":"ready","parts":{"database":"ok","keys":"ok","migrations":"ok"}}`

func TestAServerSaysThatItAnswersAndIsReady(t *testing.T) {
	p := newProbed(t)
	p.want("/healthz", http.StatusOK, `{"status":"ok"}`)
	p.want("/readyz", http.StatusOK, allReady)
	if code, _ := p.ask("/readyz/more"); code != http.StatusNotFound {
		t.Errorf("what is below is answered with %d", code)
	}
}

func TestADatabaseThatIsClosedIsNotReadyThoughTheProcessAnswers(t *testing.T) {
	p := newProbed(t)
	if err := p.store.Close(); err != nil {
		t.Fatal(err)
	}
	p.want("/readyz", http.StatusServiceUnavailable, `{"status":"not_ready","parts":{"database":"failing","keys":"failing","migrations":"failing"}}`)
	p.want("/healthz", http.StatusOK, `{"status":"ok"}`)
}

func TestKeysThatOthersMayReadAreNotReadyAndWhyIsInTheLogAlone(t *testing.T) {
	p := newProbed(t)
	keys := filepath.Join(p.dir, "keys.json")
	open := func(mode os.FileMode) {
		if err := os.Chmod(keys, mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(keys, time.Time{}, time.Now().Add(p.ahead)); err != nil { // as one that was put there anew
			t.Fatal(err)
		}
	}
	open(0o644)
	failing := `{"status":"not_ready","parts":{"database":"ok","keys":"failing","migrations":"ok"}}`
	p.want("/readyz", http.StatusServiceUnavailable, failing)
	p.want("/readyz", http.StatusServiceUnavailable, failing)
	if n := strings.Count(p.log.String(), "chmod 600"); n > 1 || strings.Count(p.log.String(), "may be read by others") != 1 {
		t.Errorf("the log does not say once what is wrong:\n%s", &p.log)
	}
	open(0o600)
	p.want("/readyz", http.StatusOK, allReady)
	if !strings.Contains(p.log.String(), "ready again") {
		t.Errorf("the log does not say that it is over:\n%s", &p.log)
	}
}

func TestADatabaseOfALaterFairleadIsNotReady(t *testing.T) {
	p := newProbed(t)
	db, err := sql.Open("sqlite", p.database)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, 1)`); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	p.want("/readyz", http.StatusServiceUnavailable, `{"status":"not_ready","parts":{"database":"ok","keys":"ok","migrations":"failing"}}`)
}

func TestAnAnswerStandsForAMomentHoweverOftenItIsAsked(t *testing.T) {
	p := newProbed(t)
	p.want("/readyz", http.StatusOK, allReady)
	if err := p.store.Close(); err != nil {
		t.Fatal(err)
	}
	p.ahead -= 2 * readyFor
	p.want("/readyz", http.StatusOK, allReady)
	p.ahead += readyFor
	if code, _ := p.ask("/readyz"); code != http.StatusServiceUnavailable {
		t.Errorf("it is answered with %d", code)
	}
}

func TestACacheIsReadyWhileItCanWriteWhatArrives(t *testing.T) {
	dir := t.TempDir()
	spool := spoolPart(dir)
	if err := spool.look(t.Context()); err == nil {
		t.Error("there is no spool, and that is fine")
	}
	if err := os.Mkdir(filepath.Join(dir, "spool"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := spool.look(t.Context()); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, "spool")); err != nil || len(left) > 0 {
		t.Errorf("%d files are left (%v)", len(left), err)
	}
}
