package app

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// Bounds of how long something is kept.
const (
	keepLeast = 24 * time.Hour
	keepMost  = 100 * 366 * 24 * time.Hour
)

// Days is a time of days or years as people write it on a command line: 365d,
// 8760h. 0 is for ever.
type Days time.Duration

// String writes it so that Set reads it again.
func (d *Days) String() string {
	if *d == 0 {
		return ""
	}
	return time.Duration(*d).String()
}

// Set reads it.
func (d *Days) Set(text string) error {
	var parsed time.Duration
	var err error
	if days, found := strings.CutSuffix(text, "d"); found {
		var n int64
		if n, err = strconv.ParseInt(days, 10, 32); err == nil {
			parsed = time.Duration(min(max(n, -1), int64(keepMost/(24*time.Hour))+1)) * 24 * time.Hour
		}
	} else {
		parsed, err = time.ParseDuration(text)
	}
	switch {
	case err != nil:
		return errors.New("a time is a number and a unit: 365d, 8760h")
	case parsed != 0 && (parsed < keepLeast || parsed > keepMost):
		return errors.New("at least 1d, and at most 36600d; 0 is for ever")
	}
	*d = Days(parsed)
	return nil
}

// Type is what the help calls it.
func (d *Days) Type() string { return "time" }
