package wire_test

import (
	"regexp"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/wire"
)

func FuzzARequestsIDIsTakenOrMadeAndAlwaysHarmless(f *testing.F) {
	for _, given := range []string{"", "a", "0af7651916cd43dd8448eb211c80319c", "a b", "a\nb", "ü", strings.Repeat("a", 64), strings.Repeat("a", 65), `"><script>`} {
		f.Add(given)
	}
	harmless := regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
	f.Fuzz(func(t *testing.T, given string) {
		id := wire.RequestID(given)
		if !harmless.MatchString(id) {
			t.Errorf("%q gives %q", given, id)
		}
		if harmless.MatchString(given) && !strings.HasSuffix(given, "\n") && id != given {
			t.Errorf("%q is not taken", given)
		}
		if id != given && id == wire.RequestID(given) {
			t.Errorf("two requests have the id %q", id)
		}
	})
}
