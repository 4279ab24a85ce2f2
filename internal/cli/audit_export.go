package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"fairlead.dev/fairlead/internal/client"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/wire"
)

func newAuditExport(s *session) *cobra.Command {
	var format, output string
	c := &cobra.Command{
		Use: "export", Short: "Write the audit trail to a file, the oldest row first (admins only)",
		Long: "Write the audit trail to a file, the oldest row first. --format jsonl is a row of JSON a line, with its\n" +
			"hashes, for `fairlead audit verify --file` and for programs. --format csv is for spreadsheets: a text\n" +
			"that begins with =, +, -, @, a tab or a carriage return has an apostrophe before it there, so that it\n" +
			"is not taken for a formula.",
		Example: "  fairlead audit export --format csv --since 30d --output audit.csv",
	}
	filter := auditFlags(c)
	c.Flags().StringVar(&format, "format", "jsonl", "csv or jsonl")
	c.Flags().StringVar(&output, "output", "", "the file to write; standard output without it")
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, _ []string) error {
		wanted, err := filter(time.Now())
		if err != nil {
			return err
		}
		body, err := api.ExportAudit(c.Context(), wanted, format)
		if err != nil {
			return err
		}
		defer func() { _ = body.Close() }() // only read
		counted := &rowCounter{in: body}
		if isTerminal(c.ErrOrStderr()) {
			counted.tell = func(rows, size int64) {
				say(c.ErrOrStderr(), "\r%s rows, %s ", humanize.Comma(rows), wire.Size(size))
			}
		}
		if output == "" {
			err = copied(c.OutOrStdout(), counted)
		} else {
			err = writeWhole(output, counted)
		}
		if counted.tell != nil {
			say(c.ErrOrStderr(), "\r")
		}
		if err != nil {
			return err
		}
		rows := counted.rows
		if format == "csv" {
			rows-- // the head
		}
		say(c.ErrOrStderr(), "%s rows, %s\n", humanize.Comma(rows), wire.Size(counted.size))
		return nil
	})
	return c
}

// rowCounter counts what is read, and tells of it a few times a second.
type rowCounter struct {
	in         io.Reader
	rows, size int64
	tell       func(rows, size int64)
	told       time.Time
}

// Read implements io.Reader.
func (r *rowCounter) Read(p []byte) (int, error) {
	n, err := r.in.Read(p)
	r.rows += int64(bytes.Count(p[:n], []byte{'\n'}))
	r.size += int64(n)
	if now := time.Now(); r.tell != nil && now.Sub(r.told) > 200*time.Millisecond {
		r.told = now
		r.tell(r.rows, r.size)
	}
	return n, err
}

// copied copies all of an answer.
func copied(out io.Writer, in io.Reader) error {
	if _, err := io.Copy(out, in); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return fault.New(fault.Unavailable, "export_broken_off", "the server broke off in the middle of the export").WithHint("Try again.").WithCause(err)
		}
		return fmt.Errorf("exporting: %w", err)
	}
	return nil
}

// writeWhole writes a file that only its owner may read; it is there whole or not
// at all.
func writeWhole(name string, in io.Reader) error {
	half, err := os.CreateTemp(filepath.Dir(name), ".fairlead-*")
	if err != nil {
		return fault.New(fault.Invalid, "output", "the file %q cannot be written", name).WithHint("Name one in a directory that is there.").WithCause(err)
	}
	defer func() { _ = os.Remove(half.Name()) }() // not there once it has its name
	err = copied(half, in)
	if closeErr := half.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(half.Name(), name)
	}
	return err
}
