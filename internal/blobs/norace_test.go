//go:build !race

package blobs_test

const raced = false
