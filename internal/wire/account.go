package wire

import "fairlead.dev/fairlead/internal/secret"

// User is a person with an account.
type User struct {
	ID       string `json:"id"`
	Username string `json:"username"`
	Email    string `json:"email"`
	Operator bool   `json:"operator"`
}

// NewUser makes a user.
type NewUser struct {
	Username string      `json:"username"`
	Email    string      `json:"email,omitempty" required:"false"`
	Password NewPassword `json:"password"`
	Operator bool        `json:"operator,omitempty" required:"false"`
}

// NewPassword is a secret on its way to the server: it is written as it is,
// and read into a secret.Text.
type NewPassword string

// Text wraps the secret.
func (p NewPassword) Text() secret.Text { return secret.New(string(p)) }

// PasswordChange sets a password.
type PasswordChange struct {
	Password    NewPassword `json:"password"`
	EndSessions bool        `json:"end_sessions,omitempty" required:"false" doc:"End the user's sessions in browsers, but for the one that asks; with one's own password this is so in any case"`
}

// Organization is one that the caller belongs to, with their role.
type Organization struct {
	ID       int64  `json:"id"`
	Name     string `json:"name"`
	Username string `json:"username" doc:"The name again, where clients look for it"`
	Role     string `json:"role"`
	URL      string `json:"url"`
}

// NewOrganization makes an organisation.
type NewOrganization struct {
	Name string `json:"name"`
}

// Member is a user's role in an organisation.
type Member struct {
	ID       string `json:"id"`
	Username string `json:"username"`
	Role     string `json:"role"`
}

// NewMember gives a user a role.
type NewMember struct {
	Username string `json:"username"`
	Role     string `json:"role"`
}

// Owner is who owns a project.
type Owner struct {
	ID       any    `json:"id" doc:"An organisation's number or a user's UUID"`
	Username string `json:"username"`
	Personal bool   `json:"personal"`
}

// Display is where a person sees a thing.
type Display struct {
	Display string `json:"display"`
}

// Project is what executions belong to.
type Project struct {
	ID          string  `json:"id"`
	Name        string  `json:"name"`
	Description string  `json:"description"`
	Owner       Owner   `json:"owner"`
	CTime       *Time   `json:"ctime"`
	YAMLPath    string  `json:"yaml_path"`
	URL         string  `json:"url"`
	URLs        Display `json:"urls"`

	// ExecutionSummary is on a single project: "count", and "STATUS_count" for
	// each status.
	ExecutionSummary map[string]int `json:"execution_summary,omitempty"`

	// Repository, EnvironmentVariables and DefaultEnvironment are on a single
	// project.
	Repository           *Repository         `json:"repository,omitempty"`
	EnvironmentVariables map[string]Variable `json:"environment_variables,omitempty"`
	DefaultEnvironment   string              `json:"default_environment,omitempty" doc:"Id of the environment of executions that name none"`

	LastExecutionCTime *Time `json:"last_execution_ctime"`
}

// NewProject makes a project; without an owner a personal one.
type NewProject struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty" required:"false"`
	Owner       string `json:"owner,omitempty" required:"false" doc:"An organisation's name or number"`
}

// Token is an API token, of a user or of a worker, without its text.
type Token struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	CTime      *Time  `json:"ctime"`
	ExpiresAt  *Time  `json:"expires_at"`
	LastUsedAt *Time  `json:"last_used_at"`
	URL        string `json:"url"`

	// Environment is where a worker's token works, by id.
	Environment string `json:"environment,omitempty"`
}

// NewToken makes a token.
type NewToken struct {
	Name      string `json:"name"`
	ExpiresAt *Time  `json:"expires_at,omitempty" required:"false" doc:"Absent: it does not expire"`
}

// NewWorkerToken makes a worker's token.
type NewWorkerToken struct {
	Name        string `json:"name"`
	ExpiresAt   *Time  `json:"expires_at,omitempty" required:"false" doc:"Absent: it does not expire"`
	Environment string `json:"environment,omitempty" required:"false" doc:"Where the worker takes executions from, as id, slug or name; absent: the default environment"`
}

// CreatedToken is a token with its text, which is shown this once.
type CreatedToken struct {
	Token
	Text string `json:"token"`
}

// GetToken trades a password for a token.
type GetToken struct {
	Username string      `json:"username"`
	Password NewPassword `json:"password"`
	Code     NewPassword `json:"code,omitempty" required:"false" doc:"Of the second factor, or a recovery code; needed where the answer is code_required"`
	Name     string      `json:"name,omitempty" required:"false" doc:"What to call the token"`
}

// GotToken is the token's text.
type GotToken struct {
	Token string `json:"token"`
}
