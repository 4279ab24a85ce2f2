package wire

import (
	"encoding/json"

	"fairlead.dev/fairlead/internal/secret"
)

// Commit is a state of a project's code.
type Commit struct {
	ID          string `json:"id" doc:"The identifier again"`
	Identifier  string `json:"identifier" doc:"A tilde and the SHA-256 of what was uploaded, or the hash of a git commit"`
	Ref         string `json:"ref" doc:"Branch or tag that it was fetched from"`
	Project     string `json:"project" doc:"Id of its project"`
	Description string `json:"description" doc:"What it was called, or the git commit's message"`
	Adhoc       bool   `json:"adhoc" doc:"Whether it was uploaded"`
	CommitTime  *Time  `json:"commit_time" doc:"When it was uploaded or committed"`
	URL         string `json:"url" doc:"Of this resource"`
	ConfigPath  string `json:"yaml_path" doc:"Where in it the valohai.yaml is"`

	// Config is the parsed valohai.yaml, where it was asked for.
	Config json.RawMessage `json:"config,omitempty" doc:"The parsed valohai.yaml, where include=config asks for it"`
}

// NewExecution runs a step. A parameter's value is a string, a number, a list,
// or for a flag a boolean.
type NewExecution struct {
	Project     string                     `json:"project" doc:"Id, name or OWNER/NAME"`
	Commit      string                     `json:"commit" doc:"Identifier of the commit, a branch or a tag"`
	Step        string                     `json:"step" doc:"The step's name in the valohai.yaml"`
	Image       string                     `json:"image,omitempty" required:"false" doc:"Image in place of the step's"`
	Inputs      map[string][]string        `json:"inputs,omitempty" required:"false" doc:"URLs in place of the step's own"`
	Title       string                     `json:"title,omitempty" required:"false" doc:"What to call it"`
	Tags        []string                   `json:"tags,omitempty" required:"false" doc:"Words to find it by"`
	Where       string                     `json:"environment,omitempty" required:"false" doc:"Environment in place of the step's: its id or slug, its name or a part of it"`
	Groups      []string                   `json:"environment_variable_groups,omitempty" required:"false" doc:"Refused unless empty: there are no such groups"`
	Runtime     json.RawMessage            `json:"runtime_config,omitempty" required:"false" doc:"Taken from clients that send it, and left alone"`
	Preset      string                     `json:"runtime_config_preset,omitempty" required:"false" doc:"Taken from clients that send it, and left alone"`
	Priority    int                        `json:"priority,omitempty" required:"false" doc:"The highest goes first among the project's queued executions"`
	Parameters  map[string]json.RawMessage `json:"parameters,omitempty" required:"false" doc:"Values by name: a text, a number, a list, or for a flag true or false; null is as if it were absent"`
	Environment map[string]json.RawMessage `json:"environment_variables,omitempty" required:"false" doc:"Texts by name; null is as if it were absent"`
	TimeLimit   *int64                     `json:"time_limit,omitempty" required:"false" maximum:"3155760000" doc:"Seconds; 0: none"`
	MemoryBytes int64                      `json:"memory_bytes,omitempty" required:"false" doc:"Most memory of the container; 0: as the step says, or no limit"`
	CPUs        float64                    `json:"cpus,omitempty" required:"false" doc:"Most processors of the container; 0: as the step says, or no limit"`
	ShmBytes    int64                      `json:"shm_bytes,omitempty" required:"false" doc:"Size of /dev/shm; 0: 64 MiB"`
	Network     string                     `json:"network,omitempty" required:"false" enum:"host,none" doc:"Network of the container: the worker's, or none"`
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
	ID   string `json:"id" doc:"UUID"`
	Name string `json:"name" doc:"Name"`
}

// CommitName is the commit of an execution.
type CommitName struct {
	Identifier string `json:"identifier" doc:"The commit's identifier"`
	Repository string `json:"repository" doc:"Address of the git repository that the project is linked to"`
}

