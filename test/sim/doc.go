// Package sim is a whole cluster in memory, on a clock of its own: an API server
// with real patches, conflicts and watches that arrive late, a cloud that runs
// out of capacity and whose machines may never join, and the few parts of
// Kubernetes that controllers lean on (scheduler, kubelet, ReplicaSets, garbage
// collection), each as simple as it can be. The controllers that run in it are
// the product's own.
//
// Its laws: one goroutine; a [World] is a function of its seed, so a failure is
// repeated by its seed alone; nothing here reads the real clock. What it leaves
// out it does not pretend to have: the end-to-end tests run the real parts.
package sim
