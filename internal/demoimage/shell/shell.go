package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

// The exit codes that POSIX gives a meaning.
const (
	misused      = 2
	notRunnable  = 126
	notFound     = 127
	terminated   = 128 + int(syscall.SIGTERM)
	signalOffset = 128
)

// invocation is a parsed command line: sh [-eux…] [-c TEXT | FILE] [ARGUMENT…].
type invocation struct {
	flags []string // set's options, as they were written

	name   string // $0
	source io.ReadCloser
	params []string
}

// parseArgs reads the command line args, whose first is the shell's own name.
func parseArgs(args []string) (invocation, error) {
	call := invocation{name: args[0]}
	rest := args[1:]
	text := false
	for len(rest) > 0 && len(rest[0]) > 1 && strings.ContainsAny(rest[0][:1], "-+") {
		flag := rest[0]
		rest = rest[1:]
		if flag == "--" {
			break
		}
		if flag == "-o" || flag == "+o" {
			if len(rest) == 0 {
				return call, fmt.Errorf("%s: which option?", flag)
			}
			call.flags = append(call.flags, flag, rest[0])
			rest = rest[1:]
			continue
		}
		text = text || strings.Contains(flag, "c")
		if kept := strings.NewReplacer("c", "", "s", "", "l", "", "i", "").Replace(flag); len(kept) > 1 {
			call.flags = append(call.flags, kept)
		}
	}
	switch {
	case text && len(rest) == 0:
		return call, errors.New("-c: which command?")
	case text:
		call.source = io.NopCloser(strings.NewReader(rest[0]))
		if len(rest) > 1 {
			call.name, call.params = rest[1], rest[2:]
		}
	case len(rest) > 0:
		file, err := os.Open(rest[0])
		if err != nil {
			return call, err
		}
		call.source, call.name, call.params = file, rest[0], rest[1:]
	default:
		call.source = os.Stdin
	}
	return call, nil
}

// shell runs the program that args name and returns its exit code. When ctx
// ends, so do the commands, and then the shell with 143, unless the program
// set a trap for TERM: its text is what is run last then, and an empty one
// means that TERM is ignored.
func shell(ctx context.Context, args []string) int {
	call, err := parseArgs(args)
	if err != nil {
		fmt.Fprintln(os.Stderr, "sh:", err)
		return misused
	}
	defer call.source.Close()
	program, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(call.source, call.name)
	if err != nil {
		fmt.Fprintln(os.Stderr, "sh:", err)
		return misused
	}

	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var traps trap
	defer context.AfterFunc(ctx, func() {
		if !traps.ignored() {
			cancel()
		}
	})()

	runner, err := interp.New(
		interp.StdIO(os.Stdin, os.Stdout, os.Stderr),
		interp.Params(append(append(call.flags, "--"), call.params...)...),
		interp.Env(expand.ListEnviron(os.Environ()...)),
		interp.CallHandler(traps.call),
		interp.ExecHandlers(func(interp.ExecHandlerFunc) interp.ExecHandlerFunc { return execute }),
	)
	if err != nil {
		fmt.Fprintln(os.Stderr, "sh:", err)
		return misused
	}
	code := exitCode(runner.Run(running, program))
	if running.Err() == nil {
		return code
	}
	if text := traps.text(); text != "" {
		last, err := syntax.NewParser().Parse(strings.NewReader(text), "trap")
		if err != nil {
			fmt.Fprintln(os.Stderr, "sh: trap:", err)
			return misused
		}
		err = runner.Run(context.WithoutCancel(ctx), last)
		if runner.Exited() {
			return exitCode(err)
		}
	}
	return terminated
}

func exitCode(err error) int {
	if err == nil {
		return 0
	}
	if status, ok := errors.AsType[interp.ExitStatus](err); ok {
		return int(status)
	}
	if !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "sh:", err)
	}
	return 1
}

// trap keeps what the program wants done at TERM; the interpreter itself knows
// EXIT and ERR only. The zero value is the default: to end.
type trap struct {
	mu  sync.Mutex
	set bool
	act string
}

// call takes `trap … TERM` out of the program's commands, gives `kill`, which
// the interpreter reserves and does not know, its name in commands, and lets
// every other command pass.
func (t *trap) call(_ context.Context, args []string) ([]string, error) {
	if args[0] == "kill" {
		return append([]string{killInShell}, args[1:]...), nil
	}
	if args[0] != "trap" || len(args) < 2 {
		return args, nil
	}
	isTerm := func(s string) bool { return s == "TERM" || s == "SIGTERM" || s == "15" }
	if !slices.ContainsFunc(args[1:], isTerm) {
		return args, nil
	}
	t.mu.Lock()
	t.set, t.act = len(args) > 2 && args[1] != "-", args[1]
	t.mu.Unlock()
	rest := slices.DeleteFunc(slices.Clone(args), isTerm)
	if len(rest) <= 2 {
		return []string{"true"}, nil
	}
	return rest, nil
}

func (t *trap) ignored() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.set && t.act == ""
}

func (t *trap) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.set {
		return ""
	}
	return t.act
}

// execute runs one command of a program: one of ours in this process if it is
// called by its bare name, and a process otherwise. A process is sent TERM
// when ctx ends, and is waited for.
func execute(ctx context.Context, args []string) error {
	caller := interp.HandlerCtx(ctx)
	if command, ok := commands[args[0]]; ok {
		own := stdio{in: caller.Stdin, out: caller.Stdout, err: caller.Stderr, dir: caller.Dir, env: environ(caller.Env)}
		return status(command(ctx, own, args))
	}
	path, err := interp.LookPathDir(caller.Dir, caller.Env, args[0])
	if err != nil {
		fmt.Fprintf(caller.Stderr, "sh: %s: not found\n", args[0])
		return status(notFound)
	}
	cmd := exec.CommandContext(ctx, path)
	cmd.Args, cmd.Env, cmd.Dir = args, environ(caller.Env), caller.Dir
	cmd.Stdin, cmd.Stdout, cmd.Stderr = caller.Stdin, caller.Stdout, caller.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	err = cmd.Run()
	ended, ok := errors.AsType[*exec.ExitError](err)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return status(terminated)
	case !ok:
		fmt.Fprintf(caller.Stderr, "sh: %s: %v\n", args[0], err)
		return status(notRunnable)
	}
	if how, ok := ended.Sys().(syscall.WaitStatus); ok && how.Signaled() {
		return status(signalOffset + int(how.Signal()))
	}
	return status(ended.ExitCode())
}

func status(code int) error {
	if code == 0 {
		return nil
	}
	return interp.ExitStatus(uint8(code)) // an exit code is a byte
}

// environ are the exported variables of the program.
func environ(vars expand.Environ) []string {
	var list []string
	for name, value := range vars.Each {
		if value.Exported && value.Kind == expand.String {
			list = append(list, name+"="+value.String())
		}
	}
	slices.Sort(list)
	return list
}
