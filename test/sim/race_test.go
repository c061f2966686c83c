//go:build race

package sim_test

// worlds is how many worlds each test runs in by default: the race detector makes
// each ten times as slow, and there is one goroutine to a world.
const worlds = 2
