package valohaiyaml_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/fault"
)

func TestTheVariablesOfARunAreTheDefaultsUnderWhatIsGiven(t *testing.T) {
	step := parse(t, trainer).Steps[0]
	got, err := step.Variables(map[string]string{"TOKEN": "t", "OTHER": "o"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"MODE": "fast", "TOKEN": "t", "OTHER": "o"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	_, err = step.Variables(nil)
	if sentence := fault.From(err).Sentence(); !fault.Is(err, fault.Invalid) || !strings.Contains(sentence, `"TOKEN" is required`) {
		t.Errorf("%q does not ask for TOKEN", sentence)
	}
}

func TestAStepHasAllThatItsFileSays(t *testing.T) {
	step := parse(t, `- step:
    name: train
    image: a
    command: [one, two]
    description: d
    icon: https://x.example/i.png
    category: c
    environment: gpu
    runtime-config-preset: p
    environment-variable-groups: [g]
    inputs:
      - {name: data, default: "s3://b/*", keep-directories: true, download: on-demand, filename: f}
      - {name: more, default: [a, b], optional: true}
    outputs: [{name: model, description: m}]
    mounts:
      - /src:/dst:ro
      - {source: nas:/x, destination: /y, readonly: true, type: NFS, options: {hard: true}}
    cache-volumes: [pvc]
    resources: {cpu: {min: 1, max: 2.5}, memory: {max: 100}, devices: {nvidia.com/gpu: 1}}
    time-limit: 1h
    no-output-timeout: 90
    stop-condition: a > 1
    upload-store: store
    source-path: src/main.py
`).Steps[0]
	if got := step.Inputs[0]; got.KeepDirectories != "full" || got.Download != "on-demand" || got.Filename != "f" || len(got.Default) != 1 {
		t.Errorf("input %+v", got)
	}
	if got := step.Inputs[1]; got.KeepDirectories != "none" || got.Download != "always" || !got.Optional || len(got.Default) != 2 {
		t.Errorf("input %+v", got)
	}
	if got := step.Mounts[0]; got.Source != "/src" || got.Destination != "/dst:ro" {
		t.Errorf("a mount is split at its first colon: %+v", got)
	}
	if got := step.Mounts[1]; got.Type != "nfs" || !got.ReadOnly || got.Options["hard"].String() != "True" {
		t.Errorf("mount %+v", got)
	}
	res := step.Resources
	if *res.CPU.Min != 1 || *res.CPU.Max != 2.5 || res.Memory.Min != nil || *res.Memory.Max != 100 || res.Devices["nvidia.com/gpu"] != 1 {
		t.Errorf("resources %+v", res)
	}
	if step.TimeLimit.String() != "1h0m0s" || step.NoOutputTimeout.String() != "1m30s" {
		t.Errorf("limits %v and %v", step.TimeLimit, step.NoOutputTimeout)
	}
	got := []string{step.Description, step.Icon, step.Category, step.Environment, step.RuntimeConfigPreset, step.EnvironmentVariableGroups[0], step.Outputs[0].Description, step.CacheVolumes[0], step.StopCondition, step.UploadStore, *step.SourcePath}
	want := []string{"d", "https://x.example/i.png", "c", "gpu", "p", "g", "m", "pvc", "a > 1", "store", "src/main.py"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestEmptyDevicesAreNotTheSameAsNone(t *testing.T) {
	for text, isNil := range map[string]bool{"{devices: {}}": false, "{}": true} {
		if got := parse(t, "- step: {name: s, image: a, command: b, resources: "+text+"}").Steps[0].Resources.Devices; (got == nil) != isNil {
			t.Errorf("%s: %v", text, got)
		}
	}
}
