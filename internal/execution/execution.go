// Package execution knows what is run: a step of a commit's valohai.yaml, as an
// execution with a state, a log and a result, and the lease by which exactly
// one worker holds it. It decides; stores only keep.
//
// An execution is never run twice at the same time, and none is lost: who may
// act on it is whoever holds its lease, and a lease that was not renewed in
// time gives the execution back to the queue.
package execution

import (
	"cmp"
	"encoding/json"
	"time"

	"fairlead.dev/fairlead/internal/valohaiyaml"
)

// Status is where an execution is in its life.
type Status string

// The statuses, as clients of the API know them. The last four are final.
const (
	Created  Status = "created"
	Queued   Status = "queued"   // waits for a worker
	Started  Status = "started"  // a worker holds it
	Stopping Status = "stopping" // a worker holds it and was told to stop
	Complete Status = "complete" // the command ended with 0
	Error    Status = "error"    // it ended otherwise, or could not be begun
	Stopped  Status = "stopped"  // somebody stopped it
	Crashed  Status = "crashed"  // its workers were lost
)

// IsFinal reports whether nothing more happens to an execution.
func (s Status) IsFinal() bool {
	switch s {
	case Complete, Error, Stopped, Crashed:
		return true
	default:
		return false
	}
}

// Execution is one run of a step.
type Execution struct {
	ID        string // UUID
	ProjectID string

	// Counter numbers the executions of a project from 1.
	Counter int

	Title string
	Tags  []string

	// Environment is where it runs; its name and slug are empty where it has
	// been deleted since.
	Environment EnvironmentName

	// Priority is the order among the queued executions of the project: the
	// highest first. It takes nothing away from other projects.
	Priority int

	// Work is what is to be done; it never changes.
	Work Work

	// CreatedBy is the user who started it, by id and by name.
	CreatedBy     string
	CreatedByName string

	Status    Status
	CreatedAt time.Time
	StartedAt time.Time // when a worker first took it; zero: none did
	EndedAt   time.Time // zero: it has not ended

	// ImageDigest is what was run, and "" until it is known.
	ImageDigest string

	// PullReport is the worker's report of the pull, as it sent it.
	PullReport json.RawMessage

	// Result is how it ended; of no meaning before Status is final.
	Result Result

	Lease Lease
}

// EnvironmentName says which environment an execution runs in.
type EnvironmentName struct{ ID, Name, Slug string }

// Duration is how long it ran, until now where it has not ended.
func (e Execution) Duration(now time.Time) time.Duration {
	switch {
	case e.StartedAt.IsZero():
		return 0
	case e.EndedAt.IsZero():
		return now.Sub(e.StartedAt)
	default:
		return e.EndedAt.Sub(e.StartedAt)
	}
}

// Work is what a worker is to do.
type Work struct {
	Step string `json:"step"`

	// Commit is the identifier of the code.
	Commit string `json:"commit"`

	// Package is the identifier of that code's package; "" in what was made when
	// every commit was its own package.
	Package string `json:"package,omitempty"`

	// Image is the name that is finally run, after every override, as it was
	// written.
	Image string `json:"image"`

	// Commands are the lines with their parameters filled in, and Script is all
	// of them as one text for /bin/sh.
	Commands []string `json:"commands"`
	Script   string   `json:"script"`

	// Parameters are the values that the commands were made with.
	Parameters map[string]valohaiyaml.Value `json:"parameters,omitempty"`

	// Inputs are the files that the command finds.
	Inputs []Input `json:"inputs,omitempty"`

	// Environment are the variables of the step and the run.
	Environment map[string]string `json:"environment,omitempty"`

	// SecretEnvironment names the project's secret variables that the command
	// gets besides.
	SecretEnvironment []string `json:"secret_environment,omitempty"`

	// TimeLimit ends the command; 0: it may run for ever. NoOutputTimeout ends
	// one that printed nothing for so long; 0: it may be silent.
	TimeLimit       time.Duration `json:"time_limit,omitempty"`
	NoOutputTimeout time.Duration `json:"no_output_timeout,omitempty"`

	// StopCondition ends the command when what it told of itself fulfils it; "":
	// it is not looked at.
	StopCondition string `json:"stop_condition,omitempty"`

	// Mounts are directories of the worker, where its operator allows them.
	Mounts []Mount `json:"mounts,omitempty"`

	// Devices counts CDI devices by their kind, such as nvidia.com/gpu. Nil
	// leaves it to the worker; an empty map is none.
	Devices map[string]float64 `json:"devices"`

	// What the container may use; 0: all that the worker has.
	MemoryBytes int64   `json:"memory_bytes,omitempty"`
	CPUs        float64 `json:"cpus,omitempty"`
	ShmBytes    int64   `json:"shm_bytes,omitempty"`

	// NoNetwork cuts the container off the network.
	NoNetwork bool `json:"no_network,omitempty"`
}

// PackageIdentifier is the package of the code.
func (w Work) PackageIdentifier() string { return cmp.Or(w.Package, w.Commit) }

// Mount is a directory of the worker that the command sees.
type Mount struct {
	Source      string `json:"source"`
	Destination string `json:"destination"`
	ReadOnly    bool   `json:"readonly,omitempty"`
}

// Result is how an execution ended.
type Result struct {
	// Status is the final status.
	Status Status

	// ExitCode is the command's; nil where none ended.
	ExitCode *int

	// Code and Message say why it failed: a stable word and a sentence. Both
	// are empty where the command itself came to its end.
	Code    string
	Message string
}
