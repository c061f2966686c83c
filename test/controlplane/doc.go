// Package controlplane runs a real Kubernetes control plane on loopback, for
// tests and for the demo: etcd, kube-apiserver with RBAC on,
// kube-controller-manager, kube-scheduler and kwok.
//
//	Build   compiles the one executable that holds all of them, once
//	Start   starts them in a folder and on ports of their own
//	ForTest does both for a test, and stops them after it
//
// It is not a cluster. There is no kubelet, no container, no DNS and no Service
// routing: a webhook needs a url, and kubectl logs and exec do not work. There
// is no cloud either, and no node until somebody creates one.
//
// # Nodes
//
// A node that carries the annotation [FakeNodeAnnotation] is kept by kwok, which
// plays the parts of a kubelet that need no machine:
//
//	Lease    kept in kube-node-lease from the moment the node exists, renewed
//	         every ten seconds, whether the node is Ready or not
//	Ready    where it is True, its heartbeat time is refreshed every five minutes
//	pods     bound → Running and Ready; owned by a Job → Succeeded; deleted → gone
//
// Nothing here makes a node Ready, and nothing here makes it NotReady. Whoever
// creates the node (the EC2 simulator, or a test) is the only writer of its
// capacity and of the status of its conditions:
//
//  1. Create the node with annotation, labels, taints and providerID, and with
//     its status in the same request, as a kubelet does: capacity, allocatable and
//     condition Ready=False. The API server adds the taint
//     node.kubernetes.io/not-ready, and kwok leaves the node so. Without the
//     condition kube-controller-manager would take that taint away at once, and
//     pods would be bound to a node that has said nothing yet.
//  2. Seconds later, patch condition Ready=True. kube-controller-manager takes the
//     taint away, and kube-scheduler begins to use the node.
//
// [ControlPlane.SetNodeReady] does step 2, and its opposite. kwok's refresh
// writes a time and never a status, so it cannot undo what the owner of the
// node wrote in between.
//
// A heartbeat that comes late on a busy machine must not cost a test its pods, so
// kube-controller-manager waits a day for one before it calls a node lost.
// A node that shall look lost must be patched so.
//
// # Laws
//
//   - Any number may run at the same time, in one process or in several: folder,
//     ports, keys and certificates are each instance's own.
//   - No process outlives the one that called Start, however that one dies: each
//     reads a pipe that only the caller holds open, and exits at its end.
//   - The folder of an instance goes with it, except after a failure, when its
//     path is part of the error. Folders of callers that were killed are
//     removed by the next Start.
//   - All listen on 127.0.0.1 only. The environment of the caller is not passed on.
package controlplane
