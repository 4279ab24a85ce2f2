package wire

// Repository is the git repository that a project is linked to.
type Repository struct {
	URL        string `json:"url" doc:"Where it is"`
	Username   string `json:"username" doc:"What goes with the token"`
	Login      string `json:"login" enum:"token,ssh_key," doc:"What logs in; empty for a public repository"`
	KnownHosts string `json:"known_hosts" doc:"Keys of the ssh host"`
	ConfigPath string `json:"yaml_path" doc:"Where in it the valohai.yaml is"`
	LinkedAt   *Time  `json:"linked_at" doc:"When it was linked"`
}

// RepositoryLink links a project to a git repository.
type RepositoryLink struct {
	URL        string      `json:"url" doc:"https://HOST/PATH, ssh://USER@HOST/PATH or USER@HOST:PATH"`
	Username   string      `json:"username,omitempty" required:"false" doc:"Goes with the token; absent: what the host takes for access tokens"`
	Token      NewPassword `json:"token,omitempty" required:"false" doc:"Access token of the git host"`
	SSHKey     NewPassword `json:"ssh_key,omitempty" required:"false" doc:"Private key in PEM, without a passphrase"`
	KnownHosts string      `json:"known_hosts,omitempty" required:"false" doc:"Keys of the ssh host, as ssh-keyscan prints them"`
	ConfigPath string      `json:"yaml_path,omitempty" required:"false" doc:"Where in the repository the valohai.yaml is"`
}

// Fetched is what a fetch brought.
type Fetched struct {
	Commits []FetchedCommit `json:"commits" doc:"Those that were not there before"`
	Errors  []string        `json:"errors" doc:"What could not be fetched"`
}

// FetchedCommit is a new commit.
type FetchedCommit struct {
	Ref        string `json:"ref" doc:"Branch or tag"`
	Identifier string `json:"identifier" doc:"Hash of the git commit"`
}

// Variable is an environment variable of every execution of a project.
type Variable struct {
	Value  string `json:"value" doc:"Empty for a secret one"`
	Secret bool   `json:"secret" doc:"Whether the value is sealed and never shown"`
}

// NewVariable sets a variable.
type NewVariable struct {
	Name   string      `json:"name" doc:"Name: 1 to 200 bytes without =, spaces and line breaks"`
	Value  NewPassword `json:"value,omitempty" required:"false" doc:"Value"`
	Secret bool        `json:"secret,omitempty" required:"false" doc:"Whether the value is sealed and never shown"`
}

// ProjectChange changes what is not absent.
type ProjectChange struct {
	DefaultEnvironment *string `json:"default_environment,omitempty" required:"false" doc:"Where executions run that name no environment; empty: the installation's default"`
}

// Tags are an execution's.
type Tags struct {
	Tags []string `json:"tags" doc:"Words to find it by"`
}
