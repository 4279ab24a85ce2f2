package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/store"
	"fairlead.dev/fairlead/internal/vault"
)

// Paths of what load balancers and orchestrators ask. They need no login, and say no
// more than which part is not there; why is in the log.
const (
	healthPath = "/healthz"
	readyPath  = "/readyz"
)

// readyMost is how long the parts have to answer, and readyFor how long an answer
// stands, so that strangers cannot have the database do something at each request.
const (
	readyMost = 3 * time.Second
	readyFor  = time.Second
)

// part is something without which a process is of no use to those who ask it.
type part struct {
	name string
	look func(ctx context.Context) error
}

// health tells whether a process answers and is ready. Safe for concurrent use.
type health struct {
	parts  []part
	logger *slog.Logger
	now    func() time.Time

	mu     sync.Mutex // held while the parts are looked at, once for all that ask
	last   readiness
	looked time.Time
}

// readiness is the answer of /readyz.
type readiness struct {
	Status string            `json:"status"` // ready, or not_ready
	Parts  map[string]string `json:"parts"`  // ok, or failing
}

// What health says.
const (
	isReady   = "ready"
	isUnready = "not_ready"
	isOK      = "ok"
	isFailing = "failing"
)

// before puts the two paths in front of a handler.
func (h *health) before(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asks := r.Method == http.MethodGet || r.Method == http.MethodHead
		switch {
		case asks && r.URL.Path == healthPath:
			writeHealth(w, http.StatusOK, map[string]string{"status": isOK})
		case asks && r.URL.Path == readyPath:
			state := h.look(r.Context())
			status := http.StatusOK
			if state.Status != isReady {
				status = http.StatusServiceUnavailable
			}
			writeHealth(w, status, state)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func writeHealth(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		text = []byte(`{}`) // texts always can be written
	}
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // nobody is left to tell
}

// look asks every part, unless that was done a moment ago.
func (h *health) look(ctx context.Context) readiness {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.last.Status != "" && h.now().Sub(h.looked) < readyFor {
		return h.last
	}
	// The answer is for others, too, who may stay longer than this one.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readyMost)
	defer cancel()
	state := readiness{Status: isReady, Parts: make(map[string]string, len(h.parts))}
	errs := make([]error, len(h.parts))
	var asked sync.WaitGroup
	for i, p := range h.parts {
		asked.Go(func() { errs[i] = p.look(ctx) })
	}
	asked.Wait()
	for i, p := range h.parts {
		state.Parts[p.name] = isOK
		if errs[i] == nil {
			continue
		}
		state.Status, state.Parts[p.name] = isUnready, isFailing
		if h.last.Parts[p.name] != isFailing { // told once, and not at every probe
			h.logger.Error("a part of the server is not ready", "part", p.name, "error", errs[i])
		}
	}
	if state.Status == isReady && h.last.Status == isUnready {
		h.logger.Info("every part of the server is ready again")
	}
	h.last, h.looked = state, h.now()
	return state
}

// storeParts are those of a server.
func storeParts(kept *store.Store, sealing *vault.Vault) []part {
	return []part{
		{"database", kept.Answers},
		{"migrations", func(ctx context.Context) error {
			done, known, err := kept.Migrations(ctx)
			if err == nil && done != known {
				err = fmt.Errorf("the database has %d changes of its tables, and this program knows %d", done, known)
			}
			return err
		}},
		{"keys", func(ctx context.Context) error { return requireKeys(ctx, kept, sealing) }},
	}
}

// spoolPart is that of a cache apart from the server: whether what arrives can be
// written down. Where the server is away it still gives what it may.
func spoolPart(dir string) part {
	return part{"spool", func(context.Context) error {
		file, err := os.CreateTemp(filepath.Join(dir, "spool"), ".ready-*")
		if err != nil {
			return err
		}
		_, err = file.Write([]byte("ready"))
		return errors.Join(err, file.Close(), os.Remove(file.Name()))
	}}
}
