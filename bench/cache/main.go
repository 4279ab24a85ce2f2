// Command cache measures the pull-through cache: the real program beside
// distribution as a proxy, nginx as a caching proxy, and the limits that net/http
// and the registry itself set in the same run.
//
//	go run ./bench/cache [--quick] [--size 1GB] [--runs 5] [--only …] [--json]
//
// It needs root. The registry is distribution's, made on the spot in this process,
// asks for tokens, and is reached as fast as this machine goes and over a link of
// 1 Gbit/s with a round trip of 20 ms (bench/far says how). Whoever is measured is
// a process of its own, started on a new filesystem; its clients are another.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/dustin/go-humanize"

	"fairlead.dev/fairlead/bench/far"
	"fairlead.dev/fairlead/bench/trial"
)

// settings are what the command line says.
type settings struct {
	size     uint64 // bytes of the image's compressed layers, about
	runs     int
	dir      string // holds the image between runs, and everything else during one
	only     []string
	links    []string
	steps    []string
	time     time.Duration
	patience time.Duration
	json     bool
	log      io.Writer
}

// The tags of the image, and of the one whose topmost layer is another: that layer
// is there for the first byte.
const (
	tag        = "v1"
	changedTag = "v2"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	switch {
	case len(os.Args) == 2 && os.Args[1] == trial.ChildArgument:
		err = child(ctx, os.Stdin, os.Stdout)
	case len(os.Args) == 4 && os.Args[1] == plainArgument:
		err = servePlain(ctx, os.Args[2], os.Args[3])
	default:
		err = parent(ctx, os.Args[1:])
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench/cache:", err)
		os.Exit(1)
	}
}

func readSettings(args []string) (settings, error) {
	s := settings{log: os.Stderr}
	flags := flag.NewFlagSet("bench/cache", flag.ContinueOnError)
	size := flags.String("size", "1GB", "the compressed size of the image, about")
	flags.IntVar(&s.runs, "runs", 5, "how often everything is measured; the median counts")
	flags.StringVar(&s.dir, "dir", filepath.Join(os.TempDir(), "fairlead-bench-cache"),
		"a directory on the disk to measure; the image stays in it for the next run")
	only := flags.String("only", "", "which caches to measure beside Fairlead, with commas between; all that are here if empty, and - for none")
	links := flags.String("link", strings.Join(far.Links, ","), "which way to the registry a cold cache has")
	steps := flags.String("steps", strings.Join([]string{stepCold, stepWarm, stepMany}, ","), "what to measure")
	flags.DurationVar(&s.time, "time", 5*time.Second, "how long clients ask a warm cache; many connections twice as long")
	flags.DurationVar(&s.patience, "patience", time.Minute, "how long clients wait for a cold cache")
	quick := flags.Bool("quick", false, "an image of 100 MB, measured once, for a second each")
	flags.BoolVar(&s.json, "json", false, "print JSON instead of tables")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if *quick {
		*size, s.runs, s.time = "100MB", 1, time.Second
	}
	var err error
	if s.size, err = humanize.ParseBytes(*size); err != nil {
		return s, fmt.Errorf("--size: %w", err)
	}
	if s.dir, err = filepath.Abs(s.dir); err != nil {
		return s, err
	}
	if s.links, err = chosen("link", *links, far.Links); err != nil {
		return s, err
	}
	if s.steps, err = chosen("steps", *steps, []string{stepCold, stepWarm, stepMany}); err != nil {
		return s, err
	}
	if *only != "" {
		s.only = strings.Split(*only, ",")
	}
	if s.runs < 1 || s.size < 1e6 || s.time <= 0 || s.patience <= 0 {
		return s, errors.New("less than one run, less than 1 MB, or no time measures nothing")
	}
	if os.Geteuid() != 0 {
		return s, errors.New("a new filesystem is mounted for each trial: run it as root")
	}
	return s, nil
}

// chosen are the words of a list, each of which must be one of those.
func chosen(flag, list string, of []string) ([]string, error) {
	words := strings.Split(list, ",")
	for _, word := range words {
		if !slices.Contains(of, word) {
			return nil, fmt.Errorf("--%s: %q is none of %s", flag, word, strings.Join(of, ", "))
		}
	}
	return words, nil
}

