package valohaiyaml

// lint tells everything that is well formed and does not make sense.
func (f *File) lint(r *report) {
	for _, s := range f.Steps {
		s.lint(r)
	}
	for _, t := range f.Tasks {
		t.lint(f, r)
	}
	for _, p := range f.Pipelines {
		p.lint(f, r)
	}
	for _, d := range f.Deployments {
		d.lint(r)
	}
	f.lintImages(r)
}

// lint tells what does not make sense in a step.
func (s *Step) lint(r *report) {
	r.lintPreset(s.node)
	r.lintExpression(s.node.get("stop-condition"))
	for _, p := range s.Parameters {
		p.lint(r)
	}
}

// lintPreset tells whether a step or an override has a preset and does not say
// in which environment.
func (r *report) lintPreset(n *node) {
	if at := n.get("runtime-config-preset"); at.text() != "" && n.get("environment").text() == "" {
		r.add(Error, Lint, at, "preset_environment", "%s is given without `environment`", place(at)).
			mend("Say in which `environment` the preset is.")
	}
}

func (r *report) lintExpression(n *node) {
	if n.kind() != Text {
		return
	}
	if err := checkExpression(n.text()); err != nil {
		r.add(Error, Lint, n, "expression", "%s is no expression: %s", place(n), err).
			mend("Compare names of metadata with values, such as `accuracy > 0.9 and epoch >= 5`.")
	}
}

// lint tells what does not make sense in a parameter.
func (p *Parameter) lint(r *report) {
	warn := func(key, code, message string) {
		if at := p.node.get(key); at.data().Truthy() {
			r.add(Warning, Lint, at, code, "parameter %s: %s", quote(p.Name), message)
		}
	}
	if p.Type == FlagParameter {
		warn("optional", "flag_optional", "`optional` says nothing, since a flag is always optional")
		if p.PassTrueAs != "" || p.PassFalseAs != "" {
			warn("pass-as", "flag_pass_as", "`pass-as` is ignored beside `pass-true-as` and `pass-false-as`")
		}
		if at := p.node.get("multiple"); at != nil && at.text() != "none" {
			r.add(Error, Lint, at, "flag_multiple", "parameter %s: a flag takes no several values", quote(p.Name)).
				mend("Leave `multiple` out.")
		}
	} else {
		warn("pass-true-as", "not_a_flag", "`pass-true-as` is ignored, since this is no flag")
		warn("pass-false-as", "not_a_flag", "`pass-false-as` is ignored, since this is no flag")
	}
	p.lintDefault(r)
	p.lintTemplates(r)
}

// lintDefault tells whether the default is a value of the parameter, and of a
// list each value that is none.
func (p *Parameter) lintDefault(r *report) {
	at := p.node.get("default")
	if !at.data().Truthy() {
		return
	}
	items := []*node{at}
	if at.kind() == List {
		items = at.list()
		if p.Multiple == Single {
			r.add(Warning, Lint, at, "default", "parameter %s: the default is a list, and only a single value is allowed", quote(p.Name)).
				mend("Say with `multiple` how several values are passed.")
		}
	}
	choices := p.choices()
	for _, item := range items[:min(len(items), mostProblems)] {
		if p.Type == StringParameter && item.kind() != Text {
			r.add(Warning, Lint, item, "default", "parameter %s: the default %s is %s, not a string", quote(p.Name), quote(item.source), item.kind()).
				mend("Put quotes around it.")
			continue
		}
		_, problems := p.checkOne(item.data(), choices)
		for _, problem := range problems {
			r.add(Warning, Lint, item, "default", "parameter %s: the default %s", quote(p.Name), brief(problem, longestProblem))
		}
	}
}

// lintTemplates tells what in a template would not be filled.
func (p *Parameter) lintTemplates(r *report) {
	for _, key := range []string{"pass-as", "pass-true-as", "pass-false-as"} {
		at := p.node.get(key)
		if at.kind() != Text {
			continue
		}
		var room budget = maxCommand
		if _, problem := format(at.text(), p.Name, "", &room); problem != "" {
			r.add(Error, Lint, at, "template", "parameter %s: %s %s", quote(p.Name), place(at), problem).
				mend("Use {name} and {value}; write a brace itself as {{ or }}.")
		}
	}
}

// unknownName tells of a name that nothing in the file has. It is an Error where
// the format's own linter has one; what that lets pass is a Hint, so that the
// same files fail here and there, with strict warnings too. names gives
// those that there are, which are looked at only for a suggestion.
func (r *report) unknownName(severity Severity, at *node, who, kind, name string, names func() []string) {
	f := r.add(severity, Lint, at, "unknown_"+kind, "%s: there is no %s %s", who, kind, quote(name))
	if r.full() {
		return
	}
	if near := nearest(name, names()); near != "" {
		f.mend("Did you mean %s?", quote(near))
	}
}
