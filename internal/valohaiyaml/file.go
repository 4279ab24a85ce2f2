package valohaiyaml

import (
	"cmp"
	"slices"
	"strings"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
)

// File is a valohai.yaml that was read. Of several things of one kind with the
// same name it has the last. It is never changed.
type File struct {
	Steps     []*Step
	Tasks     []*Task
	Pipelines []*Pipeline
	Endpoints []*Endpoint

	Deployments []*Deployment

	root *node

	// byName are the steps by their names, once none has another's.
	byName map[string]*Step
}

// Image is a container image that a file names.
type Image struct {
	// Name is as it is written; it may be none that Docker takes, which is a
	// finding of its own.
	Name string

	// Where says what names it, such as `step train`.
	Where string

	Line, Column int
}

// The kinds of things in a file, in the order in which one is taken for an item
// that has several.
var itemKeys = []string{"step", "task", "endpoint", "pipeline", "blueprint", "deployment"}

// Parse reads data as a valohai.yaml and tells everything there is to say about
// it. name is what findings call the file. The file is nil if data is no YAML;
// otherwise it holds what could be understood. It may be run if the findings'
// Err is nil.
func Parse(name string, data []byte) (*File, Findings) {
	r := &report{file: name}
	root := load(data, r)
	if root == nil {
		return nil, r.sorted()
	}
	file := &File{root: root}
	if root.kind() != List {
		r.add(Error, Schema, root, "not_a_list", "the file must be a list, not %s", root.kind()).
			mend("Begin each item with `- step:`.")
		return file, r.sorted()
	}
	for _, item := range root.list() {
		file.item(item, r)
	}
	file.dropRepeated(r)
	file.lint(r)
	return file, r.sorted()
}

// item reads one item of the file.
func (f *File) item(item *node, r *report) {
	if item.kind() != Map {
		r.add(Error, Schema, item, "type", "%s must be a map with one key, not %s", place(item), item.kind()).
			mend("Write it as `- step:` with what belongs to it below.")
		return
	}
	at := slices.IndexFunc(itemKeys, item.has)
	if at < 0 {
		f.unknownItem(item, r)
		return
	}
	kind := itemKeys[at]
	for _, e := range item.entries() {
		if e.name() != kind && slices.Contains(itemKeys, e.name()) {
			r.add(Warning, Lint, e.key, "ignored_key", "the key %s is ignored, since the item is a %s already", quote(e.name()), kind).
				mend("Make it an item of its own.")
		}
	}
	n := item.get(kind)
	if n.kind() == Null {
		r.add(Hint, Lint, n, "indentation", "this is valid YAML, but what belongs to `%s` may not be indented below it", kind)
	}
	switch kind {
	case "step":
		if r.check(n, stepRule); n.kind() == Map {
			f.Steps = append(f.Steps, stepOf(n, r))
		}
	case "task":
		if r.check(n, taskRule); n.kind() == Map {
			f.Tasks = append(f.Tasks, taskOf(n))
		}
	case "endpoint":
		if r.check(n, endpointRule); n.kind() == Map {
			f.Endpoints = append(f.Endpoints, endpointOf(n))
		}
	case "pipeline", "blueprint":
		if r.check(n, pipelineRule); n.kind() == Map {
			f.Pipelines = append(f.Pipelines, pipelineOf(n))
		}
	default:
		if r.check(n, deploymentRule); n.kind() == Map {
			f.Deployments = append(f.Deployments, deploymentOf(n))
		}
	}
}

func (f *File) unknownItem(item *node, r *report) {
	for _, e := range item.entries() {
		w := r.add(Warning, Lint, e.key, "unknown_item", "nothing is done with %s", quote(e.name()))
		if near := nearest(e.name(), itemKeys); near != "" {
			w.mend("Did you mean `%s`?", near)
		}
	}
	if len(item.entries()) == 0 {
		r.add(Warning, Lint, item, "unknown_item", "nothing is done with an empty map")
	}
}

