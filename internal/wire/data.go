package wire

import "encoding/json"

// Datum is a file that an execution left in its outputs.
type Datum struct {
	ID              string `json:"id" doc:"UUID"`
	URL             string `json:"url" doc:"Of this resource"`
	URI             string `json:"uri" doc:"What an input names it by"`
	Name            string `json:"name" doc:"Path below the outputs"`
	Size            int64  `json:"size" doc:"Bytes"`
	SHA256          string `json:"sha256" doc:"SHA-256 of the bytes, in hexadecimal"`
	CTime           *Time  `json:"ctime" doc:"When it was kept"`
	Purged          bool   `json:"purged" doc:"Whether the bytes were deleted"`
	Project         string `json:"project" doc:"Id of its project"`
	OutputExecution Left   `json:"output_execution" doc:"The execution that left it"`
}

// Left is the execution that left a datum.
type Left struct {
	ID      string `json:"id" doc:"UUID of the execution"`
	Counter int    `json:"counter" doc:"Its number in the project"`
	URL     string `json:"url" doc:"Of that execution"`
}

// Download is where a datum's bytes are for a while, for whoever has the URL.
type Download struct {
	URL string `json:"url" doc:"Where the bytes are for a quarter of an hour, without a token"`
}

// Metadatum is a JSON object that a command printed on a line of its own.
type Metadatum struct {
	Number int64           `json:"number" doc:"Number within the execution, from 1"`
	CTime  *Time           `json:"ctime" doc:"When it was printed"`
	Value  json.RawMessage `json:"value" doc:"The JSON object"`
}

// Input is a set of files that an execution gets.
type Input struct {
	Name string   `json:"name" doc:"The input's name in the step"`
	URLs []string `json:"urls" doc:"Where its files are from"`
}

// JobInput is an input as a worker needs to know it.
type JobInput struct {
	Name     string    `json:"name" doc:"The input's name in the step"`
	OnDemand bool      `json:"on_demand,omitempty" doc:"Whether the command fetches the files by itself"`
	Files    []JobFile `json:"files" doc:"What the input has"`
}

// JobFile is a file of an input.
type JobFile struct {
	URL    string `json:"url" doc:"Where it is from"`
	Path   string `json:"path,omitempty" doc:"Below the input's directory; empty: as the URL or its server calls it"`
	SHA256 string `json:"sha256,omitempty" doc:"SHA-256 that the bytes must have, where it is known"`
	Size   int64  `json:"size,omitempty" doc:"Bytes, where it is known"`
}