// ExecutionURLs are where a person sees an execution and a client acts on it.
type ExecutionURLs struct {
	Display string `json:"display" doc:"Address of the page for a person"`
	Stop    string `json:"stop" doc:"POST stops it"`
	Copy    string `json:"copy" doc:"POST runs it again"`
}

// Execution is one run of a step.
type Execution struct {
	ID      string        `json:"id" doc:"UUID"`
	Counter int           `json:"counter" doc:"Number within the project, from 1"`
	URL     string        `json:"url" doc:"Of this resource"`
	URLs    ExecutionURLs `json:"urls" doc:"Where a person sees it and a client acts on it"`

	Project NamedID    `json:"project" doc:"Its project"`
	Commit  CommitName `json:"commit" doc:"The state of the code"`
	Step    string     `json:"step" doc:"The step's name"`
	Image   string     `json:"image" doc:"Name of the container image"`
	Command string     `json:"command" doc:"The command lines, as they are run"`
	Title   string     `json:"title" doc:"What it was called"`
	Tags    []string   `json:"tags" doc:"Words to find it by"`

	Parameters  map[string]json.RawMessage `json:"parameters" doc:"Values by name"`
	Inputs      []Input                    `json:"inputs" doc:"Files that it gets"`
	Outputs     []Datum                    `json:"outputs,omitempty" doc:"Files that it left, the first thousand; on a single execution"`
	Environment map[string]string          `json:"environment_variables" doc:"Variables of its own, by name"`

	Where    *EnvironmentName `json:"environment" doc:"Group of workers that it runs in"`
	Priority int              `json:"priority" doc:"The highest goes first among the project's queued executions"`

	Status    string  `json:"status" doc:"created, queued, started, stopping, or at the end complete, error, stopped or crashed"`
	Creator   string  `json:"creator" doc:"Name of who started it"`
	CTime     *Time   `json:"ctime" doc:"When it was made"`
	StartTime *Time   `json:"start_time" doc:"When a worker took it; null: not yet"`
	EndTime   *Time   `json:"end_time" doc:"When it ended; null: not yet"`
	Duration  float64 `json:"duration" doc:"Seconds"`
	Worker    string  `json:"worker" doc:"Name of the worker that has or had it"`

	// Metadata are on a single execution.
	Metadata map[string]any `json:"cumulative_metadata,omitempty" doc:"The latest value of each name that the command told"`

	// PullReport is a PullReport as the worker wrote it, which may be of another
	// version: ParsePullReport reads it.
	ImageDigest string          `json:"image_digest" doc:"Digest of the image that was run"`
	PullReport  json.RawMessage `json:"pull_report,omitempty" doc:"How the image was pulled"`

	ExitCode *int     `json:"exit_code" doc:"The command's exit code; null: there is none"`
	Failure  *Failure `json:"failure" doc:"Why it came to no end of its own; null: it did, or has not ended"`
}

// Failure says why an execution came to no end of its own.
type Failure struct {
	Code    string `json:"code" doc:"For programs"`
	Message string `json:"message" doc:"For people"`
}

// Event is one line of a log.
type Event struct {
	Sequence int64  `json:"sequence,omitempty" required:"false" doc:"Number of the line in the log, from 1"`
	Stream   string `json:"stream" enum:"status,stdout,stderr" doc:"status for Fairlead's own lines, or the command's output"`
	Time     *Time  `json:"time" doc:"When it was written"`
	Message  string `json:"message" doc:"The line, which may hold control characters"`
}

// Events are the last lines of a log, oldest first.
type Events struct {
	Events    []Event `json:"events" doc:"The lines, oldest first"`
	Total     int64   `json:"total" doc:"How many lines the log has"`
	Truncated bool    `json:"truncated" doc:"There are earlier lines"`
}

// LeaseRequest asks for something to run.
type LeaseRequest struct {
	WaitSeconds int `json:"wait_seconds,omitempty" required:"false" doc:"How long to wait for something; at most 30"`
}

