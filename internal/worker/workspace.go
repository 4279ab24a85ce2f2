package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"fairlead.dev/fairlead/internal/engine"
	"fairlead.dev/fairlead/internal/source"
	"fairlead.dev/fairlead/internal/wire"
)

// Where a command finds its files, as Valohai's users know it.
const (
	valohaiDir    = "/valohai"
	repositoryDir = valohaiDir + "/repository"
	outputsDir    = valohaiDir + "/outputs"
	inputsDir     = valohaiDir + "/inputs"
	scriptFile    = valohaiDir + "/config/command.sh"
)

// workspace is the directory of one execution, which its container sees as
// /valohai.
type workspace struct{ dir string }

// make fills the workspace with the code and the configuration. It may be
// called again after it failed.
func (w workspace) make(ctx context.Context, job wire.Job, code io.Reader) error {
	if err := os.RemoveAll(w.dir); err != nil {
		return fmt.Errorf("clearing the workspace: %w", err)
	}
	// The image's user may be anybody, and must be able to write where a step
	// writes; nobody but root comes past the worker's own directory.
	for _, name := range []string{"", "repository", "outputs", "inputs", "config"} {
		if err := os.MkdirAll(filepath.Join(w.dir, name), 0o755); err != nil {
			return fmt.Errorf("making the workspace: %w", err)
		}
	}
	if err := source.Unpack(ctx, code, filepath.Join(w.dir, "repository"), source.Limits{}); err != nil {
		return err
	}
	for _, name := range []string{"repository", "outputs", "inputs"} {
		if err := os.Chmod(filepath.Join(w.dir, name), 0o777); err != nil {
			return fmt.Errorf("making the workspace: %w", err)
		}
	}
	return w.configure(job)
}

// configure writes what a step may read about itself.
func (w workspace) configure(job wire.Job) error {
	config := filepath.Join(w.dir, "config")
	if err := os.WriteFile(filepath.Join(config, "command.sh"), []byte(job.Script+"\n"), 0o755); err != nil {
		return fmt.Errorf("writing the command: %w", err)
	}
	parameters := job.Parameters
	if parameters == nil {
		parameters = map[string]json.RawMessage{}
	}
	files := map[string]any{
		"parameters": parameters,
		"execution": map[string]any{
			"valohai.execution-id": job.ID, "valohai.execution-counter": job.Counter, "valohai.execution-step": job.Step,
			"valohai.project-id": job.Project.ID, "valohai.project-name": job.Project.Name, "valohai.commit-identifier": job.Commit,
			"valohai.execution-image": job.Image,
		},
	}
	for name, content := range files {
		if err := w.configFile(name, content); err != nil {
			return err
		}
	}
	return nil
}

func (w workspace) mounts() []engine.Mount {
	return []engine.Mount{
		{Source: w.dir, Destination: valohaiDir},
		{Source: filepath.Join(w.dir, "config"), Destination: valohaiDir + "/config", ReadOnly: true},
	}
}

// args run the script: by its own interpreter where it names one, otherwise by
// a shell that ends at the first command that fails.
func (workspace) args(job wire.Job) []string {
	if strings.HasPrefix(job.Script, "#!") {
		return []string{scriptFile}
	}
	return []string{"/bin/sh", "-e", scriptFile}
}

// environment is the image's variables, ours over them, and over all the step's
// own.
func (r *run) environment(ofImage []string) []string {
	ours := []string{
		"CI=true",
		"VH_JOB_ID=" + r.job.ID,
		"VH_EXECUTION_ID=" + r.job.ID,
		"VH_PROJECT_ID=" + r.job.Project.ID,
		"VH_CONFIG_DIR=" + valohaiDir + "/config",
		"VH_INPUTS_DIR=" + inputsDir,
		"VH_OUTPUTS_DIR=" + outputsDir,
		"VH_REPOSITORY_DIR=" + repositoryDir,
		"FAIRLEAD_EXECUTION_ID=" + r.job.ID,
		"FAIRLEAD_COUNTER=" + strconv.Itoa(r.job.Counter),
		"FAIRLEAD_ATTEMPT=" + strconv.Itoa(r.job.Attempt),
		"FAIRLEAD_PROJECT=" + r.job.Project.Name,
		"FAIRLEAD_STEP=" + r.job.Step,
		"FAIRLEAD_IMAGE=" + r.job.Image,
	}
	var steps []string
	for _, name := range slices.Sorted(maps.Keys(r.job.Environment)) {
		steps = append(steps, name+"="+r.job.Environment[name])
	}
	for _, name := range slices.Sorted(maps.Keys(r.job.Secrets)) {
		steps = append(steps, name+"="+r.job.Secrets[name].Reveal())
	}
	return engine.Environ(ofImage, ours, steps)
}
