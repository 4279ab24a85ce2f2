package cli_test

import (
	"net/url"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/rogpeppe/go-internal/testscript"
)

// pullThrough pulls an image through the server's cache, as Docker does after docker
// login: pull-through USER TOKEN-FILE IMAGE, or without a login where the user is "-".
// With "!" it must be refused, with the words of a fourth argument.
func pullThrough(ts *testscript.TestScript, neg bool, args []string) {
	server, err := url.Parse(ts.Getenv("FAIRLEAD_SERVER"))
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
	switch {
	case !neg:
		ts.Check(err)
	case err == nil:
		ts.Fatalf("%s was given to %s", args[2], args[0])
	case !strings.Contains(err.Error(), args[3]):
		ts.Fatalf("%s was refused with %v, not %q", args[2], err, args[3])
	}
}
