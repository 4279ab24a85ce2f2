package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// stdio is where a command reads and writes, and where it stands.
type stdio struct {
	in       io.Reader
	out, err io.Writer
	dir      string
	env      []string
}

// path is name as seen from the command's directory.
func (s stdio) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(s.dir, name)
}

// fail reports err under the command's name; its result is the exit code.
func (s stdio) fail(name string, err error) int {
	fmt.Fprintf(s.err, "%s: %v\n", name, err)
	return 1
}

const killInShell = "kill-process"

// commands are what the program is besides a shell; args[0] is the name. A
// command ends when its context does.
var commands map[string]func(ctx context.Context, s stdio, args []string) int

func init() { // a literal would refer to itself through env
	commands = map[string]func(context.Context, stdio, []string) int{
		"cat": cat, "date": date, "echo": echo, "env": env, "head": head, "hostname": hostname, "id": id,
		"kill": kill, killInShell: kill, "ls": ls, "mkdir": mkdir, "pwd": pwd, "rm": rm, "seq": seq, "sleep": sleep,
		"uname": uname, "yes": yes,
		"true":  func(context.Context, stdio, []string) int { return 0 },
		"false": func(context.Context, stdio, []string) int { return 1 },
	}
}

// interruptible is a reader that ends with its context.
type interruptible struct {
	ctx context.Context
	io.Reader
}

func (r interruptible) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}

// each gives every file that names name, or standard input for none and for
// "-", to use, and tells of the ones it cannot open.
func (s stdio) each(command string, names []string, use func(io.Reader) error) int {
	if len(names) == 0 {
		names = []string{"-"}
	}
	code := 0
	for _, name := range names {
		err := func() error {
			if name == "-" {
				return use(s.in)
			}
			file, err := os.Open(s.path(name))
			if err != nil {
				return err
			}
			defer file.Close()
			return use(file)
		}()
		if err != nil {
			code = s.fail(command, err)
		}
	}
	return code
}

func cat(ctx context.Context, s stdio, args []string) int {
	return s.each("cat", args[1:], func(in io.Reader) error {
		_, err := io.Copy(s.out, interruptible{ctx, in})
		return err
	})
}

func date(_ context.Context, s stdio, args []string) int {
	if len(args) > 1 && args[1] == "+%s" {
		fmt.Fprintln(s.out, time.Now().Unix())
		return 0
	}
	fmt.Fprintln(s.out, time.Now().UTC().Format(time.UnixDate))
	return 0
}

func echo(_ context.Context, s stdio, args []string) int {
	words, end := args[1:], "\n"
	if len(words) > 0 && words[0] == "-n" {
		words, end = words[1:], ""
	}
	fmt.Fprint(s.out, strings.Join(words, " "), end)
	return 0
}

// env prints the environment; with NAME=VALUE and a command, it runs that.
func env(ctx context.Context, s stdio, args []string) int {
	for i, arg := range args[1:] {
		if strings.Contains(arg, "=") {
			s.env = append(s.env, arg)
			continue
		}
		command, ok := commands[filepath.Base(arg)]
		if !ok {
			fmt.Fprintf(s.err, "env: %s: not found\n", arg)
			return notFound
		}
		return command(ctx, s, args[1+i:])
	}
	for _, line := range s.env {
		fmt.Fprintln(s.out, line)
	}
	return 0
}

