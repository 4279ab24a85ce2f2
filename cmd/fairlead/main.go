// Command fairlead is all of Fairlead: server, worker, and the API from a shell.
package main

import (
	"os"

	"fairlead.dev/fairlead/internal/cli"
)

// version is set by the linker.
var version = "dev"

func main() { os.Exit(cli.Main(os.Args[1:], version)) }
