package browsertest

import "time"

// SetPatience makes b wait that long.
func (b *Browser) SetPatience(d time.Duration) { b.patience = d }

// Groups are the process groups of the browser.
func Groups() []int {
	chromium.Lock()
	defer chromium.Unlock()
	return chromium.groups
}
