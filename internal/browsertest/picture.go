package browsertest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// textMost is how much of a page's text a failure shows, in bytes.
const textMost = 4000

// brief is the time for what a failure tells, of a page that may hang.
func (b *Browser) brief() (context.Context, context.CancelFunc) {
	return context.WithTimeout(b.ctx, 5*time.Second)
}

// fatalf ends the test, and tells what the page is like.
func (b *Browser) fatalf(format string, args ...any) {
	b.t.Helper()
	ctx, cancel := b.brief()
	defer cancel()
	var at, shown string
	if err := b.evaluate(ctx, "location.href", &at); err != nil {
		at = err.Error()
	}
	if err := b.evaluate(ctx, "document.body ? document.body.innerText : ''", &shown); err != nil {
		shown = err.Error()
	}
	if len(shown) > textMost {
		shown = strings.ToValidUTF8(shown[:textMost], "") + "…"
	}
	picture, err := b.capture(ctx, "failed-"+b.t.Name())
	if err != nil {
		picture = err.Error()
	}
	b.t.Fatalf("%s\nat: %s\npicture: %s\nthe page shows:\n%s", fmt.Sprintf(format, args...), at, picture, shown)
}

// Screenshot writes a picture of all of the page to build/screenshots/NAME.png below
// the module's root.
func (b *Browser) Screenshot(name string) {
	b.t.Helper()
	ctx, cancel := b.bounded()
	defer cancel()
	if _, err := b.capture(ctx, name); err != nil {
		b.fatalf("taking a picture: %v", err)
	}
}

func (b *Browser) capture(ctx context.Context, name string) (string, error) {
	yes := true
	got, err := chromedp.Call(ctx, page.CaptureScreenshot, page.CaptureScreenshotParams{Format: page.CaptureScreenshotFormatPng, CaptureBeyondViewport: &yes})
	if err != nil {
		return "", err
	}
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	folder := filepath.Join(root, "build", "screenshots")
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return "", err
	}
	path := filepath.Join(folder, strings.ReplaceAll(name, "/", "-")+".png")
	return path, os.WriteFile(path, got.Data, 0o600)
}

// moduleRoot is the module's directory, which is above that of every test.
func moduleRoot() (string, error) {
	at, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := at; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("there is no go.mod above %s", at)
		}
	}
}
