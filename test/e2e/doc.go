// Package e2e shows Stowage at work from end to end: the built executable, with
// the chart's role and nothing else, on a real control plane, before an EC2 that
// is spoken to over HTTP (package cluster).
//
// It is not the place for every case: those are in the packages' own tests and
// in package sim, without a server and in milliseconds. Here is what only real
// parts can show: that kube-scheduler agrees with the plan, that nodes join from
// the user data that was sent, that the role suffices, that a killed process is
// survived.
//
// Its laws:
//
//   - One cluster serves all tests. Each has a scene of its own: a namespace, an
//     EC2NodeClass, NodePools whose taint keeps everybody else away.
//   - A scene leaves nothing: when it ends, its instances are terminated, and its
//     NodeClaims, nodes, launch templates and instance profiles are gone. That
//     is asserted each time.
//   - No test asserts a time. What should come is waited for with patience; what
//     should not come is looked for once something that comes later has come.
//   - Most of the time is spent waiting, so the scenes that share a controller
//     run at once; those that stop it or hold it back run before, alone.
package e2e
