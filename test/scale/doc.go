// Package scale measures the controller in a large cluster in which little happens: 5,000 nodes
// and 100,000 pods of the size that real ones have, on the in-memory API and virtual time of
// package sim. Kubelets report, ReplicaSets and Jobs replace pods, a Deployment grows and shrinks
// now and then; the controllers are the product's own, wired as the command wires them.
//
//	go test ./test/scale -run '^$' -bench . -benchtime 120x
//
// runs two minutes of such a day, a second of it an iteration. What is counted is what the product does: the
// simulated API server and cloud, and those who change the cluster, are left out.
package scale
