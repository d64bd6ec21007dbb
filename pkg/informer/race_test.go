//go:build race

package informer_test

// raced says that the race detector is on, which makes everything slow.
const raced = true
