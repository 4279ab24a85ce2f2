package wire

// Environment is a named group of workers.
type Environment struct {
	ID          string `json:"id" doc:"UUID"`
	Name        string `json:"name" doc:"Name"`
	Slug        string `json:"slug" doc:"The name as a part of a path"`
	Description string `json:"description" doc:"What it is for"`
	Enabled     bool   `json:"enabled" doc:"Whether it takes new executions"`
	Default     bool   `json:"default" doc:"It is where executions and workers are that name none"`
	URL         string `json:"url" doc:"Of this resource"`

	// GPUSpec and PerHourPriceUSD are read by clients; Fairlead knows neither.
	GPUSpec         string  `json:"gpu_spec" doc:"Always empty: read by existing clients"`
	PerHourPriceUSD float64 `json:"per_hour_price_usd" doc:"Always 0: read by existing clients"`

	PerUserQueueQuota int `json:"per_user_queue_quota" doc:"How many unfinished executions one user may have in it; 0: any number"`
	Limit             int `json:"limit" doc:"How many executions run in it at once; 0: as many as its workers take"`

	// Projects are the ids of those that may use it, of which only those that the
	// caller may see are told; null: all may.
	Projects *[]string `json:"projects" doc:"Ids of the projects that may use it, as far as the caller may see them; null: all may"`

	UnfinishedJobCount *int `json:"unfinished_job_count,omitempty" doc:"Where it was asked for"`
}

// EnvironmentChange makes an environment, or changes what is not absent.
type EnvironmentChange struct {
	Name              *string   `json:"name,omitempty" required:"false" doc:"Name"`
	Description       *string   `json:"description,omitempty" required:"false" doc:"What it is for"`
	Enabled           *bool     `json:"enabled,omitempty" required:"false" doc:"Whether it takes new executions"`
	PerUserQueueQuota *int      `json:"per_user_queue_quota,omitempty" required:"false" doc:"How many unfinished executions one user may have in it; 0: any number"`
	Limit             *int      `json:"limit,omitempty" required:"false" doc:"How many executions run in it at once; 0: as many as its workers take"`
	Projects          *[]string `json:"projects,omitempty" required:"false" doc:"Those that may use it, as ids or OWNER/NAME"`
	AllProjects       bool      `json:"all_projects,omitempty" required:"false" doc:"Every project may use it"`
}

// EnvironmentName is the environment of an execution.
type EnvironmentName struct {
	ID   string `json:"id" doc:"UUID"`
	Name string `json:"name" doc:"Name"`
	Slug string `json:"slug" doc:"The name as a part of a path"`
}
