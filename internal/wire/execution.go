package wire

import (
	"encoding/json"

	"fairlead.dev/fairlead/internal/secret"
)

// Commit is a state of a project's code.
type Commit struct {
	ID          string `json:"id"`
	Identifier  string `json:"identifier"`
	Ref         string `json:"ref"`
	Project     string `json:"project"`
	Description string `json:"description"`
	Adhoc       bool   `json:"adhoc"`
	CommitTime  *Time  `json:"commit_time"`
	URL         string `json:"url"`
	ConfigPath  string `json:"yaml_path"`

	// Config is the parsed valohai.yaml, where it was asked for.
	Config json.RawMessage `json:"config,omitempty"`
}

// NewExecution runs a step. A parameter's value is a string, a number, a list,
// or for a flag a boolean.
type NewExecution struct {
	Project     string                     `json:"project"`
	Commit      string                     `json:"commit"`
	Step        string                     `json:"step"`
	Image       string                     `json:"image,omitempty" required:"false"`
	Inputs      map[string][]string        `json:"inputs,omitempty" required:"false" doc:"URLs in place of the step's own"`
	Title       string                     `json:"title,omitempty" required:"false"`
	Tags        []string                   `json:"tags,omitempty" required:"false"`
	Where       string                     `json:"environment,omitempty" required:"false" doc:"Environment in place of the step's: its id or slug, its name or a part of it"`
	Groups      []string                   `json:"environment_variable_groups,omitempty" required:"false"`
	Runtime     json.RawMessage            `json:"runtime_config,omitempty" required:"false" doc:"Taken from clients that send it, and left alone"`
	Preset      string                     `json:"runtime_config_preset,omitempty" required:"false" doc:"Taken from clients that send it, and left alone"`
	Priority    int                        `json:"priority,omitempty" required:"false" doc:"The highest goes first among the project's queued executions"`
	Parameters  map[string]json.RawMessage `json:"parameters,omitempty" required:"false"`
	Environment map[string]json.RawMessage `json:"environment_variables,omitempty" required:"false" doc:"Texts by name; null is as if it were absent"`
	TimeLimit   *int64                     `json:"time_limit,omitempty" required:"false" maximum:"3155760000" doc:"Seconds; 0: none"`
	MemoryBytes int64                      `json:"memory_bytes,omitempty" required:"false"`
	CPUs        float64                    `json:"cpus,omitempty" required:"false"`
	ShmBytes    int64                      `json:"shm_bytes,omitempty" required:"false" doc:"Size of /dev/shm; 0: 64 MiB"`
	Network     string                     `json:"network,omitempty" required:"false" enum:"host,none"`
}

// Texts gives environment variables the shape of NewExecution.
func Texts(values map[string]string) map[string]json.RawMessage {
	texts := make(map[string]json.RawMessage, len(values))
	for name, value := range values {
		texts[name], _ = json.Marshal(value) // of a string it never fails
	}
	return texts
}

// NamedID is a thing by id and name.
type NamedID struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// CommitName is the commit of an execution.
type CommitName struct {
	Identifier string `json:"identifier"`
	Repository string `json:"repository" doc:"Address of the git repository that the project is linked to"`
}

// ExecutionURLs are where a person sees an execution and a client acts on it.
type ExecutionURLs struct {
	Display string `json:"display"`
	Stop    string `json:"stop"`
	Copy    string `json:"copy" doc:"POST runs it again"`
}