// head copies the first ten lines, or as -n and -c say; -c knows k, m and g.
func head(ctx context.Context, s stdio, args []string) int {
	lines, size, names := int64(10), int64(-1), args[1:]
	for len(names) > 1 && (names[0] == "-n" || names[0] == "-c") {
		number, err := parseSize(names[1])
		if err != nil {
			return s.fail("head", err)
		}
		if names[0] == "-n" {
			lines = number
		} else {
			size = number
		}
		names = names[2:]
	}
	return s.each("head", names, func(in io.Reader) error {
		in = interruptible{ctx, in}
		if size >= 0 {
			_, err := io.Copy(s.out, io.LimitReader(in, size))
			return err
		}
		buffered := bufio.NewReader(in)
		for range lines {
			line, err := buffered.ReadString('\n')
			if _, err := io.WriteString(s.out, line); err != nil {
				return err
			}
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func parseSize(text string) (int64, error) {
	unit := int64(1)
	if n := len(text); n > 0 {
		switch text[n-1] | 0x20 {
		case 'k':
			unit = 1 << 10
		case 'm':
			unit = 1 << 20
		case 'g':
			unit = 1 << 30
		}
	}
	if unit > 1 {
		text = text[:len(text)-1]
	}
	number, err := strconv.ParseInt(text, 10, 32)
	return number * unit, err
}

func hostname(_ context.Context, s stdio, _ []string) int {
	name, err := os.Hostname()
	if err != nil {
		return s.fail("hostname", err)
	}
	fmt.Fprintln(s.out, name)
	return 0
}

func id(_ context.Context, s stdio, args []string) int {
	groups, err := os.Getgroups()
	if err != nil {
		return s.fail("id", err)
	}
	if !slices.Contains(groups, os.Getgid()) {
		groups = append([]int{os.Getgid()}, groups...)
	}
	uid := strconv.Itoa(os.Getuid())
	name := uid
	if account, err := user.LookupId(uid); err == nil {
		name = account.Username
	}
	var ids, named []string
	for _, gid := range groups {
		number := strconv.Itoa(gid)
		ids = append(ids, number)
		if group, err := user.LookupGroupId(number); err == nil {
			number += "(" + group.Name + ")"
		}
		named = append(named, number)
	}
	switch strings.Join(args[1:], " ") {
	case "-u":
		fmt.Fprintln(s.out, uid)
	case "-un", "-u -n":
		fmt.Fprintln(s.out, name)
	case "-g":
		fmt.Fprintln(s.out, os.Getgid())
	case "-G":
		fmt.Fprintln(s.out, strings.Join(ids, " "))
	default:
		fmt.Fprintf(s.out, "uid=%s(%s) gid=%s groups=%s\n", uid, name, named[0], strings.Join(named, ","))
	}
	return 0
}

func kill(_ context.Context, s stdio, args []string) int {
	signal, pids := syscall.SIGTERM, args[1:]
	if len(pids) > 0 && strings.HasPrefix(pids[0], "-") {
		name := strings.ToUpper(strings.TrimPrefix(pids[0], "-"))
		if number, err := strconv.Atoi(name); err == nil {
			signal = syscall.Signal(number)
		} else if signal = unix.SignalNum("SIG" + strings.TrimPrefix(name, "SIG")); signal == 0 {
			return s.fail("kill", fmt.Errorf("%s: no such signal", name))
		}
		pids = pids[1:]
	}
	code := 0
	for _, text := range pids {
		pid, err := strconv.Atoi(text)
		if err == nil {
			err = syscall.Kill(pid, signal)
		}
		if err != nil {
			code = s.fail("kill", fmt.Errorf("%s: %w", text, err))
		}
	}
	return code
}

// ls lists names, one a line; -l adds mode, owner and size, -a and -d do as usual.
func ls(_ context.Context, s stdio, args []string) int {
	flags, names := "", args[1:]
	for len(names) > 0 && strings.HasPrefix(names[0], "-") {
		flags, names = flags+names[0], names[1:]
	}
	if len(names) == 0 {
		names = []string{"."}
	}
	show := func(info fs.FileInfo, name string) {
		if strings.Contains(flags, "l") {
			owner := "?"
			if stat, ok := info.Sys().(*syscall.Stat_t); ok {
				owner = fmt.Sprintf("%d:%d", stat.Uid, stat.Gid)
			}
			fmt.Fprintf(s.out, "%s %s %d ", info.Mode(), owner, info.Size())
		}
		fmt.Fprintln(s.out, name)
	}
	code := 0
	for _, name := range names {
		info, err := os.Stat(s.path(name))
		if err != nil {
			code = s.fail("ls", err)
			continue
		}
		if !info.IsDir() || strings.Contains(flags, "d") {
			show(info, name)
			continue
		}
		entries, err := os.ReadDir(s.path(name))
		if err != nil {
			code = s.fail("ls", err)
		}
		for _, entry := range entries {
			if strings.HasPrefix(entry.Name(), ".") && !strings.Contains(flags, "a") {
				continue
			}
			if info, err := entry.Info(); err == nil {
				show(info, entry.Name())
			}
		}
	}
	return code
}

// onEach does one thing to every file that args name; flags are given apart.
func (s stdio) onEach(args []string, do func(flags, path string) error) int {
	flags, code := "", 0
	for _, arg := range args[1:] {
		if strings.HasPrefix(arg, "-") {
			flags += arg
			continue
		}
		if err := do(flags, s.path(arg)); err != nil {
			code = s.fail(args[0], err)
		}
	}
	return code
}

func mkdir(_ context.Context, s stdio, args []string) int {
	return s.onEach(args, func(flags, path string) error {
		if strings.Contains(flags, "p") {
			return os.MkdirAll(path, 0o755) // as mkdir does
		}
		return os.Mkdir(path, 0o755) // as mkdir does
	})
}

func rm(_ context.Context, s stdio, args []string) int {
	return s.onEach(args, func(flags, path string) error {
		if strings.Contains(flags, "r") {
			return os.RemoveAll(path)
		}
		err := os.Remove(path)
		if strings.Contains(flags, "f") && errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}

func pwd(_ context.Context, s stdio, _ []string) int {
	fmt.Fprintln(s.out, s.dir)
	return 0
}

// seq counts: seq LAST, seq FIRST LAST, seq FIRST STEP LAST.
func seq(ctx context.Context, s stdio, args []string) int {
	var numbers []int
	for _, arg := range args[1:] {
		number, err := strconv.Atoi(arg)
		if err != nil {
			return s.fail("seq", err)
		}
		numbers = append(numbers, number)
	}
	first, step, last := 1, 1, 0
	switch len(numbers) {
	case 1:
		last = numbers[0]
	case 2:
		first, last = numbers[0], numbers[1]
	case 3:
		first, step, last = numbers[0], numbers[1], numbers[2]
	}
	if len(numbers) == 0 || step == 0 {
		return s.fail("seq", errors.New("give a last number and a step that is not 0"))
	}
	out := bufio.NewWriter(s.out)
	for n := first; (step > 0 && n <= last || step < 0 && n >= last) && ctx.Err() == nil; n += step {
		fmt.Fprintln(out, n)
	}
	if err := out.Flush(); err != nil {
		return s.fail("seq", err)
	}
	return 0
}

// sleep waits for seconds, fractions too, or "infinity".
func sleep(ctx context.Context, s stdio, args []string) int {
	var wait time.Duration
	for _, arg := range args[1:] {
		if arg == "infinity" {
			<-ctx.Done()
			return terminated
		}
		if last := arg[len(arg)-1:]; !strings.ContainsAny(last, "smh") {
			arg += "s"
		}
		d, err := time.ParseDuration(arg)
		if err != nil {
			return s.fail("sleep", err)
		}
		wait += d
	}
	select {
	case <-time.After(wait):
		return 0
	case <-ctx.Done():
		return terminated
	}
}

func uname(_ context.Context, s stdio, args []string) int {
	var names unix.Utsname
	if err := unix.Uname(&names); err != nil {
		return s.fail("uname", err)
	}
	text := func(field []byte) string { return unix.ByteSliceToString(field) }
	switch strings.Join(args[1:], "") {
	case "-a":
		fmt.Fprintln(s.out, text(names.Sysname[:]), text(names.Nodename[:]), text(names.Release[:]), text(names.Version[:]), text(names.Machine[:]))
	case "-m":
		fmt.Fprintln(s.out, text(names.Machine[:]))
	case "-n":
		fmt.Fprintln(s.out, text(names.Nodename[:]))
	case "-r":
		fmt.Fprintln(s.out, text(names.Release[:]))
	default:
		fmt.Fprintln(s.out, text(names.Sysname[:]))
	}
	return 0
}

func yes(ctx context.Context, s stdio, args []string) int {
	word := "y"
	if len(args) > 1 {
		word = strings.Join(args[1:], " ")
	}
	for ctx.Err() == nil {
		if _, err := fmt.Fprintln(s.out, word); err != nil {
			return 1
		}
	}
	return terminated
}
