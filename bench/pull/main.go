// Command pull measures a cold pull of an image as machine learning has them,
// from the first request to a root filesystem that a container could run in:
// Fairlead beside every other tool for it that this machine has, and beside the
// limit that network, processor and disk set in the same run.
//
//	go run ./bench/pull [--quick] [--size 1GB] [--runs 5] [--json]
//
// It needs root. The registry is made on the spot, asks for tokens, and is
// reached twice: as fast as this machine goes, and over a link of 1 Gbit/s with
// a round trip of 20 ms, which this process plays (bench/far says how).
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

	"github.com/dustin/go-humanize"

	"fairlead.dev/fairlead/bench/far"
	"fairlead.dev/fairlead/bench/trial"
)

// settings are what the command line says.
type settings struct {
	size    uint64 // bytes of the compressed layers, about
	runs    int
	dir     string // holds the image between runs, and everything else during one
	only    []string
	links   []string
	oldDisk bool
	json    bool
	profile string
	log     io.Writer
}

// The tags of the image, and of the one whose topmost layer is another.
const (
	tag        = "v1"
	changedTag = "v2"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if len(os.Args) == 2 && os.Args[1] == trial.ChildArgument {
		err = child(ctx, os.Stdin, os.Stdout)
	} else {
		err = parent(ctx, os.Args[1:])
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench/pull:", err)
		os.Exit(1)
	}
}

func readSettings(args []string) (settings, error) {
	s := settings{log: os.Stderr}
	flags := flag.NewFlagSet("bench/pull", flag.ContinueOnError)
	size := flags.String("size", "1GB", "the compressed size of the image, about")
	flags.IntVar(&s.runs, "runs", 5, "how often everything is measured; the median counts")
	flags.StringVar(&s.dir, "dir", filepath.Join(os.TempDir(), "fairlead-bench-pull"),
		"a directory on the disk to measure; the image stays in it for the next run")
	only := flags.String("only", "", "whom to measure, with commas between; everybody who is here if empty")
	links := flags.String("link", strings.Join(far.Links, ","), "which way to the registry")
	quick := flags.Bool("quick", false, "an image of 100 MB, measured once")
	flags.BoolVar(&s.oldDisk, "old-disk", false, "measure in the directory itself, not on a new filesystem in a file there")
	flags.BoolVar(&s.json, "json", false, "print JSON instead of tables")
	flags.StringVar(&s.profile, "profile", "", "a file for a processor profile of Fairlead's last far.Unthrottled pull")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if *quick {
		*size, s.runs = "100MB", 1
	}
	var err error
	if s.size, err = humanize.ParseBytes(*size); err != nil {
		return s, fmt.Errorf("--size: %w", err)
	}
	if s.dir, err = filepath.Abs(s.dir); err != nil {
		return s, err
	}
	s.links = strings.Split(*links, ",")
	for _, link := range s.links {
		if !slices.Contains(far.Links, link) {
			return s, fmt.Errorf("--link: %q is none of %s", link, strings.Join(far.Links, ", "))
		}
	}
	if *only != "" {
		s.only = strings.Split(*only, ",")
	}
	if s.runs < 1 || s.size < 1e6 {
		return s, errors.New("less than one run, or less than 1 MB, measures nothing")
	}
	if os.Geteuid() != 0 {
		return s, errors.New("images are unpacked and mounted by root: run it as root")
	}
	return s, nil
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
	const beside = 4 << 30 // beside three times the unpacked image
	b := &bench{
		settings: s, image: img, side: side, runs: make(map[string]map[string][]result),
		stand: trial.Stand{Dir: s.dir, Room: 3*img.Unpacked() + beside, OldDisk: s.oldDisk},
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

// bench is one run of this command.
type bench struct {
	settings

	image   *far.Model
	side    *far.Side
	stand   trial.Stand
	kept    []string // those who are measured
	missing []string // sentences about those who are not

	runs   map[string]map[string][]result // by link and name
	limits struct{ transfer, decompress, write []float64 }
}

// measure goes round and round: everybody once before anybody twice, so that a
// machine whose speed drifts does so for all.
func (b *bench) measure(ctx context.Context) error {
	names := b.here()
	for _, link := range b.links {
		b.runs[link] = make(map[string][]result)
		b.side.Use(link)
		for round := range b.settings.runs {
			if err := b.measureLimits(ctx, link); err != nil {
				return err
			}
			for i := range names { // who is first in one round is last in the next
				name := names[(i+round)%len(names)]
				job := b.job(name)
				if last := round == b.settings.runs-1; last && name == fairlead && link == far.Unthrottled {
					job.Profile = b.profile
				}
				got, err := b.run(ctx, job)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", name, link, err)
				}
				fmt.Fprintf(b.log, "%s %d/%d %s: %s\n", link, round+1, b.settings.runs, name, got)
				b.runs[link][name] = append(b.runs[link][name], got)
			}
		}
	}
	return nil
}

// here are the names of those who can be measured, Fairlead first.
func (b *bench) here() []string {
	names := []string{fairlead}
	for _, p := range peers {
		if b.only != nil && !slices.Contains(b.only, p.name) {
			continue
		}
		if lacks := p.lacks(); lacks != "" {
			b.missing = append(b.missing, fmt.Sprintf("%s is not measured: %s is not found (%s).", p.name, lacks, p.from))
			continue
		}
		names = append(names, p.name)
	}
	for _, sentence := range b.missing {
		fmt.Fprintln(b.log, sentence)
	}
	b.kept = names
	return names
}

// measureLimits measures what nobody can be faster than.
func (b *bench) measureLimits(ctx context.Context, link string) error {
	measured := map[string]*[]float64{limitDecompress: &b.limits.decompress, limitWrite: &b.limits.write, limitTransfer: &b.limits.transfer}
	for _, name := range []string{limitDecompress, limitWrite, limitTransfer} {
		if link != far.Unthrottled && len(b.limits.transfer) >= b.settings.runs {
			return nil // the same for each link, but for the transfer, which the link's rate says
		}
		if name == limitTransfer && link != far.Unthrottled {
			continue
		}
		got, err := b.run(ctx, b.job(name))
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		fmt.Fprintf(b.log, "%s: %s\n", name, got)
		*measured[name] = append(*measured[name], got.Wall)
	}
	return nil
}

// run has a child do a job, in an empty directory and with empty caches.
func (b *bench) run(ctx context.Context, j job) (got result, err error) {
	seconds, err := b.stand.Run(ctx, j, &got)
	got.AddFar(seconds)
	return got, err
}

func (b *bench) job(name string) job {
	return job{
		Name: name, Dir: b.stand.Place(),
		Host: b.side.Host, Image: b.side.Image(tag), Changed: b.side.Image(changedTag), CA: b.side.CAFile, Certificates: filepath.Dir(b.side.CAFile),
		User: far.User, Password: far.Password,
		Layers: b.image.Layers, ImageDir: b.image.Dir, Bytes: b.image.Unpacked(),
	}
}
