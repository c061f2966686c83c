package plan

import (
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/provisioner/consolidate"
	"github.com/stowage-sh/stowage/provisioner/disrupt"
	"github.com/stowage-sh/stowage/provisioner/headroom"
	"github.com/stowage-sh/stowage/provisioner/problem"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// A stage is the cluster in memory, where commands are carried out as if they took no time.
type stage struct {
	cluster  *state.Cluster
	question problem.Input // what decisions depend on beside the snapshot
	served   problem.Schedulers
	now      time.Time
	naming   *naming
	// opened are the new nodes, and at says which is which, by name.
	opened []newNode
	at     map[string]int
	// verdict of kube-scheduler's filters; nil where they are not asked.
	verdict *verdict
}

// newStage sets the stage with what is there.
func (p *Plan) newStage(cluster *state.Cluster, question *problem.Input, in *Input, now time.Time) *stage {
	st := &stage{cluster: cluster, question: *question, served: in.Schedulers, now: now, naming: p.naming, at: map[string]int{}, verdict: p.verdict}
	st.question.Pods = nil
	s := cluster.Snapshot()
	for _, claim := range s.NodeClaims.All() {
		if !ours(claim.Spec.NodeClassRef) {
			cluster.Forget(claim)
		}
	}
	for _, pool := range s.NodePools.All() {
		if !ours(pool.Spec.Template.Spec.NodeClassRef) {
			cluster.Forget(pool)
		}
	}
	return st
}

// expect has on the stage what was decided for pods that wait: their places are taken.
func (st *stage) expect(p *Plan) {
	plans := map[types.UID]state.Plan{}
	expect := func(pods []*corev1.Pod, place problem.Machine) {
		for _, pod := range pods {
			if headroom.Virtual(pod) {
				st.cluster.Observe(pod)
			}
			plan := state.Plan{NodeClaim: place.NodeClaim, Node: place.Node, Pod: client.ObjectKeyFromObject(pod), At: st.now}
			plan.Headroom.Buffer = headroom.BufferOf(pod)
			plans[pod.UID] = plan
		}
	}
	for i := range p.nodes {
		claim := p.nodes[i].Claim.DeepCopy()
		claim.Name, claim.UID = p.nodes[i].name, types.UID("plan/"+p.nodes[i].name)
		st.cluster.Observe(claim)
		expect(p.nodes[i].Pods, problem.Machine{NodeClaim: claim.Name})
	}
	for _, e := range p.existing {
		expect(e.Pods, e.Bin.Machine())
	}
	st.cluster.SetPlans(plans)
}

// input is what decisions depend on as things are.
func (st *stage) input() *problem.Input {
	in := st.question
	in.Snapshot = st.cluster.Snapshot()
	return &in
}

// look says which nodes may go as things are.
func (st *stage) look() (*problem.Input, *disrupt.Review) {
	in := st.input()
	review := disrupt.ReviewOf(st.now, in, st.served)
	review.Blocked = slices.DeleteFunc(review.Blocked, func(b disrupt.Blocked) bool { return st.isNew(b.Claim.Status.NodeName) })
	return in, review
}

func (st *stage) isNew(node string) bool {
	_, ok := st.at[node]
	return ok
}

// remove takes nodes away, with the pods that go with them.
func (st *stage) remove(nodes []consolidate.Node) {
	s := st.cluster.Snapshot()
	for _, n := range nodes {
		for _, pod := range s.PodsOn(n.Node.Name) {
			st.cluster.Forget(pod)
		}
		st.cluster.Forget(n.Node)
		st.cluster.Forget(n.Claim)
	}
}

// carry carries out a plan, and returns the names of its new nodes.
func (st *stage) carry(ctx context.Context, plan *consolidate.Plan) ([]string, error) {
	in := st.input()
	opened, launches := make([]string, len(plan.New)), slices.Clone(plan.New)
	for i := range launches {
		launches[i].Pods, launches[i].Requests = nil, cloudprovider.Resources{}
		opened[i] = st.naming.next(launches[i].Rows[0].Pool.Name)
	}
	first := func(int) int { return 0 }
	future := problem.Build(in).Future(launches, nil, func(i int) string { return opened[i] }, first)
	if st.verdict != nil {
		if err := newRehearsal(future, opened).play(ctx, plan, st.verdict); err != nil {
			return nil, err
		}
	}
	for i := range launches {
		st.open(&launches[i], future.Nodes[len(future.Nodes)-len(launches)+i], future.Pods)
	}
	for i := range plan.Commands {
		for _, m := range plan.Commands[i].Moves {
			st.move(in.Snapshot, m, destination(m, opened))
		}
		st.remove(plan.Commands[i].Nodes)
	}
	return opened, nil
}

// destination is the name of the node that a pod goes to.
func destination(m consolidate.Move, opened []string) string {
	if m.To == nil {
		return opened[m.New]
	}
	return m.To.Name()
}

// open adds a new node, with its pods of DaemonSets among others.
func (st *stage) open(l *problem.Launch, node *corev1.Node, pods []*corev1.Pod) {
	claim := l.Claim.DeepCopy()
	claim.Name, claim.UID = node.Name, types.UID("plan/"+node.Name)
	claim.Status.ProviderID, claim.Status.NodeName = "plan:///"+node.Name, node.Name
	claim.Status.Capacity, claim.Status.Allocatable = problem.Quantities(l.Rows[0].Type.Capacity), node.Status.Allocatable
	for _, key := range []string{corev1.LabelInstanceTypeStable, corev1.LabelTopologyZone, v1.LabelCapacityType} {
		claim.Labels[key] = l.Rows[0].Get(key)
	}
	initialize(claim, metav1.Time{})
	node.UID, node.Spec.ProviderID = claim.UID, claim.Status.ProviderID
	node.Labels[v1.LabelNodePool], node.Labels[v1.LabelRegistered], node.Labels[v1.LabelInitialized] = l.Rows[0].Pool.Name, "true", "true"
	node.Annotations = map[string]string{v1.AnnotationDoNotDisrupt: "true"} // what has just been bought is kept
	st.cluster.Observe(claim)
	st.cluster.Observe(node)
	for _, pod := range pods {
		if pod.Spec.NodeName == node.Name {
			st.cluster.Observe(pod)
		}
	}
	st.at[node.Name] = len(st.opened)
	st.opened = append(st.opened, newNode{node.Name, *l})
}

// move binds the pod that comes after one to its place.
func (st *stage) move(s *state.Snapshot, m consolidate.Move, to string) {
	// Not the pod of the move: that may have got spreads which it does not have itself.
	pod, ok := s.Pods.Namespaced(m.Pod.Namespace, m.Pod.Name)
	if !ok {
		return
	}
	pod = pod.DeepCopy()
	pod.UID += "+" // it is another
	pod.Spec.NodeName = to
	st.cluster.Observe(pod)
	if i, ok := st.at[to]; ok {
		n := &st.opened[i]
		n.Pods = append(n.Pods, pod)
		for name, q := range problem.Requests(pod) {
			n.Requests[name] += q
		}
	}
}
