// Package engine says what it means to run one container from a root
// filesystem that is already there; how is said by the packages below it. It
// knows nothing of images, registries or executions.
package engine

import (
	"context"
	"io"
	"time"
)

// Container is what is to be run: final in every word, nothing is filled in
// from an image here (see [Command] and [Environ] for that).
type Container struct {
	// ID names it among all containers of this engine: 1 to 64 letters, digits,
	// dashes, underscores and dots, the first a letter or a digit. Its first
	// twelve characters are the hostname.
	ID string

	// Rootfs is the absolute path of the root filesystem. It belongs to this
	// container alone while it runs, which writes to it.
	Rootfs string

	// Args are the command and its arguments; a command without a slash is
	// looked up in the PATH of Env, inside the container.
	Args []string

	// Env are NAME=VALUE pairs; the last of a name counts. PATH and HOME get
	// Docker's defaults where they are missing.
	Env []string

	// Dir is the working directory, made if missing; "" is /.
	Dir string

	// User is name or uid, and after a colon group or gid, as in an image's
	// configuration. Names are looked up in the container's own /etc/passwd and
	// /etc/group. "" is root.
	User string

	Mounts  []Mount
	Limits  Limits
	Network Network

	// Devices are CDI names, such as "nvidia.com/gpu=all".
	Devices []string

	// ShmSize is the size of /dev/shm in bytes; 0 is Docker's 64 MiB.
	ShmSize int64

	// Stdout and Stderr get what the container writes, from one goroutine each;
	// nil throws it away. Standard input is empty. A writer that fails does not
	// end the container, but Run returns its error.
	Stdout, Stderr io.Writer

	// Grace is how long the container may take to end by itself when it is
	// told to; 0: it is killed at once. GraceOver, when it is closed, ends the
	// grace before its time; nil never does.
	Grace     time.Duration
	GraceOver <-chan struct{}
}

// Mount shows a path of the host inside the container. Source and Destination
// are absolute; Source exists.
type Mount struct {
	Source, Destination string
	ReadOnly            bool
}

// Limits bound what the container uses; 0 is no bound of its own.
type Limits struct {
	Memory int64   // bytes, without swap
	CPU    float64 // cores
	PIDs   int64   // processes and threads
}

// Network says what a container reaches.
type Network string

// The networks.
const (
	// HostNetwork is the host's own, names and all. It is the default: "" means
	// it too.
	HostNetwork Network = "host"

	// NoNetwork is a loopback interface at most.
	NoNetwork Network = "none"
)

// Exit is how a container ended.
type Exit struct {
	// Code is the exit code of the command; 128 and the number of a signal that
	// ended it. Where the command could not be run, it is as Docker and the
	// shells have it: 127 if there is no such command, 126 if it cannot be
	// executed, and 125 if it was not got that far.
	Code int

	// Signal is the name that belongs to a code above 128, such as "SIGTERM".
	// A command that exits with such a code by itself looks the same.
	Signal string

	// OOMKilled tells that the container failed and that the kernel killed a
	// process of it for reaching Limits.Memory.
	OOMKilled bool
}

// Engine runs containers. Its methods may be called at the same time.
type Engine interface {
	// Run runs c to its end and returns when nothing of it is left: no process,
	// no mount, no cgroup. When ctx ends, the first process is sent SIGTERM, and
	// after c.Grace, or when c.GraceOver is closed, everything is killed; the exit is returned as usual then.
	//
	// An error means that the container could not be run, with the reason, or
	// that its output was lost: for a command that is not there, a fault with
	// code "command_not_found" and Exit.Code 127, for one that cannot be executed
	// "command_not_executable" and 126. A command that fails is no error.
	Run(ctx context.Context, c Container) (Exit, error)

	// Reap kills and deletes the containers that a process which was itself
	// killed has left, and returns their IDs. Containers of processes that live
	// are not touched, so it may be called at any time. What could not be reaped
	// is named in the error; the others are gone all the same.
	Reap(ctx context.Context) (ids []string, err error)
}