// Lease is an execution that a worker holds. How long it lasts is told as a
// duration, so that the two clocks need not agree.
type Lease struct {
	ID          string `json:"id" doc:"The lease's id"`
	LifeSeconds int    `json:"life_seconds" doc:"How long it lasts from now on, unless it is renewed"`
	Execution   Job    `json:"execution" doc:"What to run"`
}

// Job is what a worker needs to know of an execution.
type Job struct {
	ID          string            `json:"id" doc:"UUID of the execution"`
	Counter     int               `json:"counter" doc:"Number within the project"`
	Attempt     int               `json:"attempt" doc:"How many workers took it so far, this one included"`
	Project     NamedID           `json:"project" doc:"Its project"`
	Commit      string            `json:"commit" doc:"Identifier of the commit"`
	Step        string            `json:"step" doc:"The step's name"`
	Image       string            `json:"image" doc:"Name of the container image"`
	Commands    []string          `json:"commands" doc:"The command lines"`
	Script      string            `json:"script" doc:"The command lines as one script of a shell"`
	Environment map[string]string `json:"environment_variables" doc:"Variables of the command, by name"`

	// Package is the identifier of the code's package.
	Package string `json:"package" doc:"Identifier of the code's package"`

	// Secrets are variables whose values are to be shown nowhere.
	Secrets map[string]OpenSecret `json:"secret_environment_variables,omitempty" doc:"Variables whose values are to be shown nowhere"`

	// Parameters are the values, for the files below /valohai/config.
	Parameters map[string]json.RawMessage `json:"parameters" doc:"Values by name, for the files below /valohai/config"`

	Inputs []JobInput `json:"inputs" doc:"Files that it gets"`

	TimeLimitSeconds float64 `json:"time_limit_seconds" doc:"How long it may run; 0: any time"`
	MemoryBytes      int64   `json:"memory_bytes" doc:"Most memory of the container; 0: no limit"`
	CPUs             float64 `json:"cpus" doc:"Most processors of the container; 0: no limit"`
	ShmBytes         int64   `json:"shm_bytes" doc:"Size of /dev/shm; 0: 64 MiB"`

	NoOutputSeconds float64            `json:"no_output_seconds" doc:"The command ends when it printed nothing for so long; 0: never"`
	Mounts          []Mount            `json:"mounts" doc:"Directories of the worker that the command sees"`
	Devices         map[string]float64 `json:"devices" doc:"CDI devices by kind; null leaves it to the worker"`
	NoNetwork       bool               `json:"no_network" doc:"Whether the container has no network"`
}

// Mount is a directory of the worker that the command sees.
type Mount struct {
	Source      string `json:"source" doc:"Path on the worker"`
	Destination string `json:"destination" doc:"Path in the container"`
	ReadOnly    bool   `json:"readonly" doc:"Whether the command may only read it"`
}

// LeaseState is how a lease is.
type LeaseState struct {
	LifeSeconds int  `json:"life_seconds" doc:"From now on, after a renewal; 0 where it was not renewed"`
	Stop        bool `json:"stop" doc:"Somebody asked to stop the execution"`
}

// EventBatch are lines of the log. A batch that comes again under the same
// number is acknowledged and not stored again.
type EventBatch struct {
	Batch  int64   `json:"batch" minimum:"1" doc:"Number of the batch, from 1, one more each time"`
	Events []Event `json:"events" maxItems:"4096" doc:"The lines"`
}

// LeaseImage tells which image is run, "" if it did not come, and how it was
// pulled: a PullReport, which is kept as it is.
type LeaseImage struct {
	Digest     string          `json:"image_digest" doc:"Digest of the image; empty: it did not come"`
	PullReport json.RawMessage `json:"pull_report,omitempty" required:"false" doc:"How it was pulled, a PullReport"`
}

