package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/client"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/wire"
)

// warm compares a run with what the runtime alone takes.
func warm(ctx context.Context, h *house) error {
	// The first run makes the image warm; the second stays, so that its bundle
	// can be run by the runtime itself.
	if _, err := h.firstOutput(ctx, "first"); err != nil {
		return err
	}
	bundle, runtime, stop, err := h.bundle(ctx)
	if err != nil {
		return err
	}
	defer stop()
	var ours, theirs []time.Duration
	for i := range rounds {
		took, err := runtimeOutput(ctx, runtime, bundle, i)
		if err != nil {
			return err
		}
		theirs = append(theirs, took)
		if took, err = h.firstOutput(ctx, "first"); err != nil {
			return err
		}
		ours = append(ours, took)
	}
	fmt.Printf("  %s run, same bundle: %v\n  fairlead run:          %v\n  difference of the medians: %v (limit 150ms)\n",
		filepath.Base(runtime), median(theirs), median(ours), median(ours)-median(theirs))
	return nil
}

// firstOutput is the time from the start of `fairlead run` to the command's
// first byte.
func (h *house) firstOutput(ctx context.Context, step string) (time.Duration, error) {
	c, err := h.command(ctx, "run", step)
	if err != nil {
		return 0, err
	}
	return firstByte(c)
}

func firstByte(c *exec.Cmd) (took time.Duration, err error) {
	var problems bytes.Buffer
	c.Stderr = &problems
	out, err := c.StdoutPipe()
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	if err := c.Start(); err != nil {
		return 0, err
	}
	_, readErr := io.ReadFull(out, make([]byte, 1))
	took = time.Since(begin)
	_, _ = io.Copy(io.Discard, out) // what follows the first byte is not measured
	if err := errors.Join(readErr, c.Wait()); err != nil {
		return 0, fmt.Errorf("%w: %s", err, problems.String())
	}
	return took, nil
}

// bundle starts a step that stays, and copies its bundle for the runtime.
func (h *house) bundle(ctx context.Context) (dir, runtime string, stop func(), err error) {
	c, err := h.command(ctx, "run", "wait")
	if err != nil {
		return "", "", nil, err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return "", "", nil, err
	}
	if err := c.Start(); err != nil {
		return "", "", nil, err
	}
	stop = func() {
		_ = c.Process.Signal(os.Interrupt) // it stops the execution and ends
		_ = c.Wait()
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		stop()
		return "", "", nil, fmt.Errorf("waiting for the step: %w", err)
	}
	found, err := filepath.Glob(filepath.Join(h.dir, "data", "containers", "*", "config.json"))
	if err != nil || len(found) == 0 {
		found, err = filepath.Glob(filepath.Join(h.dir, "data", "containers", "*", "*", "config.json"))
	}
	if err != nil || len(found) != 1 {
		stop()
		return "", "", nil, errors.Join(fmt.Errorf("looking for the bundle: %d found", len(found)), err)
	}
	if dir, err = copyBundle(found[0], filepath.Join(h.dir, "bundle")); err != nil {
		stop()
		return "", "", nil, err
	}
	runtime, err = exec.LookPath("crun")
	if err != nil || !works(ctx, runtime, dir) {
		runtime, err = exec.LookPath("runc")
	}
	return dir, runtime, stop, err
}

// works reports whether a runtime runs the bundle at all: crun does not on every
// mixture of cgroup versions.
func works(ctx context.Context, runtime, bundle string) bool {
	_, err := runtimeOutput(ctx, runtime, bundle, -1)
	return err == nil
}

// copyBundle is the bundle with another command and no cgroup of its own.
func copyBundle(file, dir string) (string, error) {
	text, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		return "", err
	}
	var spec map[string]any
	if err := json.Unmarshal(text, &spec); err != nil {
		return "", err
	}
	spec["process"].(map[string]any)["args"] = []string{"/bin/sh", "-c", "echo ready"}
	delete(spec["linux"].(map[string]any), "cgroupsPath")
	delete(spec, "hooks")
	if text, err = json.Marshal(spec); err != nil {
		return "", err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	return dir, os.WriteFile(filepath.Join(dir, "config.json"), text, 0o600)
}

func runtimeOutput(ctx context.Context, runtime, bundle string, round int) (time.Duration, error) {
	return firstByte(exec.CommandContext(ctx, runtime, "--root", filepath.Join(bundle, "state"), "run", "--bundle", bundle, fmt.Sprintf("bench-%d", round)))
}

