package valohaiyaml

import "slices"

// Task runs a step many times with other parameter values. It is read and
// checked; running it is not this package's.
type Task struct {
	Name string
	Step string

	// Type is how values are chosen: one of taskTypes.
	Type string

	// StopCondition ends the task early when its metadata fulfil it.
	StopCondition string

	node *node
}

var taskTypes = []string{"grid_search", "random_search", "bayesian_tpe", "manual_search", "distributed"}

// Values are chosen by a model in this type alone, and given by hand in that.
const (
	bayesianTask = "bayesian_tpe"
	manualTask   = "manual_search"
)

var taskParameterRule = mapOf(need("name", "style", "rules"), map[string]*rule{
	"name":  text,
	"style": oneWord("linear", "logspace", "multiple", "random", "single"),
	"rules": mapOf(nil, map[string]*rule{
		"base": number, "count": number, "distribution": text, "end": number, "integerify": boolean,
		"items": listOf(&rule{kinds: []Kind{Integer, Float, Text, Boolean}}),
		"max":   number, "min": number, "numberify": boolean, "seed": number, "start": number, "step": number, "value": atom,
	}),
})

var taskRule = func() *rule {
	ru := mapOf(need("name", "step"), map[string]*rule{
		"name": text, "step": text, "description": text,
		"type":                       {kinds: []Kind{Text}, words: taskTypes, anyCase: true},
		"parameters":                 listOf(taskParameterRule),
		"parameter-sets":             listOf(openMap),
		"execution-count":            whole,
		"execution-batch-size":       whole,
		"maximum-queued-executions":  whole,
		"optimization-target-metric": text,
		"optimization-target-value":  number,
		"engine":                     text,
		"on-child-error":             {kinds: []Kind{Text}, words: []string{"continue-and-complete", "continue-and-error", "stop-all-and-error"}, anyCase: true},
		"stop-condition":             text,
		"reuse-children":             boolean,
	})
	ru.someOf = []string{"parameters", "parameter-sets"}
	return ru
}()

func taskOf(n *node) *Task {
	t := &Task{
		Name: n.get("name").text(), Step: n.get("step").text(), Type: fold(n.get("type").text(), taskTypes),
		StopCondition: n.get("stop-condition").text(), node: n,
	}
	if t.Type == "" {
		t.Type = taskTypes[0]
	}
	return t
}

// lint tells what does not make sense in a task.
func (t *Task) lint(f *File, r *report) {
	if t.node.get("step").kind() == Text && f.step(t.Step) == nil {
		r.unknownName(Hint, t.node.get("step"), "task "+quote(t.Name), "step", t.Step, f.stepNames)
	}
	r.lintExpression(t.node.get("stop-condition"))
	only := func(key, taskType string) {
		if n := t.node.get(key); n != nil && t.Type != taskType {
			r.add(Warning, Lint, n, "task_type", "%s has a meaning in a task of type `%s` alone, and this is `%s`", place(n), taskType, printable(t.Type))
		}
	}
	if slices.ContainsFunc(t.node.get("parameter-sets").list(), func(set *node) bool { return len(set.entries()) > 0 }) {
		only("parameter-sets", manualTask)
	}
	for _, key := range []string{"engine", "optimization-target-metric", "optimization-target-value"} {
		only(key, bayesianTask)
	}
}
