package cli_test

import (
	"bytes"
	"net"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/cli"
)

func TestAServerThatNeverAnswersDoesNotHoldAShellUp(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	t.Setenv("FAIRLEAD_SERVER", "http://"+silent.Addr().String())
	t.Setenv("FAIRLEAD_TOKEN", "flu_x")
	var out, said bytes.Buffer
	code := cli.Run(t.Context(), []string{"__complete", "project", "show", ""}, "1.2.3", cli.IO{In: strings.NewReader(""), Out: &out, Err: &said})
	if code != 0 || out.String() != ":4\n" {
		t.Errorf("it ended with %d and offers %q", code, out.String())
	}
}
