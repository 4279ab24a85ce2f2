package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/term"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/wire"
)

// prompt asks a person, or reads the answers of a program line by line.
type prompt struct {
	streams IO
	in      *bufio.Reader
}

func newPrompt(streams IO) *prompt { return &prompt{streams: streams, in: bufio.NewReader(streams.In)} }

// terminal is the descriptor of the terminal that is read from.
func (p *prompt) terminal() (int, bool) {
	file, ok := p.streams.In.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return 0, false
	}
	return int(file.Fd()), true
}

func (p *prompt) line(question string) (string, error) {
	if _, asks := p.terminal(); asks {
		say(p.streams.Err, "%s", question)
	}
	text, err := p.in.ReadString('\n')
	text = strings.TrimRight(text, "\r\n")
	if err != nil && (!errors.Is(err, io.EOF) || text == "") {
		return "", fault.InvalidField("input", "input_missing", "standard input ended before the answer to %q", strings.TrimSuffix(question, ": "))
	}
	return text, nil
}

// secret reads a line without showing it.
func (p *prompt) secret(question string) (secret.Text, error) {
	terminal, asks := p.terminal()
	if !asks {
		text, err := p.line(question)
		return secret.New(text), err
	}
	say(p.streams.Err, "%s", question)
	text, err := term.ReadPassword(terminal)
	say(p.streams.Err, "\n")
	if err != nil {
		return secret.Text{}, fmt.Errorf("reading from the terminal: %w", err)
	}
	return secret.New(string(text)), nil
}

// field asks for a credential's field. One of many lines is the name of its file
// on a terminal, and all that is left of standard input elsewhere.
func (p *prompt) field(field wire.CredentialField) (secret.Text, error) {
	question := field.Title
	if !field.Required {
		question += " (empty for none)"
	}
	_, asks := p.terminal()
	switch {
	case !field.Lines && !asks && !field.Required:
		text, err := p.line(question + ": ")
		if fault.Is(err, fault.Invalid) { // there is no more input
			return secret.Text{}, nil
		}
		return secret.New(text), err
	case !field.Lines:
		return p.secret(question + ": ")
	case asks:
		name, err := p.line(question + ", name of the file: ")
		if err != nil || name == "" {
			return secret.Text{}, err
		}
		text, err := os.ReadFile(filepath.Clean(name))
		if err != nil {
			return secret.Text{}, fault.InvalidField(field.Name, "file", "%v", err)
		}
		return secret.New(string(text)), nil
	default:
		text, err := p.rest()
		return secret.New(text), err
	}
}

// rest is all that is left of standard input.
func (p *prompt) rest() (string, error) {
	const most = 1 << 20
	text, err := io.ReadAll(io.LimitReader(p.in, most))
	if err != nil {
		return "", fmt.Errorf("reading standard input: %w", err)
	}
	return string(text), nil
}
