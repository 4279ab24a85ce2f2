package valohaiyaml

import (
	"maps"
	"slices"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/fault"
)

// Step is one thing that can be run: a command in an image.
type Step struct {
	Name string

	// Image is the image's name as written; it may be empty or no name at all,
	// which the linter tells.
	Image string

	// Commands are the command lines before parameters are filled in.
	Commands []string

	// Description, Icon and Category are shown to people.
	Description, Icon, Category string

	// Environment is where to run: an id or a part of an environment's name.
	Environment         string
	RuntimeConfigPreset string

	EnvironmentVariables      []EnvironmentVariable
	EnvironmentVariableGroups []string

	Parameters   []*Parameter
	Inputs       []Input
	Outputs      []Output
	Mounts       []Mount
	CacheVolumes []string
	Resources    Resources

	// TimeLimit is how long the step may run, and NoOutputTimeout how long it
	// may be silent; nil for the platform's own limits.
	TimeLimit, NoOutputTimeout *time.Duration

	// StopCondition ends the step early when its metadata fulfil it.
	StopCondition string

	// UploadStore is where outputs go: a name or an id.
	UploadStore string

	// SourcePath fills `{source-path}` in a command; nil leaves that as it is.
	SourcePath *string

	node *node
}

// EnvironmentVariable is a variable that a step's command sees.
type EnvironmentVariable struct {
	Name        string
	Description string

	// Default is nil where there is none.
	Default *string

	// Optional variables need no value, and most are.
	Optional bool
}

// Input is a set of files that a step gets.
type Input struct {
	Name        string
	Description string

	// Default are URLs, with wildcards.
	Default  []string
	Optional bool

	// Filename is what to call a single file, whatever its URL says.
	Filename string

	// KeepDirectories is `none`, `suffix` or `full`: how much of the files'
	// paths is kept. Download is `always` or `on-demand`.
	KeepDirectories string
	Download        string

	node *node
}

// Output is a file that a step says it will write.
type Output struct {
	Name        string
	Description string
}

// Mount is a directory that the step sees, from the worker or from elsewhere.
type Mount struct {
	Source, Destination string
	ReadOnly            bool

	// Type is the file system in lower case, such as nfs; empty for a
	// directory of the worker.
	Type    string
	Options map[string]Value
}

// Resources are what a step asks of the worker; zero fields leave it open.
type Resources struct {
	// CPU counts virtual CPUs, Memory and EphemeralStorage megabytes. Only an
	// endpoint asks for EphemeralStorage.
	CPU, Memory, EphemeralStorage Range

	// Devices counts devices by their name, such as nvidia.com/gpu. An empty
	// map asks for none where the environment has some; nil does not say.
	Devices map[string]float64
}

// Range is the least and the most of something; nil where it is open.
type Range struct{ Min, Max *float64 }

var (
	durationRule = &rule{kinds: []Kind{Integer, Text}}

	environmentVariablesRule = listOf(mapOf(need("name"), map[string]*rule{
		"name": text, "default": text, "description": text, "optional": boolean,
	}))

	inputsRule = listOf(mapOf(need("name"), map[string]*rule{
		"name":             {kinds: []Kind{Text}, most: 64},
		"default":          textOrList,
		"optional":         boolean,
		"description":      text,
		"filename":         text,
		"keep-directories": {kinds: []Kind{Boolean, Text}, words: []string{"none", "suffix", "full"}},
		"download":         oneWord("always", "on-demand"),
	}))

	mountsRule = listOf(&rule{
		kinds:   []Kind{Text, Map},
		pattern: matching(`^/.+:/.+$`, "").pattern, shape: "`/source:/destination`",
		needs: need("source", "destination"),
		keys: map[string]*rule{
			"source":      text,
			"destination": matching(`^/.+$`, "an absolute path"),
			"readonly":    boolean,
			"type":        text,
			"options":     openMap,
		},
	})

	rangeRule = mapOf(nil, map[string]*rule{"min": number, "max": number})

	resourcesRule = mapOf(nil, map[string]*rule{
		"cpu": rangeRule, "memory": rangeRule, "devices": devicesRule,
	})

	devicesRule = &rule{kinds: []Kind{Map}, values: &rule{kinds: []Kind{Integer, Float}, min: bound(1)}}

	stepRule = mapOf(need("name", "image", "command"), map[string]*rule{
		"name":                        text,
		"image":                       text,
		"command":                     textOrList,
		"description":                 text,
		"icon":                        text,
		"category":                    text,
		"environment":                 text,
		"runtime-config-preset":       text,
		"environment-variables":       environmentVariablesRule,
		"environment-variable-groups": texts,
		"parameters":                  listOf(parameterRule),
		"inputs":                      inputsRule,
		"outputs":                     listOf(mapOf(need("name"), map[string]*rule{"name": text, "description": text})),
		"mounts":                      mountsRule,
		"cache-volumes":               texts,
		"resources":                   resourcesRule,
		"time-limit":                  durationRule,
		"no-output-timeout":           durationRule,
		"stop-condition":              text,
		"upload-store":                {kinds: []Kind{Text}, most: 64},
		"source-path":                 text,
	})
)

