// Package oracle asks kube-scheduler whether a plan can come true: it runs the
// filter plugins of kube-scheduler itself over the cluster that a plan would
// make, and reports each placement that they refuse.
//
// It is a judge of placements already made, and not a scheduler: it looks for no
// other node, scores nothing and preempts nobody. A plan is good if its pods can come
// to their places one after the other. It does not look at volumes, resource claims or
// pod groups yet; a pod that has some is judged by the rest of its spec.
//
// Its laws: it is a function of values, without a client and without a clock, and
// it modifies nothing that it is given. It is the only package outside of tests
// that imports k8s.io/kubernetes: what is decided there is asked here, and never
// written down a second time.
package oracle
