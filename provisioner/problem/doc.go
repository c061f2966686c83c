// Package problem translates both ways: what Kubernetes says into a
// [binpack.Problem], and a [binpack.Solution] into NodeClaims.
//
//	Input ── Build ──▶ Translation{Problem} ── binpack.Solve ──▶ Solution
//	NodeClaims, places of pods, reasons ◀── Claims, Placements, Explain ──┘
//
// It is made of pure functions of values: no client, no clock, no randomness.
// The controller, the offline planner and the tests call the same code.
//
// What a pod asks for and this package does not understand is never dropped:
// the pod's group carries the field's name, and stays unplaced for that reason.
// The same goes for a NodePool, which then offers nothing. The exceptions are
// preferences. They are heard where that costs little; what is not heard
// (preference.go says what) is kube-scheduler's to weigh among the nodes there are.
//
// Where something is not known for certain it errs on the side that keeps a plan
// true: anti-affinity of running pods whose selector cannot be read holds against
// all, a zone counts for a spread if this batch may open a node there, and
// pods whose spread counts pods of a DaemonSet wait, since new nodes bring some.
// What it cannot know is which of several labels a machine gets that is not
// launched yet: it is taken to have none of them.
package problem
