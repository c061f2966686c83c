package plan

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stowage-sh/stowage/provisioner/consolidate"
	"github.com/stowage-sh/stowage/provisioner/oracle"
	"github.com/stowage-sh/stowage/provisioner/problem"
)

// A rehearsal asks kube-scheduler's own filters about the commands of a plan, about each when those before
// it have been carried out.
type rehearsal struct {
	future *problem.Future // before the first command, with all new nodes
	opened []string        // the new nodes
	pods   []*corev1.Pod
	absent map[string]bool // nodes that have gone, or have yet to come
	// far tells that some pod keeps others out of more than its own node.
	far bool
}

func newRehearsal(future *problem.Future, opened []string) *rehearsal {
	r := &rehearsal{future: future, opened: opened, pods: slices.Clone(future.Pods), absent: map[string]bool{}}
	for _, name := range opened {
		r.absent[name] = true
	}
	r.far = slices.ContainsFunc(r.pods, keepsFar)
	return r
}

// play adds to a verdict.
func (r *rehearsal) play(ctx context.Context, plan *consolidate.Plan, v *verdict) error {
	for i := range plan.Commands {
		c := &plan.Commands[i]
		for _, index := range c.New {
			r.absent[r.opened[index]] = false
		}
		placements, moving := make([]oracle.Placement, len(c.Moves)), map[types.UID]bool{}
		for j, m := range c.Moves {
			next := *m.Pod // shallow: nothing below is written
			next.Spec.NodeName = ""
			placements[j], moving[next.UID] = oracle.Placement{Pod: &next, Node: destination(m, r.opened)}, true
		}
		r.pods = slices.DeleteFunc(r.pods, func(p *corev1.Pod) bool { return moving[p.UID] })
		refusals, err := oracle.Check(ctx, r.scene(placements), placements)
		if err != nil {
			return fmt.Errorf("verifying command %d: %w", i+1, err)
		}
		v.asked += len(placements)
		v.refusals = append(v.refusals, refusals...)
		for _, at := range placements {
			come := *at.Pod
			come.Spec.NodeName = at.Node
			r.pods = append(r.pods, &come)
		}
		for _, n := range c.Nodes {
			r.absent[n.Node.Name] = true
		}
	}
	return nil
}

// scene is as much of the cluster as the filters can see a difference by: where neither the pods that come
// nor others look beyond one node, it is the nodes that they come to. That is what makes it bearable to
// verify a thousand commands in a cluster of thousands of nodes.
func (r *rehearsal) scene(placements []oracle.Placement) oracle.Cluster {
	onto := map[string]bool{}
	whole := r.far
	for _, at := range placements {
		onto[at.Node] = true
		whole = whole || looksFar(at.Pod)
	}
	seen := func(node string) bool { return !r.absent[node] && (whole || onto[node]) }
	there := oracle.Cluster{Objects: r.future.Objects}
	for _, n := range r.future.Nodes {
		if seen(n.Name) {
			there.Nodes = append(there.Nodes, n)
		}
	}
	for _, p := range r.pods {
		if seen(p.Spec.NodeName) {
			there.Pods = append(there.Pods, p)
		}
	}
	return there
}

// looksFar reports whether it depends on pods of other nodes than a pod's own whether it may be there.
func looksFar(p *corev1.Pod) bool {
	hard := func(c corev1.TopologySpreadConstraint) bool { return c.WhenUnsatisfiable == corev1.DoNotSchedule }
	claims := func(v corev1.Volume) bool { return v.PersistentVolumeClaim != nil || v.Ephemeral != nil }
	a := p.Spec.Affinity
	return slices.ContainsFunc(p.Spec.TopologySpreadConstraints, hard) || slices.ContainsFunc(p.Spec.Volumes, claims) || keepsFar(p) ||
		a != nil && a.PodAffinity != nil && len(a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution) > 0
}

// keepsFar reports whether a pod keeps others out of more than its own node.
func keepsFar(p *corev1.Pod) bool {
	a := p.Spec.Affinity
	return a != nil && a.PodAntiAffinity != nil && slices.ContainsFunc(a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution,
		func(t corev1.PodAffinityTerm) bool { return t.TopologyKey != corev1.LabelHostname })
}
