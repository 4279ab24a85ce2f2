package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/wire"
)

func TestAWorkerCarriesAnExecutionFromTheQueueToItsEnd(t *testing.T) {
	h := newHouse(t)
	h.furnish()
	h.play(t, []scenario{
		{name: "there is nothing to do yet", as: "worker", method: "POST", path: "leases/", status: 204},
		{name: "a user is no worker", as: "ada", method: "POST", path: "leases/", body: `{"wait_seconds":1}`, status: 403, want: []string{`"code":"not_worker"`}},
		{name: "a wait is a number", as: "worker", method: "POST", path: "leases/", body: `{"wait_seconds":"long"}`, status: 400, want: []string{`"wait_seconds":[`}},
	})
	h.run()
	lease := h.take()
	if lease.LifeSeconds != 3600 || lease.Execution.Attempt != 1 || lease.Execution.Project.Name != "vision" || lease.Execution.Commit != h.names["commit"] {
		t.Errorf("the lease is %+v", lease)
	}
	if got := string(lease.Execution.Parameters["epochs"]); got != "7" {
		t.Errorf("epochs is %s", got)
	}

	request := h.request("worker", http.MethodGet, h.fill("leases/{lease}/package/"), nil)
	response, err := http.DefaultClient.Do(request)
	h.must(err)
	code, err := io.ReadAll(response.Body)
	h.must(err)
	h.must(response.Body.Close())
	if diff := cmp.Diff(h.names["commit"], identifier(code)); diff != "" {
		t.Errorf("the package's bytes (-want +got):\n%s", diff)
	}

	line := `{"batch":1,"events":[{"stream":"stdout","time":"2026-11-24T13:04:05.1Z","message":"hello \u0007 world"}]}`
	h.play(t, []scenario{
		{name: "another worker holds no such lease", as: "worker-2", method: "POST", path: "leases/{lease}/renew/", status: 404, want: []string{`"code":"lease_lost"`}},
		{name: "nor its code", as: "worker-2", method: "GET", path: "leases/{lease}/package/", status: 404},
		{name: "nor its log", as: "worker-2", method: "POST", path: "leases/{lease}/events/", body: line, status: 404},
		{name: "nor its grant", as: "worker-2", method: "POST", path: "pull-grants/", body: `{"lease":"{lease}"}`, status: 404},
		{name: "a user gets no grant, not even an admin", as: "ada", method: "POST", path: "pull-grants/", body: `{"lease":"{lease}"}`, status: 403},
		{name: "nobody gets one", method: "POST", path: "pull-grants/", body: `{"lease":"{lease}"}`, status: 401},

		{name: "the lease is renewed", as: "worker", method: "POST", path: "leases/{lease}/renew/", status: 200, want: []string{`"life_seconds":3600,"stop":false`}},
		{name: "nobody wants it to stop", as: "worker", method: "GET", path: "leases/{lease}/stop/?wait_seconds=0", status: 200, want: []string{`"stop":false`}},
		{name: "a batch is stored", as: "worker", method: "POST", path: "leases/{lease}/events/", body: line, status: 204},
		{name: "and once, though it comes twice", as: "worker", method: "POST", path: "leases/{lease}/events/", body: line, status: 204},
		{name: "a stream is one of three", as: "worker", method: "POST", path: "leases/{lease}/events/", body: strings.Replace(line, "stdout", "stdlog", 1), status: 400, want: []string{`"stream":[`}},
		{name: "a line has a time", as: "worker", method: "POST", path: "leases/{lease}/events/", body: `{"batch":2,"events":[{"stream":"stdout","message":"x"}]}`, status: 400, want: []string{`"events":[`}},
		{name: "batches have numbers", as: "worker", method: "POST", path: "leases/{lease}/events/", body: `{"events":[]}`, status: 400, want: []string{`"batch":[`}},
		{name: "an unknown member is told", as: "worker", method: "POST", path: "leases/{lease}/events/", body: `{"batch":2,"lines":[]}`, status: 400, want: []string{`"lines":["is no field`}},
		{name: "the image is noted", as: "worker", method: "POST", path: "leases/{lease}/image/", body: `{"image_digest":"sha256:abc","pull_report":{"bytes":7}}`, status: 204},
		{name: "everybody sees it", as: "ben", method: "GET", path: "executions/{execution}/", status: 200, want: []string{`"image_digest":"sha256:abc"`, `"pull_report":{"bytes":7}`, `"worker":"worker-1"`}},
		{name: "the log has the line once", as: "ben", method: "GET", path: "executions/{execution}/events/", status: 200, want: []string{`"time":"2026-11-24T13:04:05.100000Z","message":"hello \u0007 world"`, `"total":1`}},

		{name: "somebody stops it", as: "ben", method: "POST", path: "executions/{execution}/stop/", status: 200, want: []string{`"status":"stopping"`}},
		{name: "the worker hears of it", as: "worker", method: "GET", path: "leases/{lease}/stop/?wait_seconds=30", status: 200, want: []string{`"stop":true`}},
		{name: "a status that is no end is refused", as: "worker", method: "POST", path: "leases/{lease}/finish/", body: `{"status":"queued"}`, status: 400, want: []string{"is no status that an execution ends with"}},
		{name: "the end is told", as: "worker", method: "POST", path: "leases/{lease}/finish/", body: `{"status":"stopped","exit_code":143,"failure":{"code":"stopped","message":"Stopped."},"events":[{"stream":"status","time":"2026-11-24T13:04:06Z","message":"Bye"}]}`, status: 204},
		{name: "the lease is worth nothing then", as: "worker", method: "POST", path: "leases/{lease}/finish/", body: `{"status":"stopped"}`, status: 404, want: []string{`"code":"lease_lost"`}},
		{name: "nor is a grant to be had", as: "worker", method: "POST", path: "pull-grants/", body: `{"lease":"{lease}"}`, status: 404},
		{name: "everybody sees the end", as: "ben", method: "GET", path: "executions/{execution}/", status: 200, want: []string{`"status":"stopped"`, `"exit_code":143`, `"failure":{"code":"stopped"`}},
	})
}

