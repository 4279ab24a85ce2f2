package gitfetch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/dustin/go-humanize"

	"fairlead.dev/fairlead/internal/fault"
)

// errTooLarge stops the reading of what is beyond a limit.
var errTooLarge = errors.New("beyond the limit")

// errNotOurs is said of a commit that the host gives to nobody by its hash.
var errNotOurs = errors.New("not our ref")

// errIncomplete is said of a cache that lacks what it should have.
var errIncomplete = errors.New("the cache is incomplete")

// foreign is the text of an error from the far side or a library, without the
// secrets of the remote: hosts send back what they got.
func foreign(r Remote, err error) error {
	text := err.Error()
	for _, secret := range []string{r.Token.Reveal(), r.SSHKey.Reveal()} {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "***")
		}
	}
	return errors.New(text)
}

// quoted is text of the far side as a sentence may hold it.
func quoted(r Remote, text string) string {
	text = foreign(r, errors.New(text)).Error()
	text = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(text, "?"))
	return fmt.Sprintf("%.200q", strings.TrimSpace(text))
}

// unreachable is said of a host that gave no answer, or an odd one. An ended
// context stays what it is, so that its owner knows it again; only a deadline
// is the host's doing.
func unreachable(ctx context.Context, r Remote, a address, err error) error {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("fetching from %s: %w", a.host, ctx.Err())
	}
	_, path := errors.AsType[*fs.PathError](err)
	_, link := errors.AsType[*os.LinkError](err)
	if path || link {
		return err // of our own disk
	}
	if errors.Is(err, errTooLarge) {
		return tooLarge("the host %s sends more than is taken of one repository", a.host)
	}
	if ctx.Err() != nil {
		return fault.New(fault.Unavailable, "git_unreachable", "the git host %s took too long", a.host).
			WithHint("Try again; a large repository takes its time at first.").WithCause(ctx.Err())
	}
	return fault.New(fault.Unavailable, "git_unreachable", "the git host %s cannot be reached, or broke off", a.hostPort()).
		WithHint("See that the address is right and that the server may reach it, and try again.").WithCause(foreign(r, err))
}

func tooLarge(message string, args ...any) *fault.Error {
	return fault.New(fault.Exhausted, "git_too_large", message, args...).
		WithHint("Keep data and models out of the repository, or ask the operator to raise the limit.")
}

func readable(bytes int64) string { return humanize.IBytes(uint64(bytes)) }

func refused(a address, anonymous bool) *fault.Error {
	if anonymous {
		return fault.New(fault.Unauthenticated, "git_login_refused", "the git host %s wants a login for this repository, or has no such repository", a.host).
			WithHint("Enter a token that may read the repository, or mend the address.")
	}
	if a.scheme == "ssh" {
		return fault.New(fault.Unauthenticated, "git_login_refused", "the git host %s knows no user %.100q with this ssh key", a.host, a.user).
			WithHint("Add the public key to the repository as a deploy key that may read.")
	}
	return fault.New(fault.Unauthenticated, "git_login_refused", "the git host %s takes no login with this username and token", a.host).
		WithHint("The token may have ended or been revoked: make a new one that may read the repository. See also which username the host wants with it.")
}

func denied(a address) *fault.Error {
	return fault.New(fault.Denied, "git_denied", "the git host %s does not let this login read the repository", a.host).
		WithHint("Give the token or key the right to read this repository; an organisation may have to approve it first.")
}

func unknownRepository(a address, anonymous bool) *fault.Error {
	f := fault.New(fault.NotFound, "git_repository_unknown", "the git host %s has no repository %.200q, or none that this login may see", a.host, a.path)
	if anonymous {
		return f.WithHint("Mend the address, or enter a token if the repository is private.")
	}
	return f.WithHint("Mend the address, or let the login read the repository.")
}

func noGit(a address) *fault.Error {
	return fault.InvalidField("url", "git_not_a_repository", "the host %s answers at this address, and not as git does", a.host).
		WithHint("Enter the address that `git clone` takes, and not that of a web page.")
}

func unknownRev(rev string, depth int) *fault.Error {
	return fault.New(fault.NotFound, "git_rev_unknown", "the repository has no branch, tag or commit %.200q that can be found", rev).
		WithHint("See that it was pushed. Only the newest %d commits of each branch and tag are found by a part of their hash; older ones by all 40 digits.", depth)
}

// status turns an HTTP status into a fault; nil for 200.
func status(response *http.Response, a address, anonymous bool) error {
	switch code := response.StatusCode; {
	case code == http.StatusOK:
		return nil
	case code == http.StatusUnauthorized:
		return refused(a, anonymous)
	case code == http.StatusForbidden:
		return denied(a)
	case code == http.StatusNotFound || code == http.StatusGone:
		return unknownRepository(a, anonymous)
	case code == http.StatusTooManyRequests || code >= 500:
		f := fault.New(fault.Unavailable, "git_unreachable", "the git host %s answers that it cannot serve now (status %d)", a.host, code).
			WithHint("Try again later.")
		if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && seconds > 0 && seconds < 86_400 {
			return f.WithRetryAfter(time.Duration(seconds) * time.Second)
		}
		return f
	default:
		return noGit(a)
	}
}
