package main

import (
	"bytes"
	"crypto/sha256"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/bench/far"
	"fairlead.dev/fairlead/bench/trial"
)

// serving serves a body to whoever shows the right header.
func serving(t *testing.T, body []byte, status int) endpoint {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Basic x" {
			status = http.StatusUnauthorized
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(status)
		_, _ = w.Write(body)
	}))
	t.Cleanup(server.Close)
	return endpoint{Address: strings.TrimPrefix(server.URL, "http://"), Path: "/v2/" + far.Repository, Authorization: "Basic x"}
}

func TestTheCheapClientTakesExactlyOneBodyAfterTheOther(t *testing.T) {
	for _, size := range []int{0, 1, 1000, headMost, 3*dropMost + 7} {
		body := bytes.Repeat([]byte("x"), size)
		e := serving(t, body, http.StatusOK)
		c, err := dial(t.Context(), e.Address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for range 3 {
			began := false
			if n, err := c.get(e.request("blobs", "x"), func() { began = true }, nil); err != nil || n != int64(size) || !began {
				t.Fatalf("%d bytes of %d came: %v", n, size, err)
			}
			sum := sha256.New()
			if n, err := c.get(e.request("blobs", "x"), nil, sum); err != nil || n != int64(size) {
				t.Fatalf("%d bytes of %d came: %v", n, size, err)
			}
			if want := sha256.Sum256(body); !bytes.Equal(sum.Sum(nil), want[:]) {
				t.Errorf("of %d bytes, other bytes were hashed", size)
			}
		}
	}
}

func TestARefusalIsNoAnswerThatCounts(t *testing.T) {
	e := serving(t, []byte("no"), http.StatusTooManyRequests)
	c, err := dial(t.Context(), e.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.get(e.request("blobs", "x"), nil, nil); err == nil || !strings.Contains(err.Error(), "429") {
		t.Errorf("it says %v", err)
	}
}

func TestAFigureIsAMedianBesideTheLimitOfTheSameRun(t *testing.T) {
	b := &bench{
		settings: settings{links: []string{far.Shaped}}, kept: []string{fairlead},
		image: &far.Model{Layers: []far.Layer{{Size: 90}}, Top: far.Layer{Size: 10}},
		runs:  make(map[trialKey][]result),
	}
	for i := range 3 {
		n := float64(i)
		b.runs[trialKey{fairlead, stepCold, far.Shaped}] = append(b.runs[trialKey{fairlead, stepCold, far.Shaped}],
			result{Result: trial.Result{Memory: 5}, Upstream: 101, Cold: &cold{Slowest: 11 + n, FirstByte: 3, Ended: coldClients}})
		b.runs[trialKey{direct, stepCold, far.Shaped}] = append(b.runs[trialKey{direct, stepCold, far.Shaped}],
			result{Upstream: 100, Cold: &cold{Slowest: 9 + n, FirstByte: 1 + n, Ended: 1}})
	}
	want := []coldRow{
		{Link: far.Shaped, Name: fairlead, Ended: coldClients, Slowest: 12, ToDirect: 1.2, Upstream: 1.01, FirstByte: 1, Memory: 5},
		{Link: far.Shaped, Name: direct, Ended: 1, Slowest: 10, ToDirect: 1, Upstream: 1},
	}
	if diff := cmp.Diff(want, b.reportCold(far.Shaped)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