// Execution is one run of a step.
type Execution struct {
	ID      string        `json:"id"`
	Counter int           `json:"counter"`
	URL     string        `json:"url"`
	URLs    ExecutionURLs `json:"urls"`

	Project NamedID    `json:"project"`
	Commit  CommitName `json:"commit"`
	Step    string     `json:"step"`
	Image   string     `json:"image"`
	Command string     `json:"command"`
	Title   string     `json:"title"`
	Tags    []string   `json:"tags"`

	Parameters  map[string]json.RawMessage `json:"parameters"`
	Inputs      []Input                    `json:"inputs"`
	Outputs     []Datum                    `json:"outputs,omitempty"`
	Environment map[string]string          `json:"environment_variables"`

	Where    *EnvironmentName `json:"environment"`
	Priority int              `json:"priority"`

	Status    string  `json:"status"`
	Creator   string  `json:"creator"`
	CTime     *Time   `json:"ctime"`
	StartTime *Time   `json:"start_time"`
	EndTime   *Time   `json:"end_time"`
	Duration  float64 `json:"duration" doc:"Seconds"`
	Worker    string  `json:"worker"`

	// Metadata are on a single execution.
	Metadata map[string]any `json:"cumulative_metadata,omitempty" doc:"The latest value of each name that the command told"`

	// PullReport is a PullReport as the worker wrote it, which may be of another
	// version: ParsePullReport reads it.
	ImageDigest string          `json:"image_digest"`
	PullReport  json.RawMessage `json:"pull_report,omitempty"`

	ExitCode *int     `json:"exit_code"`
	Failure  *Failure `json:"failure"`
}

// Failure says why an execution came to no end of its own.
type Failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Event is one line of a log.
type Event struct {
	Sequence int64  `json:"sequence,omitempty" required:"false"`
	Stream   string `json:"stream" enum:"status,stdout,stderr"`
	Time     *Time  `json:"time"`
	Message  string `json:"message"`
}

// Events are the last lines of a log, oldest first.
type Events struct {
	Events    []Event `json:"events"`
	Total     int64   `json:"total"`
	Truncated bool    `json:"truncated" doc:"There are earlier lines"`
}

// LeaseRequest asks for something to run.
type LeaseRequest struct {
	WaitSeconds int `json:"wait_seconds,omitempty" required:"false" doc:"How long to wait for something; at most 30"`
}

// Lease is an execution that a worker holds. How long it lasts is told as a
// duration, so that the two clocks need not agree.
type Lease struct {
	ID          string `json:"id"`
	LifeSeconds int    `json:"life_seconds"`
	Execution   Job    `json:"execution"`
}

// Job is what a worker needs to know of an execution.
type Job struct {
	ID          string            `json:"id"`
	Counter     int               `json:"counter"`
	Attempt     int               `json:"attempt"`
	Project     NamedID           `json:"project"`
	Commit      string            `json:"commit"`
	Step        string            `json:"step"`
	Image       string            `json:"image"`
	Commands    []string          `json:"commands"`
	Script      string            `json:"script"`
	Environment map[string]string `json:"environment_variables"`

	// Package is the identifier of the code's package.
	Package string `json:"package"`

	// Secrets are variables whose values are to be shown nowhere.
	Secrets map[string]OpenSecret `json:"secret_environment_variables,omitempty"`

	// Parameters are the values, for the files below /valohai/config.
	Parameters map[string]json.RawMessage `json:"parameters"`

	Inputs []JobInput `json:"inputs"`

	TimeLimitSeconds float64 `json:"time_limit_seconds"`
	MemoryBytes      int64   `json:"memory_bytes"`
	CPUs             float64 `json:"cpus"`
	ShmBytes         int64   `json:"shm_bytes"`

	NoOutputSeconds float64            `json:"no_output_seconds" doc:"The command ends when it printed nothing for so long; 0: never"`
	Mounts          []Mount            `json:"mounts"`
	Devices         map[string]float64 `json:"devices" doc:"CDI devices by kind; null leaves it to the worker"`
	NoNetwork       bool               `json:"no_network"`
}

// Mount is a directory of the worker that the command sees.
type Mount struct {
	Source      string `json:"source"`
	Destination string `json:"destination"`
	ReadOnly    bool   `json:"readonly"`
}

// LeaseState is how a lease is.
type LeaseState struct {
	LifeSeconds int  `json:"life_seconds" doc:"From now on, after a renewal; 0 where it was not renewed"`
	Stop        bool `json:"stop" doc:"Somebody asked to stop the execution"`
}

