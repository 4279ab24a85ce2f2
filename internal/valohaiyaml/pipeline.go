package valohaiyaml

import (
	"slices"
	"strings"
)

// Pipeline is a graph of steps, tasks and deployments. It is read and checked;
// running it is not this package's.
type Pipeline struct {
	Name  string
	Nodes []*PipelineNode
	edges []edge

	// byName are the first nodes of each name.
	byName map[string]*PipelineNode

	node *node
}

// PipelineNode is one node of a pipeline.
type PipelineNode struct {
	Name string

	// Type is execution, task or deployment; Step, Task and Deployment are what
	// it runs.
	Type                   string
	Step, Task, Deployment string

	// Image is what the node puts in the place of its step's; "" keeps it.
	Image string

	node *node
}

// edge leads from one node to another.
type edge struct{ source, target edgeEnd }

// edgeEnd is one end of an edge: NODE.TYPE.KEY.
type edgeEnd struct {
	node, kind, key string
	at              *node

	// whole says whether it has all three parts; the key may be empty.
	whole bool
}

// The types of an edge's end. Some files in use have them in plural, which
// works and is no good style.
var edgeTypes = []string{"dependency", "deployment", "environment-variable", "file", "input", "metadata", "output", "parameter"}

// What a node may do on its own, and when. Others are in use too.
var (
	actionTimes = []string{"node-complete", "node-starting", "node-error"}
	actionWords = []string{"noop", "stop-pipeline", "error-pipeline", "require-approval"}
)

var (
	overrideRule = mapOf(nil, map[string]*rule{
		"image": text, "command": textOrList, "environment": text, "runtime-config-preset": text,
		"environment-variables": environmentVariablesRule, "inputs": inputsRule, "mounts": mountsRule,
		"parameters": listOf(parameterRule),
	})

	actionRule = mapOf(need("when", "then"), map[string]*rule{"when": textOrList, "then": textOrList, "if": textOrList})

	executionNodeRule = mapOf(need("name", "type", "step"), map[string]*rule{
		"name": text, "type": oneWord("execution"), "step": text, "override": overrideRule, "commit": text, "actions": listOf(actionRule),
		"edge-merge-mode": oneWord("replace", "append"), "on-error": oneWord("stop-all", "stop-next", "continue", "retry"),
	})

	taskNodeRule = func() *rule {
		ru := mapOf(need("name", "type"), map[string]*rule{
			"name": text, "type": oneWord("task"), "step": text, "task": text, "override": overrideRule, "commit": text, "actions": listOf(actionRule),
			"edge-merge-mode": oneWord("replace", "append"), "on-error": oneWord("stop-all", "stop-next", "continue", "retry"),
		})
		ru.oneOf = []string{"step", "task"}
		return ru
	}()

	deploymentNodeRule = mapOf(need("name", "type", "deployment"), map[string]*rule{
		"name": text, "type": oneWord("deployment"), "deployment": text, "endpoints": listOf(anything), "aliases": texts, "actions": listOf(actionRule),
		"on-error": oneWord("stop-all", "stop-next", "continue"),
	})

	nodeRule = &rule{kinds: []Kind{Map}, narrow: narrowNode, among: []*rule{executionNodeRule, taskNodeRule, deploymentNodeRule}}

	edgeRule = &rule{
		kinds: []Kind{List, Map}, items: text, count: 2, needs: need("source", "target"),
		keys: map[string]*rule{"source": text, "target": text, "configuration": openMap},
	}

	pipelineRule = mapOf(need("name", "nodes", "edges"), map[string]*rule{
		"name": text, "nodes": listOf(nodeRule), "edges": listOf(edgeRule), "reuse-executions": boolean,
		"parameters": listOf(&rule{
			kinds: []Kind{Map}, needs: need("name"), notBoth: []string{"target", "targets"},
			keys: map[string]*rule{
				"name": text, "target": text, "targets": textOrList, "default": anything, "description": text, "category": text,
			},
		}),
	})
)

// narrowNode gives the rule of a node's type.
func narrowNode(r *report, n *node) *rule {
	kind := n.get("type")
	switch kind.text() {
	case "execution":
		return executionNodeRule
	case "task":
		return taskNodeRule
	case "deployment":
		return deploymentNodeRule
	}
	if kind == nil {
		r.add(Error, Schema, n, "required", "%s needs the key `type`", place(n)).mend("Write `type: execution`, `task` or `deployment`.")
		return nil
	}
	r.check(kind, oneWord("execution", "task", "deployment"))
	return nil
}

