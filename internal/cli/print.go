package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"fairlead.dev/fairlead/internal/wire"
)

// jsonFlag gives a command --json.
func jsonFlag(c *cobra.Command) *bool {
	return c.Flags().Bool("json", false, "print JSON, as the API answers it")
}

// printJSON prints a value as a program reads it.
func printJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	return nil
}

// table prints rows under a head, in columns. What the cells hold is made
// harmless.
func table(w io.Writer, head []string, rows [][]string) error {
	tabs := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	say(tabs, "%s\n", strings.Join(head, "\t"))
	for _, row := range rows {
		for i, cell := range row {
			if row[i] = harmless(cell); row[i] == "" {
				row[i] = "-"
			}
		}
		say(tabs, "%s\n", strings.Join(row, "\t"))
	}
	if err := tabs.Flush(); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	return nil
}

// list prints things as JSON or as a table; nothing prints only the hint.
func list[T any](c *cobra.Command, asJSON bool, things []T, empty string, head []string, row func(T) []string) error {
	if asJSON {
		return printJSON(c.OutOrStdout(), things)
	}
	if len(things) == 0 {
		say(c.ErrOrStderr(), "%s\n", empty)
		return nil
	}
	rows := make([][]string, len(things))
	for i, thing := range things {
		rows[i] = row(thing)
	}
	return table(c.OutOrStdout(), head, rows)
}

// at is a time for a table: exact to the minute, in the reader's own zone.
func at(t *wire.Time) string {
	if t == nil {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04")
}

// lasting is a duration in seconds for people.
func lasting(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	if d >= time.Minute {
		return d.Round(time.Second).String()
	}
	return d.Round(10 * time.Millisecond).String()
}
