package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/inputs"
	"fairlead.dev/fairlead/internal/wire"
)

// inputDocument is an input in /valohai/config/inputs.json.
type inputDocument struct {
	Files []inputFile `json:"files"`
}

// inputFile is a file of an input, as a command reads of it.
type inputFile struct {
	Name   string            `json:"name"`
	Path   string            `json:"path"`
	Size   int64             `json:"size"`
	URI    string            `json:"uri"`
	Status string            `json:"download_status"`
	Sums   map[string]string `json:"checksums,omitempty"`
}

// placeInputs brings the execution's inputs into its workspace, and writes down
// where they are.
func (r *run) placeInputs(ctx context.Context, files workspace) error {
	told := make(map[string]inputDocument, len(r.job.Inputs))
	for _, input := range r.job.Inputs {
		document := inputDocument{Files: make([]inputFile, 0, len(input.Files))}
		for _, file := range input.Files {
			placed, err := r.placeInput(ctx, files, input, file)
			if err != nil {
				return err
			}
			document.Files = append(document.Files, placed)
		}
		told[input.Name] = document
	}
	return files.configFile("inputs", told)
}

func (r *run) placeInput(ctx context.Context, files workspace, input wire.JobInput, file wire.JobFile) (inputFile, error) {
	dir := filepath.Join(files.dir, "inputs", input.Name)
	if input.OnDemand {
		return inputFile{Name: path.Base(file.Path), URI: file.URL, Size: file.Size, Status: "not-downloaded"}, nil
	}
	source := inputs.Source{URL: file.URL, SHA256: file.SHA256}
	if datum, is := strings.CutPrefix(file.URL, "datum://"); is {
		request, err := r.worker.config.Client.InputRequest(ctx, r.lease.ID, datum)
		if err != nil {
			return inputFile{}, err
		}
		// The server has asked who may read it.
		source.URL, source.Header, source.Trusted = request.URL.String(), request.Header, true
	}
	var below string
	began := time.Now()
	placed, err := r.worker.config.Inputs.Place(ctx, source, func(name string) (string, error) {
		if below = file.Path; below == "" {
			below = name
		}
		r.journal.status(fmt.Sprintf("Downloading the input %s: %s", input.Name, below))
		return placeIn(dir, below)
	}, r.inputProgress(input.Name))
	if err != nil {
		return inputFile{}, aboutInput(err, input.Name)
	}
	from := fmt.Sprintf("in %s", time.Since(began).Round(time.Millisecond))
	if placed.Cached {
		from = "from this worker's cache"
	}
	r.journal.status(fmt.Sprintf("Got the input %s: %s, %s, %s", input.Name, below, wire.Size(placed.Size), from))
	return inputFile{
		Name: path.Base(below), Path: path.Join(inputsDir, input.Name, below), URI: file.URL, Size: placed.Size, Status: "success",
		Sums: map[string]string{"sha256": placed.SHA256},
	}, nil
}

// inputProgress tells of a download that takes long, now and then.
func (r *run) inputProgress(input string) func(done, total int64) {
	const every = 10 * time.Second
	next := time.Now().Add(every)
	return func(done, total int64) {
		now := time.Now()
		if now.Before(next) {
			return
		}
		next = now.Add(every)
		text := fmt.Sprintf("Downloading the input %s: %s so far", input, wire.Size(done))
		if total > 0 {
			text = fmt.Sprintf("Downloading the input %s: %s of %s", input, wire.Size(done), wire.Size(total))
		}
		r.journal.status(text)
	}
}

// placeIn makes the directories of a file below dir, and never one beside it.
func placeIn(dir, below string) (string, error) {
	if !filepath.IsLocal(filepath.FromSlash(below)) {
		return "", fault.New(fault.Invalid, "input_name", "an input's file may not be called %.80q", below).
			WithHint("Give it a name with `filename` on the input.")
	}
	target := filepath.Join(dir, filepath.FromSlash(below))
	// Every directory may be written to, as the inputs' own.
	for made := filepath.Dir(target); len(made) >= len(dir); made = filepath.Dir(made) {
		if err := os.MkdirAll(made, 0o777); err != nil {
			return "", fmt.Errorf("making an input's directory: %w", err)
		}
		if err := os.Chmod(made, 0o777); err != nil {
			return "", fmt.Errorf("making an input's directory: %w", err)
		}
	}
	return target, nil
}

// aboutInput tells which input an error is about.
func aboutInput(err error, input string) error {
	var told *fault.Error
	if !errors.As(err, &told) {
		return err
	}
	named := *told
	named.Message = "the input " + input + ": " + told.Message
	return &named
}

// configFile writes a file of the configuration as JSON and as YAML. JSON is
// YAML, so both have the same text.
func (w workspace) configFile(name string, content any) error {
	text, err := json.MarshalIndent(content, "", "  ")
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	for _, extension := range []string{".json", ".yaml"} {
		if err := os.WriteFile(filepath.Join(w.dir, "config", name+extension), append(text, '\n'), 0o644); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
	}
	return nil
}