// grants asks for one repository's grant over many connections.
func grants(ctx context.Context, h *house) error {
	worker, lease, err := h.lease(ctx)
	if err != nil {
		return err
	}
	const askers, each = 64, 1000
	var rates, slow []float64
	for range rounds {
		times := make([][]time.Duration, askers)
		var failed error
		var group sync.WaitGroup
		var once sync.Once
		begin := time.Now()
		for i := range askers {
			group.Go(func() {
				times[i], err = askAgain(ctx, h.address, worker, lease, each)
				if err != nil {
					once.Do(func() { failed = err })
				}
			})
		}
		group.Wait()
		took := time.Since(begin)
		if failed != nil {
			return failed
		}
		all := slices.Sorted(slices.Values(slices.Concat(times...)))
		rates = append(rates, float64(len(all))/took.Seconds())
		slow = append(slow, all[len(all)*99/100].Seconds()*1000)
	}
	slices.Sort(rates)
	slices.Sort(slow)
	fmt.Printf("  grants a second: %.0f (limit 10000), p99: %.1f ms (limit 20 ms), exchanges at the token service: %d\n",
		rates[rounds/2], slow[rounds/2], h.registry.Exchanges())
	return nil
}

// lease makes a worker of the bench and has it hold an execution. The server's
// own worker is busy with steps that stay.
func (h *house) lease(ctx context.Context) (token secret.Text, lease string, err error) {
	created, err := h.api.CreateWorkerToken(ctx, wire.NewWorkerToken{Name: "bench"})
	if err != nil {
		return token, "", err
	}
	token = secret.New(created.Text)
	worker, err := client.New(client.Config{Server: h.address, Token: token})
	if err != nil {
		return token, "", err
	}
	defer worker.Close()
	commit, err := h.importSteps(ctx, h.project)
	if err != nil {
		return token, "", err
	}
	for { // whoever takes what is queued: once the server's worker is full it is us
		if _, err := h.api.CreateExecution(ctx, wire.NewExecution{Project: h.project.ID, Commit: commit, Step: "wait"}); err != nil {
			return token, "", err
		}
		got, ok, err := worker.TakeLease(ctx, time.Second)
		if err != nil {
			return token, "", err
		}
		if ok {
			go keep(ctx, h.address, token, got)
			return token, got.ID, nil
		}
	}
}

// keep renews the lease until ctx ends.
func keep(ctx context.Context, address string, token secret.Text, lease wire.Lease) {
	worker, err := client.New(client.Config{Server: address, Token: token})
	if err != nil {
		return
	}
	defer worker.Close()
	again := time.NewTicker(time.Duration(lease.LifeSeconds) * time.Second / 3)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		}
		if _, err := worker.RenewLease(ctx, lease.ID); err != nil {
			return // the measure is over, or says itself what is wrong
		}
	}
}

// askAgain asks one after the other over one connection.
func askAgain(ctx context.Context, address string, token secret.Text, lease string, n int) ([]time.Duration, error) {
	body, err := json.Marshal(wire.GrantRequest{Lease: lease})
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 1}
	defer transport.CloseIdleConnections()
	times := make([]time.Duration, 0, n)
	for range n {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, address+wire.Base+"pull-grants/", bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		request.Header.Set("Authorization", "Bearer "+token.Reveal())
		request.Header.Set("Content-Type", "application/json")
		begin := time.Now()
		response, err := transport.RoundTrip(request)
		if err != nil {
			return nil, err
		}
		answer, err := io.ReadAll(response.Body)
		_ = response.Body.Close() // read to its end
		times = append(times, time.Since(begin))
		if err != nil || response.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("%s: %s (%w)", response.Status, answer, err)
		}
	}
	return times, nil
}

// idle reads the memory of a server that has done one run and rests.
func idle(ctx context.Context, h *house) error {
	if _, err := h.firstOutput(ctx, "first"); err != nil {
		return err
	}
	if err := rest(ctx); err != nil {
		return err
	}
	now, peak, err := h.memory()
	if err != nil {
		return err
	}
	fmt.Printf("  resident: %.1f MiB (limit 60 MiB), at its peak so far: %.1f MiB\n", float64(now)/(1<<20), float64(peak)/(1<<20))
	return nil
}

// rest is long enough for a server to give back the memory that it has no more
// use for.
func rest(ctx context.Context) error {
	timer := time.NewTimer(10 * time.Second)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// million runs a step that prints a million numbers, and counts them.
func million(ctx context.Context, h *house) error {
	const lines = 1_000_000
	c, err := h.command(ctx, "run", "lines")
	if err != nil {
		return err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	var problems bytes.Buffer
	c.Stderr = &problems
	begin := time.Now()
	if err := c.Start(); err != nil {
		return err
	}
	scanner := bufio.NewScanner(out)
	count := 0
	for scanner.Scan() {
		if count++; scanner.Text() != fmt.Sprint(count) {
			return fmt.Errorf("line %d is %q", count, scanner.Text())
		}
	}
	if err := errors.Join(scanner.Err(), c.Wait()); err != nil {
		return fmt.Errorf("%w: %s", err, problems.String())
	}
	took := time.Since(begin)
	_, peak, err := h.memory()
	if err != nil {
		return err
	}
	fmt.Printf("  lines: %d of %d in %v; the server's memory at its peak: %.1f MiB (limit 200 MiB)\n", count, lines, took.Round(time.Millisecond), float64(peak)/(1<<20))
	if count != lines {
		return fmt.Errorf("%d lines were lost", lines-count)
	}
	return nil
}
