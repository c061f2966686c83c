package lifecycle

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// An Observer tells the cloud what nodes really have, so that the next are planned with that. It
// remembers nothing: a new process learns it from the nodes that are there.
type Observer struct {
	Cluster *state.Cluster
	// Observe is told of the memory, in bytes, that a node of an instance type and an image has.
	Observe func(instanceType, image string, memory int64)
}

// observeEvery is how often all nodes are looked at. A pod more or less on a node is no hurry.
const observeEvery = 10 * time.Second

// Step tells of every initialized node.
func (o *Observer) Step(context.Context, time.Time) (again time.Duration, err error) {
	s := o.Cluster.Snapshot()
	for _, claim := range s.NodeClaims.All() {
		instanceType, image := claim.Labels[corev1.LabelInstanceTypeStable], claim.Status.ImageID
		if instanceType == "" || image == "" || !v1.IsTrue(claim.Status.Conditions, v1.ConditionInitialized) {
			continue
		}
		if node, ok := s.NodeOf(claim); ok {
			if memory := node.Status.Capacity.Memory().Value(); memory > 0 {
				o.Observe(instanceType, image, memory)
			}
		}
	}
	return observeEvery, nil
}
