package audit

import (
	"bufio"
	"context"
	"encoding/csv"
	"io"
	"time"

	"fairlead.dev/fairlead/internal/fault"
)

// ExportBatch is how many rows of an export are in memory at once.
const ExportBatch = 500

// Format is how an export writes rows.
type Format string

// The formats: a line of JSON a row, as Line has it, or a table with a head for
// spreadsheets, as Record has it.
const (
	JSONLines Format = "jsonl"
	CSV       Format = "csv"
)

// ParseFormat reads a format; "" is JSONLines. Any other is an Invalid fault of the
// field format.
func ParseFormat(text string) (Format, error) {
	switch format := Format(text); format {
	case "":
		return JSONLines, nil
	case JSONLines, CSV:
		return format, nil
	default:
		return "", fault.InvalidField("format", "format", "%.40q is no format of an export", text).WithHint("Write jsonl or csv.")
	}
}

// Type is the media type.
func (f Format) Type() string {
	if f == CSV {
		return "text/csv; charset=utf-8"
	}
	return "application/x-ndjson"
}

// FileName is what an exported file is called.
func (f Format) FileName() string { return "audit." + string(f) }

// Export is all rows of a filter, from the oldest up to the newest of when it was
// begun. It is used once.
type Export struct {
	store  Store
	filter Filter
	format Format
	links  []Link // the first
}

// BeginExport reads the first rows, so that what cannot be read at all is known
// before anything is written. Before and Limit of the filter are its own to set.
func BeginExport(ctx context.Context, store Store, filter Filter, format Format) (*Export, error) {
	chain, _, err := store.ReadChain(ctx, 0, 0)
	if err != nil {
		return nil, err
	}
	e := &Export{store: store, filter: filter, format: format}
	e.filter.Before, e.filter.Limit = chain.Head.ID+1, ExportBatch
	e.links, err = store.EventsAfter(ctx, e.filter, 0)
	return e, err
}

// Write writes the rows while it reads them, ExportBatch at a time, and calls
// before each time and sent after it. What it returns an error for is not all.
func (e *Export) Write(ctx context.Context, to io.Writer, before func(), sent func() error) error {
	out := bufio.NewWriterSize(to, 64<<10)
	if e.format == CSV {
		_ = record(out, Columns()) // told by Flush
	}
	for links := e.links; ; {
		before()
		if err := e.batch(out, links); err != nil {
			return err
		}
		if err := out.Flush(); err != nil {
			return err
		}
		if err := sent(); err != nil {
			return err
		}
		if len(links) < e.filter.Limit {
			return nil
		}
		var err error
		if links, err = e.store.EventsAfter(ctx, e.filter, links[len(links)-1].ID); err != nil {
			return err
		}
	}
}

func (e *Export) batch(out *bufio.Writer, links []Link) error {
	for _, link := range links {
		var err error
		if e.format == CSV {
			err = record(out, link.Record())
		} else {
			_, err = out.Write(append(link.Line(), '\n'))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func record(out *bufio.Writer, cells []string) error {
	table := csv.NewWriter(out)
	if err := table.Write(cells); err != nil {
		return err
	}
	table.Flush()
	return table.Error()
}

// ParseMoment reads a bound of a Filter's time: RFC 3339, or a date, which is its
// first moment in UTC; "" is none. What is neither is an Invalid fault of that field.
func ParseMoment(field, text string) (moment time.Time, err error) {
	if text == "" {
		return moment, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if moment, err = time.Parse(layout, text); err == nil {
			return moment, nil
		}
	}
	return moment, fault.InvalidField(field, "time", "%.40q is no time", text).
		WithHint("Write it as 2026-03-09T17:31:00Z, or as a date.")
}
