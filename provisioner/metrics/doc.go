// Package metrics shows the cluster to Prometheus, by the names and labels that
// Karpenter's users have in their dashboards.
//
// It is three collectors. [Cluster] says what pods, nodes, NodePools and
// conditions are now; [Offerings] what can be bought and for how much;
// [Observer] how long things took that are over. It is not where the work of a
// controller is counted: each controller counts its own.
//
// Its laws:
//
//   - What a scrape says of the present is a function of one state.Snapshot, of
//     what the Observer remembers and of the time. Nobody updates a gauge, so
//     none goes stale and no series outlives its object.
//   - A scrape asks no server, waits for no lock that is held over I/O, and takes
//     time in proportion to the series that it gives.
//   - No two series of a scrape are equal, whatever the objects hold: one pair of
//     twins would cost the user the whole scrape.
//   - A gauge leaves out a label that has no value. To Prometheus both are the same,
//     and it is a third of the bytes.
//   - Nothing is decided by what is kept here, and no controller imports it.
package metrics
