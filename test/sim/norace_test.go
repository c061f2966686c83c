//go:build !race

package sim_test

// worlds is how many worlds each test runs in by default.
const worlds = 5
