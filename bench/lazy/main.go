// Command lazy measures whether a step on an image would be done sooner if it
// were started before the image is there: the image of bench/pull, pulled whole
// by Fairlead, beside the same image in eStargz, mounted by FUSE with the library
// of stargz-snapshotter, which fetches what is read when it is read.
//
//	make bench-lazy [LAZY='--size 400MB --runs 3 --link shaped --only tuned --json']
//
// It needs root and /dev/fuse. It is a module of its own, so that the product
// links none of that library.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
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
	size  uint64 // bytes of the compressed layers, about
	runs  int
	dir   string // holds the images between runs, and everything else during one
	links []string
	ways  []way
	json  bool
	log   io.Writer
}

// shares are what part of the image's bytes a step reads.
var shares = []float64{0.1, 0.3, 1}

// typical is the share whose files are prioritized, and of which the processor
// time and memory are told.
const typical = 0.3

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	argument := ""
	if len(os.Args) == 2 {
		argument = os.Args[1]
	}
	var err error
	switch argument {
	case trial.ChildArgument:
		err = child(ctx, os.Stdin, os.Stdout)
	case stepArgument:
		err = readStep(ctx, os.Stdin, os.Stdout)
	default:
		err = parent(ctx, os.Args[1:])
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench/lazy:", err)
		os.Exit(1)
	}
}

