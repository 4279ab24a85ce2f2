package account

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func FuzzACodeIsReadAsItIsShownOrNotAtAll(f *testing.F) {
	for _, text := range []string{"WDJB-MJHT", "wdjbmjht", " WDJB MJHT ", "W-D-J-B-M-J-H-T", "AAAA-AAAA", "", "WDJB-MJH\u0130", strings.Repeat("B", 100)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		code, err := parseUserCode(text)
		if err != nil {
			return
		}
		again, err := parseUserCode(code)
		if err != nil || again != code || len(code) != 9 || strings.Trim(code, userCodeLetters+"-") != "" {
			t.Fatalf("%q is read as %q, and that as %q (%v)", text, code, again, err)
		}
	})
}

func TestCodesAreReadAsTheyAreDrawn(t *testing.T) {
	seen := make(map[string]bool)
	for range 1000 {
		code := newUserCode()
		if got, err := parseUserCode(code); err != nil || got != code {
			t.Fatalf("%q is read as %q: %v", code, got, err)
		}
		seen[code] = true
	}
	if len(seen) != 1000 {
		t.Errorf("of 1000 codes %d differ", len(seen))
	}
}

func TestNoMoreAreCountedThanTheMemoryIsFor(t *testing.T) {
	d, now := newDevices(), time.Now()
	for i := range guessersMost {
		if _, err := d.guess(now, Actor{UserID: fmt.Sprint(i), Remote: fmt.Sprint("host-", i)}); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(d.guesses); got > guessersMost {
		t.Errorf("%d are counted", got)
	}
}