func pipelineOf(n *node) *Pipeline {
	p := &Pipeline{Name: n.get("name").text(), byName: make(map[string]*PipelineNode), node: n}
	for _, item := range n.get("nodes").list() {
		if item.kind() == Map {
			p.Nodes = append(p.Nodes, &PipelineNode{
				Name: item.get("name").text(), Type: item.get("type").text(), Step: item.get("step").text(), Task: item.get("task").text(),
				Deployment: item.get("deployment").text(), Image: item.get("override").get("image").text(), node: item,
			})
		}
	}
	for _, n := range p.Nodes {
		if _, seen := p.byName[n.Name]; !seen {
			p.byName[n.Name] = n
		}
	}
	for _, item := range n.get("edges").list() {
		source, target := item.get("source"), item.get("target")
		if item.kind() == List && len(item.list()) == 2 {
			source, target = item.list()[0], item.list()[1]
		}
		if source.kind() == Text && target.kind() == Text {
			p.edges = append(p.edges, edge{edgeEndOf(source), edgeEndOf(target)})
		}
	}
	return p
}

// edgeEndOf splits an end at its first two dots: a key may hold more.
func edgeEndOf(n *node) edgeEnd {
	parts := strings.SplitN(n.text(), ".", 3)
	whole := len(parts) == 3
	parts = append(parts, "", "")
	return edgeEnd{node: parts[0], kind: parts[1], key: parts[2], at: n, whole: whole}
}

func (p *Pipeline) nodeNames() []string {
	return namesOf(p.Nodes, func(n *PipelineNode) string { return n.Name })
}

// lint tells what does not make sense in a pipeline.
func (p *Pipeline) lint(f *File, r *report) {
	seen := make(map[string]bool)
	for _, n := range p.Nodes {
		if seen[n.Name] && n.node.has("name") {
			r.add(Error, Lint, n.node.get("name"), "duplicate_node", "the pipeline %s has another node %s", quote(p.Name), quote(n.Name)).
				mend("Give one of them another name.")
		}
		seen[n.Name] = true
		n.lint(f, r)
	}
	for _, e := range p.edges {
		p.lintEnd(f, e.source, r)
		p.lintEnd(f, e.target, r)
	}
	for _, parameter := range p.node.get("parameters").list() {
		p.lintParameter(f, parameter, r)
	}
}

// elsewhere reports whether the node takes its step from another commit, which
// may have what this one has not.
func (n *PipelineNode) elsewhere() bool { return n.node.get("commit").text() != "" }

// base is the step that the node runs, also by way of a task; nil if this file
// does not have it.
func (n *PipelineNode) base(f *File) *Step {
	if n.elsewhere() {
		return nil
	}
	if t := f.task(n.Task); t != nil {
		return f.step(t.Step)
	}
	return f.step(n.Step)
}

func (n *PipelineNode) lint(f *File, r *report) {
	if !n.elsewhere() {
		n.lintReferences(f, r)
	}
	if s := n.base(f); s != nil {
		n.lintOverride(s, r)
	}
	r.lintPreset(n.node.get("override"))
	for _, action := range n.node.get("actions").list() {
		lintWords(r, action.get("when"), strings.ToLower, actionTimes)
		lintWords(r, action.get("then"), strings.Clone, actionWords)
	}
}

// lintReferences tells whether the file has what the node runs.
func (n *PipelineNode) lintReferences(f *File, r *report) {
	who := "node " + quote(n.Name)
	if at := n.node.get("step"); at.kind() == Text && f.step(n.Step) == nil {
		r.unknownName(Error, at, who, "step", n.Step, f.stepNames)
	}
	if at := n.node.get("task"); at.kind() == Text {
		if t := f.task(n.Task); t == nil {
			r.unknownName(Error, at, who, "task", n.Task, f.taskNames)
		} else if f.step(t.Step) == nil {
			r.unknownName(Error, at, who+" with the task "+quote(t.Name), "step", t.Step, f.stepNames)
		}
	}
	if at := n.node.get("deployment"); at.kind() == Text && len(f.Deployments) > 0 && !f.hasDeployment(n.Deployment) {
		r.unknownName(Hint, at, who, "deployment", n.Deployment, f.deploymentNames)
	}
}

