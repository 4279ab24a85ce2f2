package storetest

import (
	"fmt"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/execution"
)

// held is an execution under the lease l1, with an empty log.
func (h *house) held() execution.Execution {
	h.Helper()
	_, err := h.CreateExecution(h.ctx, h.draftExecution(h.vision, "held"), nil, event(audit.ExecutionCreate, ""))
	h.check(err)
	return h.take("l1")
}

var logs = []sentence{
	{"lines come back with their numbers, streams and every character", func(h *house) {
		e := h.held()
		lines := []execution.Line{
			{Time: noon, Stream: execution.Stdout, Text: "plain"},
			{Time: noon.Add(time.Second), Stream: execution.Stderr, Text: ""},
			{Time: noon.Add(time.Minute), Stream: execution.StatusStream, Text: "\x1b[31mröd\t日本\r'\"\\"},
			{Time: noon.Add(time.Hour), Stream: execution.Stdout, Text: strings.Repeat("x", execution.LineMost)},
		}
		h.check(h.AppendLog(h.ctx, "l1", 1, lines))
		for i := range lines {
			lines[i].Sequence = int64(i + 1)
		}
		got, err := h.ReadLog(h.ctx, e.ID, 0, 100)
		h.check(err)
		h.same(lines, got)
	}},
	{"times always grow by a microsecond at least", func(h *house) {
		e := h.held()
		at := func(times ...time.Time) (lines []execution.Line) {
			for _, t := range times {
				lines = append(lines, execution.Line{Time: t, Stream: execution.Stdout})
			}
			return lines
		}
		h.check(h.AppendLog(h.ctx, "l1", 1, at(noon, noon, noon.Add(-time.Hour), noon.Add(time.Second))))
		h.check(h.AppendLog(h.ctx, "l1", 2, at(noon, noon.Add(time.Second), noon.Add(time.Minute))))
		h.check(h.AppendLog(h.ctx, "l1", 3, at(time.Time{})))
		want := []time.Time{
			noon, noon.Add(time.Microsecond), noon.Add(2 * time.Microsecond), noon.Add(time.Second),
			noon.Add(time.Second + time.Microsecond), noon.Add(time.Second + 2*time.Microsecond),
			noon.Add(time.Minute), noon.Add(time.Minute + time.Microsecond),
		}
		lines, err := h.ReadLog(h.ctx, e.ID, 0, 100)
		h.check(err)
		var got []time.Time
		for _, line := range lines {
			got = append(got, line.Time)
		}
		h.same(want, got)
	}},
	{"a batch that comes again is stored once", func(h *house) {
		e := h.held()
		h.check(h.AppendLog(h.ctx, "l1", 2, status("two")))
		h.check(h.AppendLog(h.ctx, "l1", 2, status("two")))
		h.check(h.AppendLog(h.ctx, "l1", 1, status("one")))
		together(8, func(int) {
			if err := h.AppendLog(h.ctx, "l1", 3, status("three")); err != nil {
				h.Error(err)
			}
		})
		h.check(h.AppendLog(h.ctx, "l1", 4, nil))
		h.same([]string{"two", "three"}, h.texts(e.ID))
		h.same(int64(4), h.load(e.ID).Lease.Batch)
	}},
	{"a log is read from any line on, as much as is asked for", func(h *house) {
		e := h.held()
		const count = 1000
		for n, batch := 0, int64(1); n < count; batch++ {
			var lines []execution.Line
			for range min(int(batch*7%50)+1, count-n) {
				n++
				lines = append(lines, execution.Line{Time: noon, Stream: execution.Stdout, Text: fmt.Sprint("line ", n)})
			}
			h.check(h.AppendLog(h.ctx, "l1", batch, lines))
		}
		length, err := h.LogLength(h.ctx, e.ID)
		h.check(err)
		h.same(int64(count), length)
		for _, test := range []struct{ after, limit, want int }{
			{0, 1, 1},
			{0, 1000, 1000},
			{0, 5000, 1000},
			{-5, 3, 3},
			{1, 7, 7},
			{499, 100, 100},
			{998, 10, 2},
			{999, 1, 1},
			{1000, 10, 0},
			{1_000_000, 10, 0},
			{10, 0, 0},
			{10, -1, 0},
		} {
			lines, err := h.ReadLog(h.ctx, e.ID, int64(test.after), test.limit)
			h.check(err)
			h.same(test.want, len(lines))
			for i, line := range lines {
				sequence := max(test.after, 0) + 1 + i
				if line.Sequence != int64(sequence) || line.Text != fmt.Sprint("line ", sequence) {
					h.Fatalf("after %d came %d %q as number %d", test.after, line.Sequence, line.Text, i)
				}
			}
		}
	}},
	{"a batch of the longest lines is stored", func(h *house) {
		e := h.held()
		var lines []execution.Line
		for i := range 300 {
			lines = append(lines, execution.Line{Time: noon, Stream: execution.Stdout, Text: strings.Repeat(string(rune('a'+i%26)), execution.LineMost)})
		}
		h.check(h.AppendLog(h.ctx, "l1", 1, lines))
		got, err := h.ReadLog(h.ctx, e.ID, 299, 10)
		h.check(err)
		h.same(1, len(got))
		h.same(lines[299].Text, got[0].Text)
		h.same(int64(300), got[0].Sequence)
	}},
	{"a million lines go in and come out", func(h *house) {
		const count = 1_000_000
		e := h.held()
		lines := make([]execution.Line, 0, execution.BatchMost)
		batch := int64(0)
		for n := 1; n <= count; n++ {
			lines = append(lines, execution.Line{
				Time: noon.Add(time.Duration(n) * time.Millisecond), Stream: execution.Stdout,
				Text: fmt.Sprintf("epoch %d/1000000 loss=0.%06d", n, n*7919%1_000_000),
			})
			if len(lines) == cap(lines) || n == count {
				batch++
				h.check(h.AppendLog(h.ctx, "l1", batch, lines))
				lines = lines[:0]
			}
		}
		length, err := h.LogLength(h.ctx, e.ID)
		h.check(err)
		h.same(int64(count), length)
		n := 0
		for {
			part, err := h.ReadLog(h.ctx, e.ID, int64(n), 10_000)
			h.check(err)
			if len(part) == 0 {
				break
			}
			for _, line := range part {
				n++
				if line.Sequence != int64(n) || !line.Time.Equal(noon.Add(time.Duration(n)*time.Millisecond)) ||
					line.Text != fmt.Sprintf("epoch %d/1000000 loss=0.%06d", n, n*7919%1_000_000) {
					h.Fatalf("line %d is %+v", n, line)
				}
			}
		}
		h.same(count, n)
	}},
}
