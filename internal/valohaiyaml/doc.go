// Package valohaiyaml reads valohai.yaml: steps, tasks, pipelines, endpoints
// and deployments, and tells every mistake in it at once, each with its line
// and column. It also builds the command lines of a step from parameter values.
//
// The format is the one that valohai-yaml (https://github.com/valohai/valohai-yaml)
// defines, YAML 1.1 scalars and Python's way of printing values included. The
// package runs nothing and asks no registry: which credential serves an image
// is decided elsewhere, for the names that File.Images lists.
//
// Start with Parse. A file whose Findings.Err is nil can be run, even if other
// findings are errors of the strict linter.
package valohaiyaml
