package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"

	"fairlead.dev/fairlead/bench/far"
	"fairlead.dev/fairlead/bench/trial"
)

// report is what is printed: medians, and their ratios.
type report struct {
	Layers, Files  int
	Size, Unpacked int64
	Cores, Runs    int
	Missing        []string `json:",omitempty"`
	CachesKept     bool     `json:",omitempty"` // they could not be emptied
	Links          []linkReport
}

// linkReport is what was measured over one link.
type linkReport struct {
	Link  string
	Limit limit
	Rows  []row
}

// limit is the larger of three times, in seconds.
type limit struct {
	Transfer, Decompress, Write float64
	Seconds                     float64
	By                          string
}

// row is one way to a root filesystem.
type row struct {
	Name string
	result
	ToLimit       float64 // its time to the limit
	WrittenRatio  float64 // to the unpacked size
	FairleadRatio float64 // Fairlead's time to its
	Runs          []result
}

func (b *bench) report() report {
	r := report{
		Layers: len(b.image.Layers), Files: b.image.FileCount(), Size: b.image.Size(), Unpacked: b.image.Unpacked(),
		Cores: runtime.NumCPU(), Runs: b.settings.runs, Missing: b.missing, CachesKept: b.stand.CachesKept,
	}
	for _, link := range b.links {
		l := linkReport{Link: link, Limit: b.limitOf(link)}
		var ours float64
		for _, name := range b.kept {
			runs := b.runs[link][name]
			one := row{Name: name, Runs: runs, result: result{
				Result: trial.Result{
					Wall: medianOf(runs, func(r result) float64 { return r.Wall }), CPU: medianOf(runs, func(r result) float64 { return r.CPU }),
					Far: medianOf(runs, func(r result) float64 { return r.Far }), Others: medianOf(runs, func(r result) float64 { return r.Others }),
					Memory:  int64(medianOf(runs, func(r result) float64 { return float64(r.Memory) })),
					Written: int64(medianOf(runs, func(r result) float64 { return float64(r.Written) })),
				},
				Again: medianOf(runs, func(r result) float64 { return r.Again }), Changed: medianOf(runs, func(r result) float64 { return r.Changed }),
			}}
			if name == fairlead {
				ours = one.Wall
			}
			one.ToLimit, one.FairleadRatio = one.Wall/l.Limit.Seconds, ours/one.Wall
			one.WrittenRatio = float64(one.Written) / float64(r.Unpacked)
			l.Rows = append(l.Rows, one)
		}
		r.Links = append(r.Links, l)
	}
	return r
}

func (b *bench) limitOf(link string) limit {
	l := limit{
		Decompress: median(b.limits.decompress) / float64(runtime.NumCPU()), Write: median(b.limits.write),
		Transfer: float64(b.image.Size()) / far.LinkRate,
	}
	if link == far.Unthrottled {
		l.Transfer = median(b.limits.transfer)
	}
	l.Seconds = max(l.Transfer, l.Decompress, l.Write)
	switch l.Seconds {
	case l.Transfer:
		l.By = "transfer"
	case l.Decompress:
		l.By = "decompression"
	default:
		l.By = "writing"
	}
	return l
}

func (r report) print(w io.Writer) error {
	var s strings.Builder
	fmt.Fprintf(&s, "\n%d layers of %.0f MB, %.0f MB unpacked (%.2f : 1), %d files; medians of %d on %d cores\n",
		r.Layers, mega(r.Size), mega(r.Unpacked), float64(r.Unpacked)/float64(r.Size), r.Files, r.Runs, r.Cores)
	if r.CachesKept {
		s.WriteString("The machine's caches could not be emptied between the runs.\n")
	}
	for _, sentence := range r.Missing {
		s.WriteString(sentence + "\n")
	}
	for _, l := range r.Links {
		fmt.Fprintf(&s, "\n%s; limit %.2f s by %s (transfer %.2f s, decompression on all cores %.2f s, writing %.2f s)\n\n",
			l.Link, l.Limit.Seconds, l.Limit.By, l.Limit.Transfer, l.Limit.Decompress, l.Limit.Write)
		s.WriteString("| | seconds | to the limit | Fairlead to it | processor s | memory MiB | written / unpacked | registry's processor s | others' |\n")
		s.WriteString("| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n")
		for _, one := range l.Rows {
			fmt.Fprintf(&s, "| %s | %.2f | %.2f | %.2f | %.2f | %d | %.2f | %.2f | %.2f |\n",
				one.Name, one.Wall, one.ToLimit, one.FairleadRatio, one.CPU, one.Memory>>20, one.WrittenRatio, one.Far, one.Others)
		}
		ours := l.Rows[slices.IndexFunc(l.Rows, func(one row) bool { return one.Name == fairlead })]
		fmt.Fprintf(&s, "\nFairlead mounts it again after %.0f ms, and with a changed layer of 10 MB on top after %.0f ms.\n", ours.Again*1e3, ours.Changed*1e3)
	}
	_, err := io.WriteString(w, s.String())
	return err
}

func mega(bytes int64) float64 { return float64(bytes) / 1e6 }

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(values))[len(values)/2]
}

func medianOf(runs []result, of func(result) float64) float64 {
	values := make([]float64, len(runs))
	for i, r := range runs {
		values[i] = of(r)
	}
	return median(values)
}