// EventBatch are lines of the log. A batch that comes again under the same
// number is acknowledged and not stored again.
type EventBatch struct {
	Batch  int64   `json:"batch" minimum:"1"`
	Events []Event `json:"events" maxItems:"4096"`
}

// LeaseImage tells which image is run, "" if it did not come, and how it was
// pulled: a PullReport, which is kept as it is.
type LeaseImage struct {
	Digest     string          `json:"image_digest"`
	PullReport json.RawMessage `json:"pull_report,omitempty" required:"false"`
}

// LeaseResult ends an execution.
type LeaseResult struct {
	Status   string   `json:"status" enum:"complete,error,stopped,crashed"`
	ExitCode *int     `json:"exit_code,omitempty" required:"false"`
	Failure  *Failure `json:"failure,omitempty" required:"false"`
	Events   []Event  `json:"events,omitempty" required:"false" doc:"Last lines of the log"`
}

// GrantRequest asks for a pull grant for the execution of a lease.
type GrantRequest struct {
	Lease string `json:"lease"`

	// Refused is the issued_at of a grant that the registry no longer takes.
	Refused *Time `json:"refused,omitempty" required:"false"`
}

// Grant is a pull grant on its way to the worker: the one shape that holds a
// secret for a registry. It prints without it.
type Grant struct {
	Host       string `json:"host"`
	Repository string `json:"repository"`

	Scheme string     `json:"scheme" enum:"bearer,basic,anonymous"`
	User   string     `json:"user,omitempty"`
	Secret OpenSecret `json:"secret,omitzero"`

	IssuedAt  *Time `json:"issued_at"`
	ExpiresAt *Time `json:"expires_at"`
	Narrow    bool  `json:"narrow"`

	Credential string   `json:"credential" doc:"Name of the credential; empty for none"`
	Kind       string   `json:"kind"`
	Pattern    string   `json:"pattern"`
	Others     []string `json:"others,omitempty" doc:"Credentials that cover the image too and were not tried"`

	// Route is how the server was told to reach the registry.
	Route *RegistryRoute `json:"route,omitempty"`

	// Reach is how the credential says that the registry is reached.
	Reach *RegistryReach `json:"reach,omitempty"`

	// Role is set where the worker gets the authorization with a role of its
	// own; scheme is anonymous then.
	Role *GrantRole `json:"role,omitempty"`

	// Through is set where the worker has to pull through a pull-through cache, since the
	// registry takes only what stays on the server; scheme is anonymous then.
	Through *GrantThrough `json:"through,omitempty"`

	// HeldVersion is set where the secret before the present one gave it.
	HeldVersion int `json:"held_version,omitempty"`
}

// GrantRole is what a worker needs to know to get an authorization by itself.
type GrantRole struct {
	Kind   string `json:"kind"`
	Region string `json:"region,omitempty"`
	Name   string `json:"name,omitempty"`
}

// GrantThrough is a pull-through cache. A worker logs in there with the lease as the user
// name and its own token as the password.
type GrantThrough struct {
	URL string `json:"url" doc:"Empty: the server that gave the grant"`
}

// RegistryReach is a credential's own way to its registry.
type RegistryReach struct {
	Proxy     string `json:"proxy,omitempty"`
	CA        string `json:"ca,omitempty" doc:"PEM"`
	Addresses string `json:"addresses,omitempty" doc:"HOST=ADDRESS:PORT, with commas between"`
}

// OpenSecret shows itself to JSON and to nothing else.
type OpenSecret struct{ secret.Text }

// MarshalJSON writes the secret: this is how it reaches the worker.
func (s OpenSecret) MarshalJSON() ([]byte, error) { return json.Marshal(s.Reveal()) }

// IsZero leaves an empty secret out.
func (s OpenSecret) IsZero() bool { return s.IsEmpty() }

// RegistryRoute is a server's setting of how to reach one registry.
type RegistryRoute struct {
	Address   string `json:"address,omitempty"`
	CA        string `json:"ca,omitempty" doc:"PEM"`
	PlainHTTP bool   `json:"plain_http,omitempty"`
}