func parent(ctx context.Context, args []string) (err error) {
	s, err := readSettings(args)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return err
	}
	img, err := far.OpenModel(ctx, s.dir, s.size, s.log)
	if err != nil {
		return fmt.Errorf("making the image: %w", err)
	}
	side, err := far.Serve()
	if err != nil {
		return fmt.Errorf("starting the registry: %w", err)
	}
	defer func() { err = errors.Join(err, side.Close()) }()
	if err := errors.Join(side.Push(ctx, img, tag), side.Push(ctx, img.Changed(), changedTag)); err != nil {
		return fmt.Errorf("pushing the image: %w", err)
	}
	const beside = 2 << 30 // beside twice the image: it may be there and on its way
	b := &bench{
		settings: s, image: img, side: side, runs: make(map[trialKey][]result),
		stand: trial.Stand{Dir: s.dir, Room: 2*img.Size() + beside},
	}
	defer func() { err = errors.Join(err, b.stand.Clear()) }()
	if err := b.measure(ctx); err != nil {
		return err
	}
	out := b.report()
	if s.json {
		encoder := json.NewEncoder(os.Stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(out)
	}
	return out.print(os.Stdout)
}

// trialKey is what was measured of whom; the link of a cold cache, or "".
type trialKey struct{ name, step, link string }

// bench is one run of this command.
type bench struct {
	settings

	image   *far.Model
	side    *far.Side
	stand   trial.Stand
	kept    []string // those who are measured
	missing []string // sentences about those who are not

	runs map[trialKey][]result
}

// measure goes round and round: everybody once before anybody twice, so that a
// machine whose speed drifts does so for all.
func (b *bench) measure(ctx context.Context) error {
	var all []trialKey
	for _, s := range b.here() {
		for _, step := range b.steps {
			switch {
			case step == stepCold && s.isCache:
				for _, link := range b.links {
					all = append(all, trialKey{s.name, step, link})
				}
			case step == stepWarm, step == stepMany && s.isCache:
				all = append(all, trialKey{s.name, step, ""})
			}
		}
	}
	if slices.Contains(b.steps, stepCold) {
		for _, link := range b.links {
			all = append(all, trialKey{direct, stepCold, link})
		}
	}
	slices.SortStableFunc(all, func(a, c trialKey) int { // what is compared is measured together
		return strings.Compare(a.step+a.link, c.step+c.link)
	})
	for round := range b.settings.runs {
		for i := range all { // who is first in one round is last in the next
			k := all[i]
			if round%2 == 1 {
				k = all[len(all)-1-i]
			}
			got, err := b.run(ctx, k)
			if err != nil {
				return fmt.Errorf("%s, %s %s: %w", k.name, k.step, k.link, err)
			}
			fmt.Fprintf(b.log, "%d/%d %s %s %s: %s\n", round+1, b.settings.runs, k.step, k.link, k.name, got)
			b.runs[k] = append(b.runs[k], got)
		}
	}
	return nil
}

// here are those who can be measured, Fairlead first and the limit last.
func (b *bench) here() (here []server) {
	for _, s := range servers {
		if s.isCache && s.name != fairlead && b.only != nil && !slices.Contains(b.only, s.name) {
			continue
		}
		if lacks := s.lacks(); lacks != "" {
			b.missing = append(b.missing, fmt.Sprintf("%s is not measured: %s is not found (%s).", s.name, lacks, s.from))
			continue
		}
		here = append(here, s)
		b.kept = append(b.kept, s.name)
	}
	for _, sentence := range b.missing {
		fmt.Fprintln(b.log, sentence)
	}
	return here
}

// run has a child measure one thing, in an empty directory and with empty caches.
func (b *bench) run(ctx context.Context, k trialKey) (got result, err error) {
	b.side.Drop() // what is left of whoever was measured before, and has been killed
	b.side.Use(far.Unthrottled)
	if k.link != "" {
		b.side.Use(k.link)
	}
	before := b.side.Sent()
	seconds, err := b.stand.Run(ctx, job{
		Name: k.name, Step: k.step, Dir: b.stand.Place(), Host: b.side.Host, CA: b.side.CAFile,
		Layers: b.image.Layers, Top: b.image.Top, ImageDir: b.image.Dir, Time: b.time, Patience: b.patience,
	}, &got)
	got.Upstream = b.side.Sent() - before
	got.AddFar(seconds)
	got.Others = max(got.Others-got.LoadCPU, 0)
	return got, err
}
