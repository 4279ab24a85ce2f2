package wire_test

import (
	"testing"

	"fairlead.dev/fairlead/internal/wire"
)

func TestALayersProgressIsALineThatReadsBack(t *testing.T) {
	p := wire.LayerProgress{Layer: "1f2e3d4c5b6a", Phase: "downloading", Done: 1_000_000, Total: 4_200_000_000}
	if got := p.String(); got != "Layer 1f2e3d4c5b6a: downloading 1.0 MB of 4.2 GB" {
		t.Errorf("line %q", got)
	}
	if got, ok := wire.ParseLayerProgress(p.String()); !ok || got != p {
		t.Errorf("read back as %+v (%v)", got, ok)
	}
	for _, line := range []string{"", "Layer", "Layer x: y 1 B of 2", "Pulling image: x", "Layer x: y -1 B of 2 B", "Layer x: y NaN B of 2 B", "Layer x: y 1 QB of 2 B"} {
		if got, ok := wire.ParseLayerProgress(line); ok {
			t.Errorf("%q is taken for %+v", line, got)
		}
	}
}

func FuzzParseLayerProgress(f *testing.F) {
	f.Add("Layer 1f2e3d4c5b6a: downloading 1.0 MB of 4.2 GB")
	f.Fuzz(func(t *testing.T, line string) {
		p, ok := wire.ParseLayerProgress(line)
		if ok && (p.Done < 0 || p.Total < 0) {
			t.Errorf("%q has negative sizes: %+v", line, p)
		}
	})
}