// dropRepeated keeps of several things with one name the last.
func (f *File) dropRepeated(r *report) {
	repeated := func(kind string, name string, n *node) {
		r.add(Warning, Lint, n.get("name"), "duplicate_name", "there is another %s %s further up; this one counts", kind, quote(name)).
			mend("Give one of them another name.")
	}
	f.Steps = byName(f.Steps, func(s *Step) string { return s.Name }, func(s *Step) { repeated("step", s.Name, s.node) })
	f.byName = make(map[string]*Step, len(f.Steps))
	for _, s := range f.Steps {
		if _, seen := f.byName[s.Name]; !seen { // several may have none
			f.byName[s.Name] = s
		}
	}
	f.Tasks = byName(f.Tasks, func(t *Task) string { return t.Name }, func(t *Task) { repeated("task", t.Name, t.node) })
	f.Endpoints = byName(f.Endpoints, func(e *Endpoint) string { return e.Name }, func(e *Endpoint) { repeated("endpoint", e.Name, e.node) })
	f.Pipelines = byName(f.Pipelines, func(p *Pipeline) string { return p.Name }, func(p *Pipeline) { repeated("pipeline", p.Name, p.node) })
	f.Deployments = byName(f.Deployments, func(d *Deployment) string { return d.Name }, func(d *Deployment) { repeated("deployment", d.Name, d.node) })
}

// step is the step of that name, and nil if there is none.
func (f *File) step(name string) *Step { return f.byName[name] }

// task is the task of that name, and nil if there is none.
func (f *File) task(name string) *Task {
	for _, t := range f.Tasks {
		if t.Name == name {
			return t
		}
	}
	return nil
}

func (f *File) hasDeployment(name string) bool {
	return slices.ContainsFunc(f.Deployments, func(d *Deployment) bool { return d.Name == name })
}

func (f *File) stepNames() []string {
	return namesOf(f.Steps, func(s *Step) string { return s.Name })
}

func (f *File) taskNames() []string {
	return namesOf(f.Tasks, func(t *Task) string { return t.Name })
}

func (f *File) deploymentNames() []string {
	return namesOf(f.Deployments, func(d *Deployment) string { return d.Name })
}

func namesOf[T any](all []T, name func(T) string) []string {
	names := make([]string, len(all))
	for i, one := range all {
		names[i] = name(one)
	}
	return names
}

// FindStep finds a step by its name. The error is an Invalid fault that names
// the steps that there are.
func (f *File) FindStep(name string) (*Step, error) {
	if s := f.step(name); s != nil {
		return s, nil
	}
	names := f.stepNames()
	unknown := fault.InvalidField("step", "step_unknown", "there is no step %s", quote(name))
	switch near := nearest(name, names); {
	case near != "":
		return nil, unknown.WithHint("Did you mean %s?", quote(near))
	case len(names) == 0:
		return nil, unknown.WithHint("The file has no step at all: add one to valohai.yaml.")
	default:
		const most = 20
		more := ""
		if len(names) > most {
			names, more = names[:most], ", …"
		}
		for i := range names {
			names[i] = quote(names[i])
		}
		return nil, unknown.WithHint("The steps are %s.", strings.Join(names, ", ")+more)
	}
}

// Images are all images that the file names, in the order of its lines: of
// steps, of endpoints, and of what pipelines put in their place.
func (f *File) Images() []Image {
	var images []Image
	f.eachImage(func(n *node, where string) {
		images = append(images, Image{Name: n.text(), Where: where, Line: n.line, Column: n.column})
	})
	slices.SortStableFunc(images, func(a, b Image) int { return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column)) })
	return images
}

// eachImage calls visit with every image and what names it.
func (f *File) eachImage(visit func(n *node, where string)) {
	text := func(n *node, where string) {
		if n.kind() == Text {
			visit(n, where)
		}
	}
	for _, s := range f.Steps {
		text(s.node.get("image"), "step "+s.Name)
	}
	for _, e := range f.Endpoints {
		text(e.node.get("image"), "endpoint "+e.Name)
	}
	for _, p := range f.Pipelines {
		for _, n := range p.Nodes {
			text(n.node.get("override").get("image"), "pipeline "+p.Name+", node "+n.Name)
		}
	}
}

// Data is the whole file as a value, which encodes as JSON: repeated things,
// and what nothing is done with, included.
func (f *File) Data() Value { return f.root.data() }

// lintImages tells of every image whose name Docker would refuse. Most files name
// few images many times.
func (f *File) lintImages(r *report) {
	problems := make(map[string]error)
	f.eachImage(func(n *node, where string) {
		err, seen := problems[n.text()]
		if !seen {
			_, err = image.ParseReference(n.text())
			problems[n.text()] = err
		}
		if err != nil {
			problem := fault.From(err)
			r.add(Error, Lint, n, "image_name", "%s: %s", brief(where, 2*longestName), brief(problem.Message, longestProblem)).mend("%s", problem.Hint)
		}
	})
}