func TestAReleasedExecutionIsTakenAgain(t *testing.T) {
	h := newHouse(t)
	h.furnish()
	h.run()
	h.take()
	h.call("worker", http.MethodPost, h.fill("leases/{lease}/release/"), nil, nil)
	if again := h.take(); again.Execution.ID != h.names["execution"] || again.Execution.Attempt != 2 {
		t.Errorf("taken again: %+v", again)
	}
}

func TestATakeWaitsForWork(t *testing.T) {
	h := newHouse(t)
	h.furnish()
	got := make(chan wire.Lease)
	var waiting sync.WaitGroup
	waiting.Go(func() {
		request := h.request("worker", http.MethodPost, "leases/", strings.NewReader(`{"wait_seconds":30}`))
		response, err := http.DefaultClient.Do(request)
		var lease wire.Lease
		if err == nil {
			_ = json.NewDecoder(response.Body).Decode(&lease) // an empty lease is told below
			_ = response.Body.Close()
		}
		got <- lease
	})
	h.run()
	if lease := <-got; lease.Execution.ID != h.names["execution"] {
		t.Errorf("the lease is %+v", lease)
	}
	waiting.Wait()
}

func TestTheGrantIsWhatTheWorkerNeedsAndNothingElseShowsIt(t *testing.T) {
	h := newHouse(t)
	h.furnish()
	h.run()
	h.take()
	var grant struct {
		wire.Grant
		Secret string `json:"secret"`
	}
	h.call("worker", http.MethodPost, "pull-grants/", wire.GrantRequest{Lease: h.names["lease"]}, &grant)
	if grant.Host != "registry.acme.example" || grant.Repository != "ml/train" || grant.Scheme != "bearer" || !grant.Narrow ||
		grant.Credential != "Acme's registry" || grant.Route == nil || grant.Route.Address != h.registry.Address() {
		t.Errorf("the grant is %+v", grant.Grant)
	}
	if grant.Secret == "" || grant.Secret == registryPassword {
		t.Error("the grant's secret is none, or the stored one")
	}
	if until := time.Until(grant.ExpiresAt.Or()); until <= 0 || until > 10*time.Minute {
		t.Errorf("the grant ends in %s", until)
	}
	h.names["secret"] = grant.Secret
	h.play(t, []scenario{
		{name: "no cache keeps it", as: "worker", method: "POST", path: "pull-grants/", body: `{"lease":"{lease}"}`, status: 200, want: []string{"Cache-Control:[no-store]", `"secret":"{secret}"`}},
		{name: "the trail tells of it", as: "ada", method: "GET", path: "audit/?execution={execution}&verb=grant.issue", status: 200, want: []string{`"count":2`, `"actor":"worker worker-1"`, `"narrow":"true"`}, not: []string{"{secret}"}},
		{name: "the credential was used", as: "ada", method: "GET", path: "registry-credentials/{credential}/", status: 200, want: []string{`"last_used_at":"20`}, not: []string{"{secret}"}},
		{name: "the execution says nothing of it", as: "ben", method: "GET", path: "executions/{execution}/", status: 200, not: []string{"{secret}"}},
	})
	if strings.Contains(h.log.String(), grant.Secret) {
		t.Error("the log shows the grant")
	}
	if got := h.registry.ExchangesOf("robot", "ml/train"); got != 1 {
		t.Errorf("two grants cost %d exchanges", got)
	}
}

