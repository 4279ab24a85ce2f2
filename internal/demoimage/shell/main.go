// Command shell is the one program in Fairlead's own images: a small static
// POSIX shell that is also the handful of commands a step wants, chosen by the
// name it is called by, as busybox is.
//
// It is for the demo, the tests and the benches, which need images that really
// run and cannot pull any. The language is mvdan.cc/sh's; what is here is the
// command line, signals and the commands.
package main

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	code := run(ctx, os.Args)
	stop()
	os.Exit(code)
}

// run is the program under the name args[0], and its exit code.
func run(ctx context.Context, args []string) int {
	name := filepath.Base(args[0])
	command, ok := commands[name]
	if !ok {
		return shell(ctx, args)
	}
	dir, err := os.Getwd()
	if err != nil {
		dir = "/"
	}
	own := stdio{in: os.Stdin, out: os.Stdout, err: os.Stderr, dir: dir, env: os.Environ()}
	done := make(chan int, 1)
	go func() { done <- command(ctx, own, args) }()
	select {
	case code := <-done:
		if ctx.Err() != nil {
			return terminated
		}
		return code
	case <-ctx.Done(): // a command may be waiting in a read that nothing ends
		return terminated
	}
}
