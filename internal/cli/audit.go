package cli

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"fairlead.dev/fairlead/internal/client"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/wire"
)

func newAudit(s *session) *cobra.Command {
	var limit int
	c := &cobra.Command{
		Use: "audit", Short: "Show who did what, the newest first (admins only)",
		Long: "Show who did what, the newest first: admins the rows of their organisations, operators those that\n" +
			"belong to none. --verb takes a verb, or credential for all that was done to credentials; --result ok,\n" +
			"failed for whatever is not, or the code of an error; --since and --until a time, a date, or how long\n" +
			"ago: 90m, 7d.",
		Example: "  fairlead audit --verb credential --since 7d\n  fairlead audit --actor ada --result failed",
	}
	filter := auditFlags(c)
	c.Flags().IntVar(&limit, "limit", 50, "at most this many")
	asJSON := jsonFlag(c)
	c.RunE = s.calling(func(c *cobra.Command, api *client.Client, _ []string) error {
		wanted, err := filter(time.Now())
		if err != nil {
			return err
		}
		if limit < 1 {
			return fault.InvalidField("limit", "limit", "%d is no number of rows: at least 1", limit)
		}
		all, err := api.Audit(c.Context(), wanted, limit)
		if err != nil {
			return err
		}
		if err := list(c, *asJSON, all.Results, "Nothing yet.", []string{"TIME", "WHO", "FROM", "WHAT", "RESULT", "ON", "DETAILS"}, auditRow); err != nil {
			return err
		}
		if shown := len(all.Results); !*asJSON && all.Next != nil {
			count := humanize.Comma(int64(all.Count))
			if all.More {
				count = "more than " + count
			}
			say(c.ErrOrStderr(), "%s of %s: --limit shows more.\n", humanize.Comma(int64(shown)), count)
		}
		return nil
	})
	c.AddCommand(newAuditExport(s), newAuditVerify(s))
	return c
}

func auditRow(e wire.AuditEvent) []string {
	if e.Unreadable {
		return []string{"", "", "", "", "unreadable", "", "row " + strconv.FormatInt(e.ID, 10) + " was changed in the database: fairlead audit verify"}
	}
	var details []string
	for _, name := range slices.Sorted(maps.Keys(e.Details)) {
		details = append(details, name+"="+e.Details[name])
	}
	return []string{at(e.Time), e.Actor, e.Remote, e.Verb, e.Result, e.ObjectName, strings.Join(details, " ")}
}

// auditFlags gives a command the flags that say which rows of the trail; what it
// returns reads them at a time.
func auditFlags(c *cobra.Command) func(now time.Time) (client.AuditFilter, error) {
	var f client.AuditFilter
	var since, until string
	for _, flag := range []struct {
		into       *string
		name, text string
	}{
		{&f.Organization, "organization", "only of this organisation; 0: only what belongs to none"},
		{&f.Actor, "actor", "only what this user, worker or cache did"},
		{&f.Object, "object", "only what was done to this: a name or an id"},
		{&f.Execution, "execution", "only what was done for this execution: its id"},
		{&f.Verb, "verb", "only this verb, or all that was done to this sort of thing"},
		{&f.Result, "result", "only with this result: ok, failed, or a code"},
		{&since, "since", "only from this time on"},
		{&until, "until", "only before this time"},
	} {
		c.Flags().StringVar(flag.into, flag.name, "", flag.text)
	}
	return func(now time.Time) (client.AuditFilter, error) {
		var sinceErr, untilErr error
		f.Since, sinceErr = moment("since", since, now)
		f.Until, untilErr = moment("until", until, now)
		return f, fault.Join(sinceErr, untilErr)
	}
}

// moment reads a time as people write it: RFC 3339, a date or a minute in the
// reader's own zone, or how long ago. "" is none.
func moment(name, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly, "2006-01-02 15:04", "2006-01-02T15:04"} {
		if at, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return at, nil
		}
	}
	if days, found := strings.CutSuffix(text, "d"); found {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return now.AddDate(0, 0, -int(n)), nil
		}
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	return time.Time{}, fault.InvalidField(name, "time", "%.40q is no time", text).
		WithHint("Write a date, 2026-03-09T17:31:00Z, or how long ago: 90m, 24h, 7d.")
}
