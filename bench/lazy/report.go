package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
)

// report is what is printed: medians.
type report struct {
	Size, Unpacked int64
	Files          int
	Cores, Runs    int
	CachesKept     bool `json:",omitempty"` // they could not be emptied
	Steps          map[string]content
	Rows           []row
	Gone           string
	All            []measured
}

// row is one way over one link, in seconds.
type row struct {
	Link, Way string
	Line      float64
	Steps     []float64 // until the step is done, by share
	CPU       []float64 // processor time of each
	Memory    []int64   // bytes, of the process that pulls or serves the mount
	Requests  []int64
	Fetched   []int64
}

func (b *bench) report() report {
	r := report{
		Size: b.plain.Size(), Unpacked: b.plain.Unpacked(), Files: b.plain.FileCount(),
		Cores: runtime.NumCPU(), Runs: b.runs, CachesKept: b.stand.CachesKept, All: b.got, Steps: make(map[string]content),
	}
	for share, read := range b.read {
		r.Steps[percent(share)] = read
	}
	for _, link := range b.links {
		for _, w := range b.ways {
			one := row{Link: link, Way: w.Name}
			mine := func(m measured) bool { return m.Link == link && m.Way == w.Name }
			one.Line = b.median(mine, func(m measured) float64 { return m.Line })
			for _, share := range shares {
				ofShare := func(m measured) bool { return mine(m) && m.Share == share }
				one.Steps = append(one.Steps, b.median(ofShare, func(m measured) float64 { return m.Wall }))
				one.CPU = append(one.CPU, b.median(ofShare, func(m measured) float64 { return m.CPU }))
				one.Memory = append(one.Memory, int64(b.median(ofShare, func(m measured) float64 { return float64(m.Memory) })))
				one.Requests = append(one.Requests, int64(b.median(ofShare, func(m measured) float64 { return float64(m.Requests) })))
				one.Fetched = append(one.Fetched, int64(b.median(ofShare, func(m measured) float64 { return float64(m.Fetched) })))
			}
			r.Rows = append(r.Rows, one)
		}
	}
	return r
}

func (b *bench) median(which func(measured) bool, of func(measured) float64) float64 {
	var values []float64
	for _, m := range b.got {
		if which(m) {
			values = append(values, of(m))
		}
	}
	slices.Sort(values)
	return values[len(values)/2]
}

func percent(share float64) string { return fmt.Sprintf("%.0f %%", share*100) }

func (r report) print(w io.Writer) error {
	var s strings.Builder
	fmt.Fprintf(&s, "\n%.0f MB, %.0f MB unpacked, %d files; medians of %d on %d cores\n",
		float64(r.Size)/1e6, float64(r.Unpacked)/1e6, r.Files, r.Runs, r.Cores)
	if r.CachesKept {
		s.WriteString("The machine's caches could not be emptied between the runs.\n")
	}
	for _, share := range shares {
		read := r.Steps[percent(share)]
		fmt.Fprintf(&s, "The step of %s reads %d files, %.0f MB.\n", percent(share), read.Files, float64(read.Bytes)/1e6)
	}
	at := slices.Index(shares, typical)
	link := ""
	for _, one := range r.Rows {
		if one.Link != link {
			link = one.Link
			fmt.Fprintf(&s, "\n| %s | first line, s |", link)
			for _, share := range shares {
				fmt.Fprintf(&s, " step of %s, s |", percent(share))
			}
			for _, share := range shares {
				fmt.Fprintf(&s, " processor s, %s |", percent(share))
			}
			fmt.Fprintf(&s, " memory MiB | requests | MB fetched |\n|%s\n", strings.Repeat(" --- |", 5+2*len(shares)))
		}
		fmt.Fprintf(&s, "| %s | %.2f |", one.Way, one.Line)
		for _, seconds := range slices.Concat(one.Steps, one.CPU) {
			fmt.Fprintf(&s, " %.2f |", seconds)
		}
		fmt.Fprintf(&s, " %d | %d | %.0f |\n", one.Memory[at]>>20, one.Requests[at], float64(one.Fetched[at])/1e6)
	}
	fmt.Fprintf(&s, "\nMemory, requests and bytes are of the step of %s.\n%s\n", percent(typical), r.Gone)
	_, err := io.WriteString(w, s.String())
	return err
}