func readSettings(args []string) (settings, error) {
	s := settings{log: os.Stderr}
	flags := flag.NewFlagSet("bench/lazy", flag.ContinueOnError)
	size := flags.String("size", "400MB", "the compressed size of the image, about")
	flags.IntVar(&s.runs, "runs", 3, "how often everything is measured; the median counts")
	flags.StringVar(&s.dir, "dir", filepath.Join(os.TempDir(), "fairlead-bench-pull"),
		"a directory on the disk to measure; the images stay in it for the next run")
	links := flags.String("link", strings.Join(far.Links, ","), "which way to the registry")
	only := flags.String("only", "", "measure only the ways with this in their names")
	flags.BoolVar(&s.json, "json", false, "print JSON instead of tables")
	if err := flags.Parse(args); err != nil {
		return s, err
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
	for _, w := range ways {
		if strings.Contains(w.Name, *only) {
			s.ways = append(s.ways, w)
		}
	}
	if len(s.ways) == 0 {
		return s, fmt.Errorf("--only: no way has %q in its name", *only)
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
	plain, err := far.OpenModel(ctx, s.dir, s.size, s.log)
	if err != nil {
		return fmt.Errorf("making the image: %w", err)
	}
	files, err := entries(plain)
	if err != nil {
		return err
	}
	b := &bench{settings: s, plain: plain, steps: make(map[float64][]string)}
	for _, share := range shares {
		b.steps[share] = choose(files, share)
	}
	stargz, err := convert(ctx, plain, stargzTag, nil, s.log)
	if err != nil {
		return fmt.Errorf("converting the image: %w", err)
	}
	prioritized, err := convert(ctx, plain, prioritizedTag, b.steps[typical], s.log)
	if err != nil {
		return fmt.Errorf("converting the image: %w", err)
	}
	if b.side, err = far.Serve(); err != nil {
		return fmt.Errorf("starting the registry: %w", err)
	}
	defer func() { err = errors.Join(err, b.side.Close()) }()
	for tag, m := range map[string]*far.Model{gzipTag: plain, stargzTag: stargz, prioritizedTag: prioritized} {
		if err := b.side.Push(ctx, m, tag); err != nil {
			return fmt.Errorf("pushing the image: %w", err)
		}
	}
	const beside = 4 << 30 // beside three times the unpacked image
	b.stand = trial.Stand{Dir: s.dir, Room: 3*plain.Unpacked() + beside}
	defer func() { err = errors.Join(err, b.stand.Clear()) }()
	if err := b.measure(ctx); err != nil {
		return err
	}
	out := b.report()
	if out.Gone, err = b.lose(ctx); err != nil {
		return err
	}
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

	plain *far.Model
	steps map[float64][]string // paths by the share of the image's bytes
	side  *far.Side
	stand trial.Stand
	got   []measured
	read  map[float64]content
}

// measured is one trial and what it took.
type measured struct {
	Link  string
	Way   string
	Share float64
	result
}

// measure goes round and round: everybody once before anybody twice, so that a
// machine whose speed drifts does so for all.
func (b *bench) measure(ctx context.Context) error {
	b.read = make(map[float64]content)
	for _, link := range b.links {
		b.side.Use(link)
		for round := range b.runs {
			for _, share := range shares {
				for i := range b.ways { // who is first in one round is last in the next
					w := b.ways[(i+round)%len(b.ways)]
					got, err := b.run(ctx, w, share)
					if err != nil {
						return fmt.Errorf("%s, %s: %w", w.Name, link, err)
					}
					if known, ok := b.read[share]; ok && known != got.Read.Content {
						return fmt.Errorf("%s, %s: the step read %+v, and by another way %+v", w.Name, link, got.Read.Content, known)
					}
					b.read[share] = got.Read.Content
					fmt.Fprintf(b.log, "%s %d/%d %.0f %% %s: first line %.2f s, %s, %d requests, %d MB\n",
						link, round+1, b.runs, share*100, w.Name, got.Line, got.Result, got.Requests, got.Fetched/1e6)
					b.got = append(b.got, measured{link, w.Name, share, got})
				}
			}
		}
	}
	return nil
}

// patience is what a trial may take: one that takes longer hangs.
const patience = 10 * time.Minute

func (b *bench) run(ctx context.Context, w way, share float64) (got result, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	seconds, err := b.stand.Run(ctx, b.job(w, share), &got)
	got.AddFar(seconds)
	return got, err
}

func (b *bench) job(w way, share float64) job {
	return job{
		way: w, Dir: b.stand.Place(), Host: b.side.Host, Image: b.side.Image(w.Tag), CA: b.side.CAFile,
		User: far.User, Password: far.Password, Paths: b.steps[share], Layers: b.plain.Layers,
	}
}

// lose takes the registry away, for good, while a step runs on a lazy mount, and
// says what that sees.
func (b *bench) lose(ctx context.Context) (string, error) {
	b.side.Use(far.Shaped)
	w := way{Name: "lazy", Tag: stargzTag, Lazy: true}
	j := b.job(w, 1)
	j.Mark = filepath.Join(j.Dir, "reading")
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	go func() {
		for ctx.Err() == nil {
			if _, err := os.Stat(j.Mark); err == nil {
				b.side.Cut()
				return
			}
			<-time.After(10 * time.Millisecond)
		}
	}()
	var got result
	if _, err := b.stand.Run(ctx, j, &got); err != nil {
		return "", err
	}
	return fmt.Sprintf("A step on a lazy mount whose registry goes away when it has read a tenth of its files ends after %d of %d, with %q.",
		got.Read.Content.Files, len(j.Paths), got.Read.Problem), nil
}

// job is what a child measures.
type job struct {
	way

	Dir            string // fresh and empty
	Host, Image    string
	CA             string // a file
	User, Password string

	Paths  []string // that the step reads
	Layers []far.Layer
	Mark   string // a file that the step makes when it has read a tenth: it is to lose the registry then
}

// result is what it took: its Wall is when the step was done.
type result struct {
	trial.Result

	Line float64 // seconds until the first line of a trivial command
	Read stepRead

	// Of a lazy mount alone, until the step was done.
	Requests int64
	Fetched  int64 // bytes
}

// child does the job that input says.
func child(ctx context.Context, input io.Reader, output io.Writer) (err error) {
	runtime.LockOSThread() // its children end with this thread
	var j job
	if err := json.NewDecoder(input).Decode(&j); err != nil {
		return err
	}
	to, err := far.Reach(j.Host, j.CA, j.User, j.Password)
	if err != nil {
		return err
	}
	var got result
	var counted traffic
	m := &trial.Meter{Own: true}
	if err := m.Start(); err != nil {
		return err
	}
	begin := time.Now()
	var root string
	var done func() error
	if j.Lazy {
		root, done, err = lazy(ctx, j, to, &counted)
	} else {
		root, done, err = whole(ctx, j, to)
	}
	if done != nil {
		defer func() { err = errors.Join(err, done()) }()
	}
	if err != nil {
		return err
	}
	if got.Read, err = runStep(ctx, step{Root: root, Paths: j.Paths, Mark: j.Mark}); err != nil {
		return err
	}
	if err := m.Stop(); err != nil {
		return err
	}
	got.Line = got.Read.Line.Sub(begin).Seconds()
	got.Result, got.Requests, got.Fetched = m.Result, counted.requests.Load(), counted.bytes.Load()
	failed := got.Read.Problem != ""
	switch {
	case j.Mark == "" && failed:
		return errors.New(got.Read.Problem)
	case j.Mark != "" && !failed:
		return errors.New("the step was done before the registry was gone")
	case !failed:
		err = far.Whole(root, j.Layers)
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(output).Encode(got)
}

// runStep has another process start the command and read, as a runtime would. One
// that serves a mount may not: Go opens no connection while it starts a program,
// and the program would wait for one.
func runStep(ctx context.Context, s step) (got stepRead, err error) {
	input, err := json.Marshal(s)
	if err != nil {
		return got, err
	}
	self, err := os.Executable()
	if err != nil {
		return got, err
	}
	var output, problems bytes.Buffer
	c := exec.CommandContext(ctx, self, stepArgument)
	c.Stdin, c.Stdout, c.Stderr = bytes.NewReader(input), &output, &problems
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.Run(); err != nil {
		return got, fmt.Errorf("%w: %s", err, problems.Bytes())
	}
	return got, json.Unmarshal(output.Bytes(), &got)
}
