package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"time"
)

// stepArgument makes this program read files as a step does.
const stepArgument = "read-as-a-step"

// large is the size in bytes from which a file is a library, and not a module of
// a package.
const large = 64<<10 + 1

// choose gives the files that a step reads which needs a share of the image's
// bytes, in the order in which it reads them: whole packages (the small files of
// a directory, one after the other, as an interpreter imports them) and whole
// libraries, mixed. A smaller share's files are all among a larger one's.
func choose(files []entry, share float64) []string {
	packages, libraries := units(files)
	random := rand.New(rand.NewPCG(1, 2)) // the same for every share and run
	random.Shuffle(len(packages), func(i, j int) { packages[i], packages[j] = packages[j], packages[i] })
	chosen := first(packages, share*bytesOf(packages))
	// Of libraries, which are few and large, the largest that fit, out of those
	// of the next larger share.
	slices.SortStableFunc(libraries, func(a, b []entry) int { return int(b[0].Size - a[0].Size) })
	all := bytesOf(libraries)
	for _, larger := range []float64{1, 0.3, 0.1} {
		if larger >= share {
			libraries = fitting(libraries, larger*all)
		}
	}
	for _, library := range libraries { // each at its own place among the packages
		at := int(libraryPlace(library[0].Path) * float64(len(chosen)+1))
		chosen = slices.Insert(chosen, at, library)
	}
	var paths []string
	for _, unit := range chosen {
		for _, f := range unit {
			paths = append(paths, f.Path)
		}
	}
	return paths
}

// units are what is imported at once: the small files of a directory, and each
// large file alone.
func units(files []entry) (packages, libraries [][]entry) {
	of := make(map[string]int)
	for _, f := range files {
		if f.Size >= large {
			libraries = append(libraries, []entry{f})
			continue
		}
		dir := filepath.Dir(f.Path)
		if _, known := of[dir]; !known {
			of[dir] = len(packages)
			packages = append(packages, nil)
		}
		packages[of[dir]] = append(packages[of[dir]], f)
	}
	return packages, libraries
}

// first are as many units from the beginning as fit into so many bytes.
func first(units [][]entry, bytes float64) [][]entry {
	for i := range units {
		if bytes -= bytesOf(units[i : i+1]); bytes < 0 {
			return slices.Clone(units[:i])
		}
	}
	return slices.Clone(units)
}

// fitting are the units that fit into so many bytes, tried in turn.
func fitting(units [][]entry, bytes float64) (chosen [][]entry) {
	for _, unit := range units {
		if n := bytesOf([][]entry{unit}); n <= bytes {
			chosen, bytes = append(chosen, unit), bytes-n
		}
	}
	return chosen
}

func bytesOf(units [][]entry) (n float64) {
	for _, unit := range units {
		for _, f := range unit {
			n += float64(f.Size)
		}
	}
	return n
}

// libraryPlace is from 0 to 1, the same for a path whatever else is read.
func libraryPlace(path string) float64 {
	return float64(crc32.ChecksumIEEE([]byte(path))) / (1 << 32)
}

// step is what the process that reads is told.
type step struct {
	Root  string
	Paths []string
	Mark  string // a file to make when a tenth of them is read, or ""
}

// stepRead is what it read.
type stepRead struct {
	Line    time.Time // when the trivial command before it had said its first line
	Content content
	Problem string `json:",omitempty"` // with which it ended
}

// content is the same whatever way it came.
type content struct {
	Files int
	Bytes int64
	CRC   uint32 // of all bytes in turn
}

// read reads whole files one after the other, as an interpreter does: it looks
// at a file, opens it and reads it to its end.
func (s step) read() (got content, err error) {
	table := crc32.MakeTable(crc32.Castagnoli) // which the processor computes
	piece := make([]byte, 128<<10)
	for i, path := range s.Paths {
		if s.Mark != "" && i == len(s.Paths)/10 {
			if err := os.WriteFile(s.Mark, nil, 0o600); err != nil {
				return got, err
			}
		}
		path = filepath.Join(s.Root, path)
		if _, err := os.Stat(path); err != nil {
			return got, err
		}
		file, err := os.Open(path)
		if err != nil {
			return got, err
		}
		for {
			n, err := file.Read(piece)
			got.CRC, got.Bytes = crc32.Update(got.CRC, table, piece[:n]), got.Bytes+int64(n)
			if err == io.EOF {
				break
			}
			if err != nil {
				return got, errors.Join(err, file.Close())
			}
		}
		if err := file.Close(); err != nil {
			return got, err
		}
		got.Files++
	}
	return got, nil
}

// readStep does the step that input says.
func readStep(ctx context.Context, input io.Reader, output io.Writer) error {
	var s step
	if err := json.NewDecoder(input).Decode(&s); err != nil {
		return err
	}
	runtime.LockOSThread() // the command ends with this thread
	if err := say(ctx, s.Root); err != nil {
		return err
	}
	line := time.Now()
	read, err := s.read()
	got := stepRead{Line: line, Content: read}
	if err != nil {
		got.Problem = err.Error()
	}
	return json.NewEncoder(output).Encode(got)
}

// say runs a trivial command in a root filesystem until its first line.
func say(ctx context.Context, root string) error {
	const line = "started"
	c := exec.CommandContext(ctx, "/bin/sh", "-c", "echo "+line)
	c.Dir, c.SysProcAttr = "/", &syscall.SysProcAttr{Chroot: root, Pdeathsig: syscall.SIGKILL}
	out, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return err
	}
	said, err := bufio.NewReader(out).ReadString('\n')
	if err == nil && said != line+"\n" {
		err = fmt.Errorf("it said %q", said)
	}
	return errors.Join(err, c.Wait())
}
