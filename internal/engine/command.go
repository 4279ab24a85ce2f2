package engine

import (
	"slices"
	"strings"
)

// Command is what runs for an image's ENTRYPOINT and CMD where the caller asks
// for args, as Docker has it: args take the place of cmd and follow the
// entrypoint. It is empty if there is nothing to run at all.
func Command(entrypoint, cmd, args []string) []string {
	if len(args) > 0 {
		cmd = args
	}
	return slices.Concat(entrypoint, cmd)
}

// DefaultPath is the PATH of a container whose image names none; Docker's
// (https://github.com/moby/moby/blob/v28.0.0/oci/defaults.go, DefaultPathEnv).
const DefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Environ joins environments: a later one wins over an earlier one, and every
// name stays where it was first met. What is no NAME=VALUE is left out.
func Environ(layers ...[]string) []string {
	var merged []string
	at := map[string]int{}
	for _, line := range slices.Concat(layers...) {
		name, _, ok := strings.Cut(line, "=")
		if !ok || name == "" || strings.ContainsRune(line, 0) {
			continue
		}
		if i, ok := at[name]; ok {
			merged[i] = line
			continue
		}
		at[name] = len(merged)
		merged = append(merged, line)
	}
	return merged
}