func TestARegistryThatRefusesIsNotTakenForOurOwnRefusal(t *testing.T) {
	h := newHouse(t)
	h.furnish()
	h.registry.SetPassword("robot", "changed since then")
	h.run()
	h.take()
	h.play(t, []scenario{
		{
			name: "the worker is known, the credential is not good", as: "worker", method: "POST", path: "pull-grants/", body: `{"lease":"{lease}"}`,
			status: 403, want: []string{`"kind":"unauthenticated"`, `"code":"secret_refused"`, "Acme's registry"}, not: []string{"Www-Authenticate"},
		},
		{
			name: "the trail has the refusal", as: "ada", method: "GET", path: "audit/?verb=grant.issue", status: 200, want: []string{`"result":"secret_refused"`},
		},
	})
}

func TestAPanicIsAnAnswerAndALineInTheLog(t *testing.T) {
	h := newHouse(t)
	h.keys.fail = true
	h.play(t, []scenario{{
		name: "the answer says nothing of it", as: "root", method: "POST", path: "keys/rotate/", status: 500,
		want: []string{`"kind":"internal"`, "the server's log has the details"}, not: []string{"on fire"},
	}})
	if log := h.log.String(); !strings.Contains(log, "on fire") || !strings.Contains(log, `"path":"/api/v0/keys/rotate/"`) {
		t.Errorf("the log: %s", log)
	}
}

func TestTheLogHasNoQuery(t *testing.T) {
	h := newHouse(t)
	h.play(t, []scenario{{name: "a refused request", as: "ben", method: "GET", path: "audit/?verb=hidden-in-the-query", status: 403}})
	if log := h.log.String(); strings.Contains(log, "hidden-in-the-query") || !strings.Contains(log, `"path":"/api/v0/audit/"`) || !strings.Contains(log, `"code":"not_admin"`) {
		t.Errorf("the log: %s", log)
	}
}

func TestALargeBodyIsRefusedBeforeItIsRead(t *testing.T) {
	h := newHouse(t)
	h.play(t, []scenario{
		{name: "a form", as: "ben", method: "POST", path: "projects/", body: "name=" + strings.Repeat("x", 5<<20), contentType: form, status: 413, want: []string{`"code":"body_too_large"`}},
		{name: "a request for a grant", as: "worker", method: "POST", path: "pull-grants/", body: `{"lease":"` + strings.Repeat("x", 5<<10) + `"}`, status: 413},
	})
}

// BenchmarkPullGrant measures a grant from memory over HTTP, with the client on
// the same cores.
func BenchmarkPullGrant(b *testing.B) {
	h := newHouse(b)
	h.furnish()
	h.run()
	h.take()
	body, err := json.Marshal(wire.GrantRequest{Lease: h.names["lease"]})
	h.must(err)
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	defer transport.CloseIdleConnections()
	ask := func() error {
		request, err := http.NewRequestWithContext(context.Background(), http.MethodPost, h.server.URL+wire.Base+"pull-grants/", bytes.NewReader(body))
		if err != nil {
			return err
		}
		request.Header.Set("Authorization", "Bearer "+h.tokens["worker"])
		response, err := transport.RoundTrip(request)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		return err
	}
	h.must(ask())
	var mu sync.Mutex
	var took []time.Duration
	b.SetParallelism(32)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		var mine []time.Duration
		for pb.Next() {
			began := time.Now()
			if err := ask(); err != nil {
				b.Error(err)
				return
			}
			mine = append(mine, time.Since(began))
		}
		mu.Lock()
		defer mu.Unlock()
		took = append(took, mine...)
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "grants/s")
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}
