// Package tidy holds the project to its own style by tests, so that reviewers
// can talk about design: which folder may import which, comments on everything
// exported, the size of functions, files and interfaces, where clocks and chance
// may stand, and the list of modules that the product is built from.
//
// What breaks a rule with good reason stands in exceptions.txt with the reason.
// An exception that nothing needs any more fails the test too, so the list only
// shrinks. It has no code but its tests.
package tidy
