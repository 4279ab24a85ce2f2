package cli_test

import (
	"bufio"
	"cmp"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/rogpeppe/go-internal/testscript"
)

// pullThrough pulls an image through the server's cache, as Docker does after docker
// login: pull-through USER TOKEN-FILE IMAGE, or without a login where the user is "-".
// With "!" it must be refused, with the words of a fourth argument. The cache is the one
// that serve-cache has started, if it has.
func pullThrough(ts *testscript.TestScript, neg bool, args []string) {
	err := tryThrough(ts, args)
	switch {
	case !neg:
		ts.Check(err)
	case err == nil:
		ts.Fatalf("%s was given to %s", args[2], args[0])
	case !strings.Contains(err.Error(), args[3]):
		ts.Fatalf("%s was refused with %v, not %q", args[2], err, args[3])
	}
}

// tryThrough pulls through the cache.
func tryThrough(ts *testscript.TestScript, args []string) error {
	server, err := url.Parse(cmp.Or(ts.Getenv("CACHE"), ts.Getenv("FAIRLEAD_SERVER")))
	ts.Check(err)
	ref, err := name.ParseReference(server.Host+"/"+args[2], name.Insecure)
	ts.Check(err)
	login := authn.Anonymous
	if args[0] != "-" {
		login = &authn.Basic{Username: args[0], Password: strings.TrimSpace(ts.ReadFile(args[1]))}
	}
	img, err := remote.Image(ref, remote.WithAuth(login))
	if err == nil {
		err = validate.Image(img) // reads all of it, and compares every digest
	}
	return err
}

// refusedSoon pulls through the cache until it is refused: refused-soon USER TOKEN-FILE
// IMAGE WORDS.
func refusedSoon(ts *testscript.TestScript, _ bool, args []string) {
	const most = 30 * time.Second
	var err error
	for begin := time.Now(); time.Since(begin) < most; {
		if err = tryThrough(ts, args); err != nil {
			break
		}
	}
	switch {
	case err == nil:
		ts.Fatalf("%s was given to %s for %s", args[2], args[0], most)
	case !strings.Contains(err.Error(), args[3]):
		ts.Fatalf("%s was refused with %v, not %q", args[2], err, args[3])
	}
}

// serveCache starts a cache apart from the server, until the story or end-cache ends it:
// serve-cache ARG…. Its address is then CACHE.
func serveCache(ts *testscript.TestScript, _ bool, args []string) {
	work := ts.Getenv("WORK")
	program, err := exec.LookPath("fairlead")
	ts.Check(err)
	command := exec.Command(program, append([]string{"cache", "--listen", "127.0.0.1:0", "--data-dir", filepath.Join(work, "near")}, args...)...)
	command.Dir = work
	for _, name := range []string{"HOME", "PATH", "FAIRLEAD_SERVER", "FAIRLEAD_REGISTRY_ADDRESS", "FAIRLEAD_REGISTRY_CA", "TMPDIR"} {
		command.Env = append(command.Env, name+"="+ts.Getenv(name))
	}
	log, err := os.OpenFile(filepath.Join(work, "cache.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	ts.Check(err)
	defer func() { ts.Check(log.Close()) }()
	command.Stderr = log
	out, err := command.StdoutPipe()
	ts.Check(err)
	ts.Check(command.Start())
	cacheOf(ts).command = command
	ts.Defer(func() { cacheOf(ts).stop(syscall.SIGTERM) })
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if address, found := strings.CutPrefix(lines.Text(), "Serving the cache on "); found {
			ts.Setenv("CACHE", address)
			return
		}
	}
	ts.Fatalf("the cache did not start: %s", ts.ReadFile(filepath.Join(work, "cache.log")))
}

// cacheOf is the cache of a story.
func cacheOf(ts *testscript.TestScript) *server { return ts.Value("cache").(*server) }

func endCache(ts *testscript.TestScript, _ bool, _ []string) {
	cacheOf(ts).stop(syscall.SIGTERM)
	ts.Setenv("CACHE", "")
}
