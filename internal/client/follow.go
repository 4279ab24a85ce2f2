package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/wire"
)

// Follower hears of an execution: of new lines in order, and of its state.
type Follower interface {
	Lines(events []wire.Event) error
	State(execution wire.Execution) error
}

// How a stream that broke is taken up again.
const (
	reconnectAfter = 200 * time.Millisecond
	reconnectMost  = 5 * time.Second
	reconnectFor   = 2 * time.Minute
	frameMost      = 128 << 20
)

// Follow tells follower of everything that happens to an execution after a
// sequence number of its log, until it has ended. A stream that breaks is taken
// up where it was, for two minutes; no line is told twice, and none is left
// out.
func (c *Client) Follow(ctx context.Context, key string, after int64, follower Follower) (wire.Execution, error) {
	s := &stream{client: c, key: key, after: after, follower: follower}
	wait, broken := reconnectAfter, time.Time{}
	for {
		before := s.after
		err := s.read(ctx)
		switch {
		case s.followerErr != nil:
			return s.last, s.followerErr
		case s.ended:
			return s.last, nil
		case ctx.Err() != nil:
			return s.last, ctx.Err()
		case err != nil && !fault.Is(err, fault.Unavailable):
			return s.last, err
		}
		if s.after != before || broken.IsZero() {
			wait, broken = reconnectAfter, time.Now()
		}
		if time.Since(broken) > reconnectFor {
			return s.last, err
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return s.last, ctx.Err()
		case <-timer.C:
		}
		wait = min(2*wait, reconnectMost)
	}
}

// stream is one execution's events, read over one or more connections.
type stream struct {
	client   *Client
	key      string
	after    int64
	follower Follower

	last        wire.Execution
	ended       bool
	followerErr error
}

// read reads one connection to its end. A nil error means that the server
// closed it.
func (s *stream) read(ctx context.Context) error {
	request, err := s.client.request(ctx, http.MethodGet, path("executions", s.key, "events"), nil, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Accept", "text/event-stream")
	request.Header.Set("Last-Event-ID", strconv.FormatInt(s.after, 10))
	response, err := s.client.send(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }() // only read
	var name string
	var data []byte
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(make([]byte, 0, 64<<10), frameMost)
	for lines.Scan() {
		field, value, _ := bytes.Cut(lines.Bytes(), []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "event":
			name = string(value)
		case "data":
			data = append(data, value...)
		case "": // the frame is whole, or it is a comment
			if len(lines.Bytes()) == 0 && len(data) > 0 {
				if err := s.frame(name, data); err != nil || s.ended {
					return err
				}
				name, data = "", data[:0]
			}
		}
	}
	if err := lines.Err(); err != nil {
		return s.client.unreachable(err)
	}
	return nil
}

func (s *stream) frame(name string, data []byte) error {
	switch name {
	case "log":
		var events []wire.Event
		if err := json.Unmarshal(data, &events); err != nil {
			return fmt.Errorf("reading the log: %w", err)
		}
		for len(events) > 0 && events[0].Sequence <= s.after {
			events = events[1:]
		}
		if len(events) == 0 {
			return nil
		}
		if s.followerErr = s.follower.Lines(events); s.followerErr != nil {
			return s.followerErr
		}
		s.after = events[len(events)-1].Sequence
	case "state":
		if err := json.Unmarshal(data, &s.last); err != nil {
			return fmt.Errorf("reading the execution's state: %w", err)
		}
		if s.followerErr = s.follower.State(s.last); s.followerErr != nil {
			return s.followerErr
		}
		s.ended = s.last.EndTime != nil
	}
	return nil
}
