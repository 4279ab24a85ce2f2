package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"

	"fairlead.dev/fairlead/bench/far"
	"fairlead.dev/fairlead/bench/trial"
)

// job is what a child measures.
type job struct {
	Name string
	Dir  string // fresh and empty

	Host, Image    string
	Changed        string // the image whose topmost layer is another
	CA             string // a file
	Certificates   string // the directory of that file
	User, Password string

	Layers   []far.Layer
	ImageDir string
	Bytes    int64 // unpacked

	Profile string // a file, or ""
}

// result is what it took.
type result struct {
	trial.Result

	Said string `json:",omitempty"` // by the one who pulled

	// Fairlead's alone: seconds until a root filesystem is mounted of the image
	// that is there, and of the one whose topmost layer is not.
	Again, Changed float64 `json:",omitempty"`
}

func (r result) String() string {
	s := r.Result.String()
	if r.Said != "" {
		s += "; " + r.Said
	}
	return s
}

// meter measures who pulls, and keeps what else is told of it.
type meter struct {
	trial.Meter

	said           string
	again, changed float64
}

// child does the job that input says.
func child(ctx context.Context, input io.Reader, output io.Writer) error {
	runtime.LockOSThread() // its children end with this thread
	var j job
	if err := json.NewDecoder(input).Decode(&j); err != nil {
		return err
	}
	m := &meter{}
	root, err := do(ctx, m, j)
	got := result{Result: m.Result, Said: m.said, Again: m.again, Changed: m.changed}
	if err == nil && root != "" {
		err = far.Whole(root, j.Layers)
	}
	if err = errors.Join(err, m.Close()); err != nil {
		return err
	}
	return json.NewEncoder(output).Encode(got)
}

func do(ctx context.Context, m *meter, j job) (root string, err error) {
	switch j.Name {
	case fairlead:
		return pullFairlead(ctx, m, j)
	case limitTransfer:
		return "", transfer(ctx, m, j)
	case limitDecompress:
		return "", decompress(ctx, m, j)
	case limitWrite:
		return "", write(m, j)
	}
	i := slices.IndexFunc(peers, func(p peer) bool { return p.name == j.Name })
	if i < 0 {
		return "", fmt.Errorf("nobody is called %q", j.Name)
	}
	return peers[i].pull(ctx, m, j)
}