// LeaseResult ends an execution.
type LeaseResult struct {
	Status   string   `json:"status" enum:"complete,error,stopped,crashed" doc:"How it ended"`
	ExitCode *int     `json:"exit_code,omitempty" required:"false" doc:"The command's exit code, where there is one"`
	Failure  *Failure `json:"failure,omitempty" required:"false" doc:"Why it came to no end of its own"`
	Events   []Event  `json:"events,omitempty" required:"false" doc:"Last lines of the log"`
}

// GrantRequest asks for a pull grant for the execution of a lease.
type GrantRequest struct {
	Lease string `json:"lease" doc:"The lease that the execution is held by"`

	// Refused is the issued_at of a grant that the registry no longer takes.
	Refused *Time `json:"refused,omitempty" required:"false" doc:"issued_at of a grant that the registry no longer takes"`
}

// Grant is a pull grant on its way to the worker: the one shape that holds a
// secret for a registry. It prints without it.
type Grant struct {
	Host       string `json:"host" doc:"The registry"`
	Repository string `json:"repository" doc:"The one repository that it is for"`

	Scheme string     `json:"scheme" enum:"bearer,basic,anonymous" doc:"How to send it: as a bearer token, as name and password, or not at all"`
	User   string     `json:"user,omitempty" doc:"User name, where the scheme is basic"`
	Secret OpenSecret `json:"secret,omitzero" doc:"The token or the password"`

	IssuedAt  *Time `json:"issued_at" doc:"When the token service gave it"`
	ExpiresAt *Time `json:"expires_at" doc:"When it ends; null: it is not said"`
	Narrow    bool  `json:"narrow" doc:"Whether it is good for this repository alone"`

	Credential string   `json:"credential" doc:"Name of the credential; empty for none"`
	Kind       string   `json:"kind" doc:"Kind of the credential"`
	Pattern    string   `json:"pattern" doc:"The pattern by which the credential covers the image"`
	Others     []string `json:"others,omitempty" doc:"Credentials that cover the image too and were not tried"`

	// Route is how the server was told to reach the registry.
	Route *RegistryRoute `json:"route,omitempty" doc:"How the server was told to reach the registry"`

	// Reach is how the credential says that the registry is reached.
	Reach *RegistryReach `json:"reach,omitempty" doc:"How the credential says that the registry is reached"`

	// Role is set where the worker gets the authorization with a role of its
	// own; scheme is anonymous then.
	Role *GrantRole `json:"role,omitempty" doc:"Set where the worker gets the authorization with a role of its own"`

	// Through is set where the worker has to pull through a pull-through cache, since the
	// registry takes only what stays on the server; scheme is anonymous then.
	Through *GrantThrough `json:"through,omitempty" doc:"Set where the worker has to pull through a pull-through cache"`

	// HeldVersion is set where the secret before the present one gave it.
	HeldVersion int `json:"held_version,omitempty" doc:"Version of the secret before the present one, where that one gave it"`
}

// GrantRole is what a worker needs to know to get an authorization by itself.
type GrantRole struct {
	Kind   string `json:"kind" doc:"Which cloud's role it is"`
	Region string `json:"region,omitempty" doc:"The cloud's region"`
	Name   string `json:"name,omitempty" doc:"Name of the role"`
}

// GrantThrough is a pull-through cache. A worker logs in there with the lease as the user
// name and its own token as the password.
type GrantThrough struct {
	URL string `json:"url" doc:"Empty: the server that gave the grant"`
}

// RegistryReach is a credential's own way to its registry.
type RegistryReach struct {
	Proxy     string `json:"proxy,omitempty" doc:"Address of an HTTP proxy"`
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
	Address   string `json:"address,omitempty" doc:"HOST:PORT in place of the registry's own"`
	CA        string `json:"ca,omitempty" doc:"PEM"`
	PlainHTTP bool   `json:"plain_http,omitempty" doc:"Whether it is spoken to without TLS"`
}
