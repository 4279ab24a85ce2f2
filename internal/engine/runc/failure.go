package runc

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"

	"fairlead.dev/fairlead/internal/engine"
	"fairlead.dev/fairlead/internal/fault"
)

// The exit codes of a container whose command was not run; Docker's.
const (
	codeNotStarted    = 125
	codeNotExecutable = 126
	codeNotFound      = 127
)

// What runc and crun say of a command that they cannot begin.
var (
	saysNotFound      = regexp.MustCompile("executable file .*not found|exec: .*: no such file or directory")
	saysNotExecutable = regexp.MustCompile("exec: .*: (permission denied|is a directory)|open executable: ")
)

// saysExecFailed is what they leave on the container's stderr, and nothing
// else, when the kernel refuses the command at the very last: a program for
// another machine, or a script whose interpreter is not there. It has 1 or 255
// for its exit code, and so have many.
var saysExecFailed = regexp.MustCompile("(?i)^(exec /[^\n]*|\\{\"msg\":\"exec container process [^\n]*): (permission denied|exec format error|no such file or directory)[^\n]*\n$")

// failure is the runtime's own last word in its log, "" if it did its work: a
// command that ran and failed leaves nothing there.
func (b bundle) failure() (string, error) {
	file, err := os.Open(b.path("log.json"))
	if os.IsNotExist(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("container %s: %w", b.id, err)
	}
	defer file.Close()
	last := ""
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var entry struct{ Level, Msg string }
		if json.Unmarshal(lines.Bytes(), &entry) == nil && (entry.Level == "error" || entry.Level == "fatal") {
			last = entry.Msg
		}
	}
	return last, nil
}

// refused is the exit and the fault for what the runtime said about a
// container whose command was not run.
func refused(command, said string) (engine.Exit, error) {
	cause := fmt.Errorf("runtime: %s", said) // another program's text
	switch {
	case saysNotFound.MatchString(said):
		return engine.Exit{Code: codeNotFound}, fault.New(fault.Invalid, "command_not_found", "the image has no command %q", command).
			WithHint("Install it in the image, or give the path of one that is there.").WithCause(cause)
	case saysNotExecutable.MatchString(said), saysExecFailed.MatchString(said):
		return engine.Exit{Code: codeNotExecutable}, fault.New(fault.Invalid, "command_not_executable", "%q in the image cannot be executed", command).
			WithHint("It must be a program for this machine's architecture, or a script whose interpreter is there, and executable (chmod +x).").WithCause(cause)
	default:
		return engine.Exit{Code: codeNotStarted}, fault.New(fault.Unavailable, "container_not_started", "the container could not be started: %s", plain(said)).
			WithHint("The worker's log may tell more.").WithCause(cause)
	}
}

// plain is text that a terminal can be shown, and not too much of it.
func plain(text string) string {
	const most = 400
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return text
}