func stepOf(n *node, r *report) *Step {
	return &Step{
		Name: n.get("name").text(), Image: n.get("image").text(), Commands: n.get("command").texts(),
		Description: n.get("description").text(), Icon: n.get("icon").text(), Category: n.get("category").text(),
		Environment: n.get("environment").text(), RuntimeConfigPreset: n.get("runtime-config-preset").text(),
		EnvironmentVariables:      environmentVariablesOf(n.get("environment-variables")),
		EnvironmentVariableGroups: n.get("environment-variable-groups").texts(),
		Parameters:                parametersOf(n.get("parameters"), r),
		Inputs:                    inputsOf(n.get("inputs")),
		Outputs:                   outputsOf(n.get("outputs")),
		Mounts:                    mountsOf(n.get("mounts")),
		CacheVolumes:              n.get("cache-volumes").texts(),
		Resources:                 resourcesOf(n.get("resources")),
		TimeLimit:                 durationOf(n.get("time-limit"), r),
		NoOutputTimeout:           durationOf(n.get("no-output-timeout"), r),
		StopCondition:             n.get("stop-condition").text(),
		UploadStore:               n.get("upload-store").text(),
		SourcePath:                n.get("source-path").textOrNil(),
		node:                      n,
	}
}

func environmentVariablesOf(n *node) []EnvironmentVariable {
	var variables []EnvironmentVariable
	for _, item := range n.list() {
		variables = append(variables, EnvironmentVariable{
			Name: item.get("name").text(), Description: item.get("description").text(), Optional: item.get("optional").truth(true),
			Default: item.get("default").textOrNil(),
		})
	}
	return byName(variables, func(v EnvironmentVariable) string { return v.Name }, func(EnvironmentVariable) {})
}

func inputsOf(n *node) []Input {
	var inputs []Input
	for _, item := range n.list() {
		in := Input{
			Name: item.get("name").text(), Description: item.get("description").text(), Default: item.get("default").texts(),
			Optional: item.get("optional").truth(false), Filename: item.get("filename").text(),
			KeepDirectories: item.get("keep-directories").text(), Download: item.get("download").text(), node: item,
		}
		if item.get("keep-directories").truth(false) {
			in.KeepDirectories = "full"
		}
		if in.KeepDirectories == "" {
			in.KeepDirectories = "none"
		}
		if in.Download == "" {
			in.Download = "always"
		}
		inputs = append(inputs, in)
	}
	return byName(inputs, func(in Input) string { return in.Name }, func(Input) {})
}

func outputsOf(n *node) []Output {
	var outputs []Output
	for _, item := range n.list() {
		outputs = append(outputs, Output{item.get("name").text(), item.get("description").text()})
	}
	return outputs
}

func mountsOf(n *node) []Mount {
	var mounts []Mount
	for _, item := range n.list() {
		if item.kind() == Text {
			source, destination, _ := strings.Cut(item.text(), ":")
			mounts = append(mounts, Mount{Source: source, Destination: destination})
			continue
		}
		m := Mount{
			Source: item.get("source").text(), Destination: item.get("destination").text(),
			ReadOnly: item.get("readonly").truth(false), Type: strings.ToLower(item.get("type").text()),
		}
		if options := item.get("options"); options.kind() == Map {
			m.Options = make(map[string]Value, len(options.entries()))
			for _, e := range options.entries() {
				m.Options[e.name()] = e.value.data()
			}
		}
		mounts = append(mounts, m)
	}
	return mounts
}

func resourcesOf(n *node) Resources {
	res := Resources{CPU: rangeOf(n.get("cpu")), Memory: rangeOf(n.get("memory")), EphemeralStorage: rangeOf(n.get("ephemeral-storage"))}
	if devices := n.get("devices"); devices.kind() == Map {
		res.Devices = make(map[string]float64, len(devices.entries()))
		for _, e := range devices.entries() {
			if count := e.value.number(); count != nil {
				res.Devices[e.name()] = *count
			}
		}
	}
	return res
}

func rangeOf(n *node) Range { return Range{Min: n.get("min").number(), Max: n.get("max").number()} }

// durationOf reads a time limit. A text that is none is an error of the schema:
// the step cannot be run without knowing for how long.
func durationOf(n *node, r *report) *time.Duration {
	if n.kind() != Integer && n.kind() != Text {
		return nil
	}
	d, err := ParseDuration(n.value)
	if err != nil {
		f := fault.From(err)
		r.add(Error, Schema, n, f.Code, "%s: %s", place(n), f.Message).mend("%s", f.Hint)
	}
	return d
}

// Parameter is the parameter of that name, and nil if the step has none.
func (s *Step) Parameter(name string) *Parameter {
	for _, p := range s.Parameters {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// hasInput reports whether the step has an input of that name.
func (s *Step) hasInput(name string) bool {
	return slices.ContainsFunc(s.Inputs, func(in Input) bool { return in.Name == name })
}

// inputNames are the names of the step's inputs.
func (s *Step) inputNames() []string {
	return namesOf(s.Inputs, func(in Input) string { return in.Name })
}

// parameterNames are the names of the step's parameters.
func (s *Step) parameterNames() []string {
	return namesOf(s.Parameters, func(p *Parameter) string { return p.Name })
}

// Variables are the environment variables of a run: the defaults, and over
// them what is given, which may have other names too. The error is an Invalid
// fault that names every variable that is required and has no value.
func (s *Step) Variables(given map[string]string) (map[string]string, error) {
	variables := make(map[string]string, len(s.EnvironmentVariables)+len(given))
	var errs []error
	for _, v := range s.EnvironmentVariables {
		_, set := given[v.Name]
		switch {
		case v.Default != nil:
			variables[v.Name] = *v.Default
		case !set && !v.Optional:
			errs = append(errs, fault.InvalidField("environment_variables."+v.Name, "variable_missing",
				"the environment variable %s is required and has no value", quote(v.Name)).WithHint("Set it for this execution."))
		}
	}
	maps.Copy(variables, given)
	return variables, fault.Join(errs...)
}

// sortedNames are the keys of a map in their order.
func sortedNames[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }
