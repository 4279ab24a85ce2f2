package web

import (
	"fmt"
	"image/color"
	"strings"

	"github.com/boombuler/barcode/qr"

	"fairlead.dev/fairlead/internal/secret"
)

// qrCode is a QR code as a page draws it: Path are its dark parts, in modules of
// length 1, within a square of Size that has the light margin that readers need.
type qrCode struct {
	Size int
	Path string
}

// qrMargin is how many light modules are around a code, at least (ISO 18004).
const qrMargin = 4

// qrCodeOf draws a text. No address is asked for it: what it says stays on the page.
func qrCodeOf(text secret.Text) (qrCode, error) {
	code, err := qr.Encode(text.Reveal(), qr.M, qr.Auto)
	if err != nil {
		return qrCode{}, fmt.Errorf("drawing a QR code: %w", err)
	}
	side := code.Bounds().Dx()
	dark := func(x, y int) bool { return x < side && code.At(x, y) == color.Black }
	var path strings.Builder
	for y := range side {
		for x := 0; x < side; x++ {
			from := x
			for dark(x, y) {
				x++
			}
			if x > from {
				fmt.Fprintf(&path, "M%d %dh%dv1h-%dz", from+qrMargin, y+qrMargin, x-from, x-from)
			}
		}
	}
	return qrCode{Size: side + 2*qrMargin, Path: path.String()}, nil
}
