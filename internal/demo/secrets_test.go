package demo

import (
	"bytes"
	"context"
	"encoding/base64"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/audit"
)

// lockedBuffer is a log that several goroutines write.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// answers keeps what the server answers to the story's requests.
type answers struct {
	transport http.RoundTripper
	body      lockedBuffer
}

// RoundTrip sends the request and keeps what is read of the answer.
func (a *answers) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := a.transport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	if err := response.Header.Write(&a.body); err != nil {
		return nil, err
	}
	response.Body = struct {
		io.Reader
		io.Closer
	}{io.TeeReader(response.Body, &a.body), response.Body}
	return response, nil
}

// TestNothingThatLeavesTheProcessHoldsASecret runs all seven kinds with every
// failure of the story, and looks for each secret and each grant of the run in
// what was shown, in every answer of the API, in the whole log, and in every file
// that the server and its worker wrote: the database with the audit trail, the
// code, the images.
func TestNothingThatLeavesTheProcessHoldsASecret(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	dir, out, log := t.TempDir(), new(bytes.Buffer), new(lockedBuffer)
	api, all := &answers{transport: http.DefaultTransport.(*http.Transport).Clone()}, shelves()
	err := run(ctx, Config{
		Out: out, Harmless: func(text string) string { return text }, Once: true, Listen: "127.0.0.1:0", Version: "test", Transport: api,
		Logger: slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}, dir, all)
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	places := map[string][]byte{"what is shown": out.Bytes(), "the log": log.text.Bytes(), "the API's answers": api.body.text.Bytes()}
	if !bytes.Contains(api.body.text.Bytes(), []byte(audit.GrantIssue)) {
		t.Error("the audit trail is not among the answers")
	}
	err = filepath.WalkDir(filepath.Join(dir, "data"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		places[strings.TrimPrefix(path, dir)] = text
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	secrets := secretsOf(all)
	if len(secrets) < 50 || len(places) < 5 {
		t.Fatalf("there are %d secrets and %d places to look: too few to tell anything", len(secrets), len(places))
	}
	for place, text := range places {
		for _, hidden := range secrets {
			for _, form := range []string{hidden, url.QueryEscape(hidden), base64.StdEncoding.EncodeToString([]byte(hidden))} {
				if bytes.Contains(text, []byte(form)) {
					t.Errorf("%s holds a secret of the run, %.4s…", place, hidden)
				}
			}
		}
	}
}

// secretsOf are all long-lived secrets, and whatever the registries and clouds
// gave for them.
func secretsOf(all []*shelf) []string {
	var secrets []string
	for _, s := range all {
		for _, value := range s.secrets {
			secrets = append(secrets, value.Reveal())
		}
		secrets = append(secrets, s.registry.Given()...)
		if s.aws != nil {
			secrets = append(secrets, s.aws.Given()...)
		}
		if s.google != nil {
			secrets = append(secrets, s.google.Given()...)
		}
		if s.azure != nil {
			secrets = append(secrets, s.azure.Given()...)
		}
	}
	return secrets
}
