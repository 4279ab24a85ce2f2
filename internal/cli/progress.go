package cli

import (
	"io"
	"os"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"fairlead.dev/fairlead/internal/wire"
)

// isTerminal reports whether w is a terminal that a person looks at.
func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// layerBars draws a bar for each layer of a pull. Where there is no terminal it
// draws nothing.
type layerBars struct {
	w        io.Writer
	terminal bool

	progress *mpb.Progress
	bars     map[string]*layerBar
}

type layerBar struct {
	bar   *mpb.Bar
	phase string
}

func newLayerBars(w io.Writer) *layerBars { return &layerBars{w: w, terminal: isTerminal(w)} }

// show draws how far a layer is, and reports whether there is a terminal to
// draw on.
func (b *layerBars) show(p wire.LayerProgress) bool {
	if !b.terminal {
		return false
	}
	if b.progress == nil {
		b.progress = mpb.New(mpb.WithOutput(b.w), mpb.WithWidth(40))
		b.bars = make(map[string]*layerBar)
	}
	layer, known := b.bars[p.Layer]
	if !known {
		layer = &layerBar{}
		layer.bar = b.progress.AddBar(max(p.Total, 1),
			mpb.PrependDecorators(decor.Name(harmless(p.Layer)+" "), decor.Any(func(decor.Statistics) string { return layer.phase }, decor.WC{W: 12, C: decor.DindentRight})),
			mpb.AppendDecorators(decor.CountersKiloByte("% .1f of % .1f")))
		b.bars[p.Layer] = layer
	}
	layer.phase = harmless(p.Phase)
	if p.Phase == "done" {
		layer.bar.SetCurrent(max(p.Total, 1))
		return true
	}
	// A bar that is full is over for good, so the last byte waits for the end.
	layer.bar.SetCurrent(min(p.Done, max(p.Total, 1)-1))
	return true
}

// finish leaves the bars as they are, above what comes next.
func (b *layerBars) finish() {
	if b.progress == nil {
		return
	}
	for _, layer := range b.bars {
		layer.bar.Abort(false)
	}
	b.progress.Wait()
	b.progress, b.bars = nil, nil
}
