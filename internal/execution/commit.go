package execution

import (
	"context"
	"io"
	"time"
)

// Commit is a state of a project's code that steps can be run of.
type Commit struct {
	ProjectID string

	// Identifier is a tilde and the SHA-256 of the uploaded package in
	// hexadecimal.
	Identifier string

	Description string
	CreatedAt   time.Time

	// Config is the text of its valohai.yaml, and ConfigPath where in the
	// package it is.
	Config     string
	ConfigPath string

	// Size is the package's bytes.
	Size int64
}

// Packages keeps the uploaded code, one file for each identifier. Its methods
// may be called concurrently.
type Packages interface {
	// Put stores what it reads under the hash of the bytes and returns its
	// identifier and size. A package that is there already is kept. More than
	// most bytes are an Exhausted fault, and nothing is kept.
	Put(ctx context.Context, r io.Reader, most int64) (identifier string, size int64, err error)

	// Open reads a package; NotFound if it is not there.
	Open(ctx context.Context, identifier string) (io.ReadSeekCloser, int64, error)
}