// lintOverride tells what is overridden though the step does not have it.
func (n *PipelineNode) lintOverride(s *Step, r *report) {
	override := n.node.get("override")
	for _, in := range override.get("inputs").list() {
		if at := in.get("name"); at.kind() == Text && !s.hasInput(at.text()) {
			r.unknownName(Error, at, "node "+quote(n.Name)+" with the step "+quote(s.Name), "input", at.text(), s.inputNames)
		}
	}
	for _, p := range override.get("parameters").list() {
		if at := p.get("name"); at.kind() == Text && s.Parameter(at.text()) == nil {
			r.unknownName(Error, at, "node "+quote(n.Name)+" with the step "+quote(s.Name), "parameter", at.text(), s.parameterNames)
		}
	}
}

// lintWords tells of words that are none of the usual ones, as the format spells
// them.
func lintWords(r *report, n *node, spelt func(string) string, words []string) {
	for _, word := range n.texts() {
		if !slices.Contains(words, spelt(word)) {
			r.add(Warning, Lint, n, "unknown_action", "%s has %s, which is none of the usual words %s", place(n), quote(word), backticked(words))
		}
	}
}

// lintEnd tells whether there is what an edge begins or ends at.
func (p *Pipeline) lintEnd(f *File, end edgeEnd, r *report) {
	if !end.whole {
		r.add(Error, Lint, end.at, "edge_form", "%s is no end of an edge", quote(end.at.text())).mend("Write it as NODE.TYPE.KEY, such as train.output.*.")
		return
	}
	n := p.byName[end.node]
	if n == nil {
		r.unknownName(Error, end.at, "an edge of the pipeline "+quote(p.Name), "node", end.node, p.nodeNames)
	}
	if !slices.Contains(edgeTypes, end.kind) {
		w := r.add(Error, Lint, end.at, "edge_type", "%s is no type of an edge's end", quote(end.kind))
		if near := nearest(end.kind, edgeTypes); near != "" {
			w.mend("Did you mean `%s`?", near)
		} else {
			w.mend("Use %s.", backticked(edgeTypes))
		}
	}
	if n == nil || strings.ContainsAny(end.key, "*?[") { // of several things
		return
	}
	switch s := n.base(f); {
	case s == nil || end.key == "":
	case end.kind == "input" && !s.hasInput(end.key):
		r.unknownName(Hint, end.at, "step "+quote(s.Name), "input", end.key, s.inputNames)
	case end.kind == "parameter" && s.Parameter(end.key) == nil:
		r.unknownName(Hint, end.at, "step "+quote(s.Name), "parameter", end.key, s.parameterNames)
	}
}

// lintParameter tells whether a pipeline's parameter leads to one of a node.
func (p *Pipeline) lintParameter(f *File, parameter *node, r *report) {
	targets := append(slices.Clone(parameter.get("targets").list()), parameter.get("target"))
	if at := parameter.get("targets"); at.kind() == Text {
		targets = append(targets, at)
	}
	targets = slices.DeleteFunc(targets, func(n *node) bool { return n.kind() != Text })
	if len(targets) == 0 {
		r.add(Warning, Lint, parameter, "no_target", "the pipeline's parameter %s leads nowhere", quote(parameter.get("name").text())).
			mend("Give it `targets`, such as train.parameter.epochs.")
	}
	for _, at := range targets {
		p.lintTarget(f, edgeEndOf(at), r)
	}
}

// lintTarget tells whether there is the node's parameter that a pipeline's
// parameter leads to. Files write the type in plural too, and the format's own
// linter lets that pass here, unlike in an edge.
func (p *Pipeline) lintTarget(f *File, end edgeEnd, r *report) {
	if !strings.HasPrefix(end.kind, "parameter") || end.key == "" {
		r.add(Error, Lint, end.at, "target_form", "%s is no parameter of a node", quote(end.at.text())).mend("Write it as NODE.parameter.NAME.")
		return
	}
	n := p.byName[end.node]
	if n == nil {
		r.unknownName(Error, end.at, "a parameter of the pipeline "+quote(p.Name), "node", end.node, p.nodeNames)
		return
	}
	severity := Error
	if n.Type == "task" { // where the format's own linter does not look
		severity = Hint
	}
	if s := n.base(f); s != nil && s.Parameter(end.key) == nil {
		r.unknownName(severity, end.at, "step "+quote(s.Name), "parameter", end.key, s.parameterNames)
	}
}
