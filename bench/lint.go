package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// How many steps the linted file has, and how many images they share.
const (
	lintSteps  = 1000
	lintImages = 20
)

// lint has `fairlead lint` read a file of a thousand steps. What it takes longer
// than for a file of one step is what the steps take, without the program's start.
func lint(ctx context.Context, h *house) error {
	many, err := h.stepsFile(lintSteps)
	if err != nil {
		return err
	}
	one, err := h.stepsFile(1)
	if err != nil {
		return err
	}
	var manyTook, oneTook []time.Duration
	for range rounds {
		took, err := h.lintFile(ctx, one)
		if err != nil {
			return err
		}
		oneTook = append(oneTook, took)
		if took, err = h.lintFile(ctx, many); err != nil {
			return err
		}
		manyTook = append(manyTook, took)
	}
	fmt.Printf("  fairlead lint of one step: %v\n  of %d steps:             %v\n  difference of the medians: %v (limit 50ms)\n",
		median(oneTook), lintSteps, median(manyTook), median(manyTook)-median(oneTook))
	return nil
}

func (h *house) stepsFile(n int) (string, error) {
	path := filepath.Join(h.dir, fmt.Sprintf("steps-%d.yaml", n))
	return path, os.WriteFile(path, []byte(manySteps(n)), 0o600)
}

// lintFile is the time of a `fairlead lint` that finds nothing. As SARIF, the
// findings are told without the images, so that no server is asked.
func (h *house) lintFile(ctx context.Context, path string) (time.Duration, error) {
	c, err := h.command(ctx, "lint", "--strict-warnings", "--format", "sarif", path)
	if err != nil {
		return 0, err
	}
	var problems bytes.Buffer
	c.Stdout, c.Stderr = &problems, &problems
	begin := time.Now()
	if err := c.Run(); err != nil {
		return 0, fmt.Errorf("%w: %s", err, problems.String())
	}
	return time.Since(begin), nil
}

// manySteps is a valohai.yaml of n steps, each with some of what steps have.
func manySteps(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `- step:
    name: train-%[1]d
    image: registry.acme.example/ml/train:v%[2]d
    command:
      - pip install -r requirements.txt
      - python prepare.py --seed {parameter-value:seed}
      - python train.py {parameters}
    parameters:
      - name: epochs
        type: integer
        default: %[1]d
        min: 0
        max: 100000
      - name: learning_rate
        type: float
        default: 0.001
        pass-as: --lr={v}
      - name: optimizer
        type: string
        default: adam
        choices: [adam, sgd, "rmsprop"]
      - name: augment
        type: flag
        default: true
      - name: seed
        type: integer
        multiple: repeat
        default: [1, 2]
    inputs:
      - name: dataset
        default: s3://acme/datasets/%[1]d/*.parquet
    environment-variables:
      - name: RUN
        default: "%[1]d"
`, i, i%lintImages)
	}
	return b.String()
}
