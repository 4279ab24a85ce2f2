//go:build race

package blobs_test

// raced is whether the race detector takes memory of its own.
const raced = true
