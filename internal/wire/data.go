package wire

import "encoding/json"

// Datum is a file that an execution left in its outputs.
type Datum struct {
	ID              string `json:"id"`
	URL             string `json:"url"`
	URI             string `json:"uri" doc:"What an input names it by"`
	Name            string `json:"name"`
	Size            int64  `json:"size"`
	SHA256          string `json:"sha256"`
	CTime           *Time  `json:"ctime"`
	Purged          bool   `json:"purged"`
	Project         string `json:"project"`
	OutputExecution Left   `json:"output_execution"`
}

// Left is the execution that left a datum.
type Left struct {
	ID      string `json:"id"`
	Counter int    `json:"counter"`
	URL     string `json:"url"`
}

// Download is where a datum's bytes are for a while, for whoever has the URL.
type Download struct {
	URL string `json:"url"`
}

// Metadatum is a JSON object that a command printed on a line of its own.
type Metadatum struct {
	Number int64           `json:"number"`
	CTime  *Time           `json:"ctime"`
	Value  json.RawMessage `json:"value"`
}

// Input is a set of files that an execution gets.
type Input struct {
	Name string   `json:"name"`
	URLs []string `json:"urls"`
}

// JobInput is an input as a worker needs to know it.
type JobInput struct {
	Name     string    `json:"name"`
	OnDemand bool      `json:"on_demand,omitempty"`
	Files    []JobFile `json:"files"`
}

// JobFile is a file of an input.
type JobFile struct {
	URL    string `json:"url"`
	Path   string `json:"path,omitempty" doc:"Below the input's directory; empty: as the URL or its server calls it"`
	SHA256 string `json:"sha256,omitempty"`
	Size   int64  `json:"size,omitempty"`
}
