// Command bench measures what docs/performance.md gives figures of, each against
// a peer or a limit in the same run: go run ./bench NAME.
//
// It starts the real bin/fairlead with a private registry made on the spot, and
// needs root and runc or crun, as the server does.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"time"
)

// rounds is how often everything is measured; the median counts.
const rounds = 5

var measures = []struct {
	name, what string
	run        func(context.Context, *house) error
}{
	{"warm", "from `fairlead run` to the first output on a warm image, beside the runtime's own run of the same bundle", warm},
	{"grants", "pull grants a second from the cache over HTTP, and how long the slowest wait", grants},
	{"idle", "memory of an idle server", idle},
	{"log", "a step that prints a million lines: none is lost, and the server's memory meanwhile", million},
	{"lint", "a valohai.yaml of a thousand steps, parsed and linted", lint},
	{"queue", "a thousand executions of ten projects on one worker: how many end a second, and how fair that is to the projects", queue},
	{"pages", "how long every page takes with ten thousand executions, a thousand credentials and a hundred thousand rows of the audit trail, and what a first visit loads", pages},
	{"upload", "the code of a directory with a gigabyte: memory of the client and of the server meanwhile", upload},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, names []string) error {
	if len(names) == 0 {
		for _, m := range measures {
			names = append(names, m.name)
		}
	}
	for _, name := range names {
		i := slices.IndexFunc(measures, func(m struct {
			name, what string
			run        func(context.Context, *house) error
		},
		) bool {
			return m.name == name
		})
		if i < 0 {
			return fmt.Errorf("there is no measure %q", name)
		}
		fmt.Printf("\n%s: %s\n", name, measures[i].what)
		if err := measure(ctx, measures[i].run); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func measure(ctx context.Context, f func(context.Context, *house) error) (err error) {
	h, err := open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	return f(ctx, h)
}

func median(d []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(d))
	return sorted[len(sorted)/2]
}
