package blobs_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"
)

var readers = flag.Int("readers", 100, "how many clients read one cold blob of a process whose memory is measured")

// memoryMost is what a process may take of the machine's memory for two thousand
// readers, in bytes.
const memoryMost = 300 << 20

// residentMost is what a process had at most of the machine's memory.
func residentMost(t testing.TB, pid int) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`VmHWM:\s+([0-9]+) kB`).FindSubmatch(text)
	if found == nil {
		t.Fatalf("no VmHWM in %s", text)
	}
	kilobytes, err := strconv.ParseInt(string(found[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kilobytes << 10
}

func TestManyClientsOverHTTPTakeOneDownloadAndLittleMemory(t *testing.T) {
	content := noise(60, 8<<20)
	d := digest.FromBytes(content)
	begin := make(chan struct{})
	u := newUpstream(t, content)
	u.on(func(http.ResponseWriter, *http.Request, []byte) bool {
		<-begin
		return false
	})
	c := startChild(t, order{URL: "file://" + t.TempDir(), Upstream: u.url, Serve: true})
	if !c.says.Scan() {
		t.Fatal("it does not serve")
	}
	url := strings.TrimPrefix(c.says.Text(), ready+" ") + "/" + d.String()
	var group sync.WaitGroup
	var sent, right atomic.Int64
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for range *readers {
		group.Go(func() {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
			if err != nil {
				t.Error(err)
				return
			}
			if sent.Add(1) == int64(*readers) {
				close(begin)
			}
			response, err := client.Do(request)
			if err != nil {
				t.Error(err)
				return
			}
			defer response.Body.Close()
			got := &same{content: content}
			if _, err := io.Copy(got, response.Body); err != nil || got.at != len(content) {
				t.Errorf("%d bytes came: %v", got.at, err)
				return
			}
			right.Add(1)
		})
	}
	group.Wait()
	most := residentMost(t, c.Process.Pid)
	t.Logf("%d readers of %d MiB: %d MiB of memory at most", *readers, len(content)>>20, most>>20)
	if right.Load() != int64(*readers) {
		t.Errorf("%d of %d got it", right.Load(), *readers)
	}
	if requests := u.requests.Load(); requests != 1 || u.sent.Load() != int64(len(content)) {
		t.Errorf("%d bytes were sent in %d requests", u.sent.Load(), requests)
	}
	if most > memoryMost && !raced {
		t.Errorf("it took %d MiB of memory", most>>20)
	}
	if err := errors.Join(c.ends.Close(), c.Wait()); err != nil {
		t.Error(err)
	}
}

// same compares what is written with what it should be.
type same struct {
	content []byte
	at      int
}

func (s *same) Write(p []byte) (int, error) {
	if s.at+len(p) > len(s.content) || !bytes.Equal(p, s.content[s.at:s.at+len(p)]) {
		return 0, fmt.Errorf("other bytes came after %d", s.at)
	}
	s.at += len(p)
	return len(p), nil
}
