package wire

import "fairlead.dev/fairlead/internal/secret"

// User is a person with an account.
type User struct {
	ID       string `json:"id" doc:"UUID"`
	Username string `json:"username" doc:"What the user signs in with"`
	Email    string `json:"email" doc:"Address that mail goes to; empty: none is known"`
	Operator bool   `json:"operator" doc:"Whether the user runs the installation"`
}

// NewUser makes a user.
type NewUser struct {
	Username string      `json:"username" doc:"What the user signs in with: letters, digits, dots, dashes and underscores"`
	Email    string      `json:"email,omitempty" required:"false" doc:"Address that mail goes to"`
	Password NewPassword `json:"password" doc:"What the user signs in with first"`
	Operator bool        `json:"operator,omitempty" required:"false" doc:"Whether the user runs the installation"`
}

// NewPassword is a secret on its way to the server: it is written as it is,
// and read into a secret.Text.
type NewPassword string

// Text wraps the secret.
func (p NewPassword) Text() secret.Text { return secret.New(string(p)) }

// PasswordChange sets a password.
type PasswordChange struct {
	Password    NewPassword `json:"password" doc:"The new password"`
	EndSessions bool        `json:"end_sessions,omitempty" required:"false" doc:"End the user's sessions in browsers, but for the one that asks; with one's own password this is so in any case"`
}

// Organization is one that the caller belongs to, with their role.
type Organization struct {
	ID       int64  `json:"id" doc:"Number, which is sent as the owner of things"`
	Name     string `json:"name" doc:"Name"`
	Username string `json:"username" doc:"The name again, where clients look for it"`
	Role     string `json:"role" doc:"The caller's role there: admin or member"`
	URL      string `json:"url" doc:"Of this resource"`
}

// NewOrganization makes an organisation.
type NewOrganization struct {
	Name string `json:"name" doc:"Name: letters, digits, dots, dashes and underscores"`
}

// Member is a user's role in an organisation.
type Member struct {
	ID       string `json:"id" doc:"The user's UUID"`
	Username string `json:"username" doc:"The user's name"`
	Role     string `json:"role" doc:"admin or member"`
}

// NewMember gives a user a role.
type NewMember struct {
	Username string `json:"username" doc:"The user's name"`
	Role     string `json:"role" doc:"admin or member"`
}

// Owner is who owns a project.
type Owner struct {
	ID       any    `json:"id" doc:"An organisation's number or a user's UUID"`
	Username string `json:"username" doc:"The organisation's or the user's name"`
	Personal bool   `json:"personal" doc:"Whether one user owns it"`
}

// Display is where a person sees a thing.
type Display struct {
	Display string `json:"display" doc:"Address of the page for a person"`
}

// Project is what executions belong to.
type Project struct {
	ID          string  `json:"id" doc:"UUID"`
	Name        string  `json:"name" doc:"Name"`
	Description string  `json:"description" doc:"What it is about"`
	Owner       Owner   `json:"owner" doc:"Who owns it"`
	CTime       *Time   `json:"ctime" doc:"When it was made"`
	YAMLPath    string  `json:"yaml_path" doc:"Where in its code the valohai.yaml is"`
	URL         string  `json:"url" doc:"Of this resource"`
	URLs        Display `json:"urls" doc:"Where a person sees it"`

	// ExecutionSummary is on a single project: "count", and "STATUS_count" for
	// each status.
	ExecutionSummary map[string]int `json:"execution_summary,omitempty" doc:"How many executions there are: count, and STATUS_count for each status"`

	// Repository, EnvironmentVariables and DefaultEnvironment are on a single
	// project.
	Repository           *Repository         `json:"repository,omitempty" doc:"The git repository that it is linked to; absent: none"`
	EnvironmentVariables map[string]Variable `json:"environment_variables,omitempty" doc:"Variables of every execution, by name"`
	DefaultEnvironment   string              `json:"default_environment,omitempty" doc:"Id of the environment of executions that name none"`

	LastExecutionCTime *Time `json:"last_execution_ctime" doc:"When its newest execution was made; null: there was none"`
}

// NewProject makes a project; without an owner a personal one.
type NewProject struct {
	Name        string `json:"name" doc:"Name: letters, digits, dots, dashes and underscores"`
	Description string `json:"description,omitempty" required:"false" doc:"What it is about"`
	Owner       string `json:"owner,omitempty" required:"false" doc:"An organisation's name or number"`
}

// Token is an API token, of a user or of a worker, without its text.
type Token struct {
	ID         string `json:"id" doc:"UUID"`
	Name       string `json:"name" doc:"What it was called"`
	CTime      *Time  `json:"ctime" doc:"When it was made"`
	ExpiresAt  *Time  `json:"expires_at" doc:"When it ends; null: it does not"`
	LastUsedAt *Time  `json:"last_used_at" doc:"When it was used last, to the minute or so; null: never"`
	URL        string `json:"url" doc:"Of this resource"`

	// Environment is where a worker's token works, by id.
	Environment string `json:"environment,omitempty" doc:"Id of the environment that a worker's token takes executions from"`
}

// NewToken makes a token.
type NewToken struct {
	Name      string `json:"name" doc:"What to call it"`
	ExpiresAt *Time  `json:"expires_at,omitempty" required:"false" doc:"Absent: it does not expire"`
}

// NewWorkerToken makes a worker's token.
type NewWorkerToken struct {
	Name        string `json:"name" doc:"What to call it"`
	ExpiresAt   *Time  `json:"expires_at,omitempty" required:"false" doc:"Absent: it does not expire"`
	Environment string `json:"environment,omitempty" required:"false" doc:"Where the worker takes executions from, as id, slug or name; absent: the default environment"`
}

// CreatedToken is a token with its text, which is shown this once.
type CreatedToken struct {
	Token
	Text string `json:"token" doc:"The token's text, shown this once"`
}

// GetToken trades a password for a token.
type GetToken struct {
	Username string      `json:"username" doc:"Who signs in"`
	Password NewPassword `json:"password" doc:"Their password"`
	Code     NewPassword `json:"code,omitempty" required:"false" doc:"Of the second factor, or a recovery code; needed where the answer is code_required"`
	Name     string      `json:"name,omitempty" required:"false" doc:"What to call the token"`
}

// GotToken is the token's text.
type GotToken struct {
	Token string `json:"token" doc:"The token's text, shown this once"`
}
