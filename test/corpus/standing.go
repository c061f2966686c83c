package corpus

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stowage-sh/stowage/provisioner/consolidate"
	"github.com/stowage-sh/stowage/provisioner/oracle"
	"github.com/stowage-sh/stowage/provisioner/problem"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// A Standing cluster has nodes with pods on them.
type Standing struct {
	Input *problem.Input
	Nodes []consolidate.Node
	// Terms of all nodes.
	Terms consolidate.Terms

	market  *Market
	cluster *state.Cluster
	made    int // nodes, ever
}

// Thinned returns a cluster that was bought for all of the pods, and in which a part of them is
// left: each stays with the same probability, drawn from the seed.
func (m *Market) Thinned(pods []*corev1.Pod, stays float64, seed uint64) (*Standing, error) {
	t, s, err := problem.Decide(context.Background(), m.Input(pods, 1))
	if err != nil {
		return nil, err
	}
	standing := &Standing{market: m, cluster: state.New(), Terms: consolidate.Terms{NodePool: m.Pool.Name, Most: math.MaxInt}}
	standing.cluster.Observe(m.Pool)
	for _, d := range m.Daemons {
		standing.cluster.Observe(d)
	}
	random := rand.New(rand.NewPCG(seed, 0))
	launches, _ := t.Placed(s)
	standing.settle(t, launches, nil, func() bool { return random.Float64() < stays })
	standing.look()
	return standing, nil
}

// look takes in what has changed.
func (s *Standing) look() {
	s.Input = s.market.Input(nil, 0)
	s.Input.Snapshot = s.cluster.Snapshot()
}

// settle makes the new nodes of a plan, and puts pods where it says, as far as they stay.
func (s *Standing) settle(t *problem.Translation, launches []problem.Launch, placements []problem.Placement, stays func() bool) {
	first := s.made
	s.made += len(launches)
	name := func(i int) string { return fmt.Sprintf("node-%05d", first+i) }
	f := t.Future(launches, placements, name, func(int) int { return 0 })
	at := map[string]int{}
	for i, n := range s.Nodes {
		at[n.Node.Name] = i
	}
	for i := range launches {
		n := f.Nodes[len(f.Nodes)-len(launches)+i]
		claim := launches[i].Claim
		claim.Name, claim.UID = n.Name, types.UID("claim-"+n.Name)
		claim.Status.ProviderID, claim.Status.NodeName = "corpus:///"+n.Name, n.Name
		for _, condition := range []string{v1.ConditionLaunched, v1.ConditionRegistered, v1.ConditionInitialized} {
			v1.SetCondition(&claim.Status.Conditions, metav1.Condition{Type: condition, Status: metav1.ConditionTrue, Reason: condition}, time.Unix(0, 0))
		}
		n.UID, n.Spec.ProviderID = types.UID("node-"+n.Name), claim.Status.ProviderID
		n.Labels[v1.LabelNodePool], n.Labels[v1.LabelRegistered], n.Labels[v1.LabelInitialized] = s.market.Pool.Name, "true", "true"
		n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
		s.cluster.Observe(claim)
		s.cluster.Observe(n)
		at[n.Name] = len(s.Nodes)
		s.Nodes = append(s.Nodes, consolidate.Node{Claim: claim, Node: n, Price: launches[i].Price, Terms: &s.Terms})
		for _, p := range f.Pods {
			if p.Spec.NodeName == n.Name {
				s.cluster.Observe(p)
			}
		}
	}
	for _, place := range f.Placements {
		if !stays() {
			continue
		}
		p := place.Pod.DeepCopy()
		p.UID += "+" // it is another, with the same spec
		p.Spec.NodeName, p.Status.Phase, p.Status.Conditions = place.Node, corev1.PodRunning, nil
		s.cluster.Observe(p)
		n := &s.Nodes[at[place.Node]]
		n.Pods = append(n.Pods, p)
	}
}

// Carry carries out the i-th command of a plan, whose new nodes so far have the given names; it adds those that
// the command opens. Where kube-scheduler's plugins would refuse a pod its place that is an error.
func (s *Standing) Carry(plan *consolidate.Plan, i int, opened map[int]string) error {
	c := &plan.Commands[i]
	in, moves := *s.Input, plan.Moves([]int{i}, opened, func(string) bool { return true })
	in.Pods, in.Leaving = moves.Pods(), map[string]bool{}
	for _, claim := range moves.Leaving {
		in.Leaving[claim.Name] = true
	}
	t := problem.Build(&in)
	launches, placements, lost := t.Arrange(moves)
	if len(lost) > 0 {
		return fmt.Errorf("pods go to %s, which takes none", lost[0])
	}
	for j, index := range c.New {
		opened[index] = fmt.Sprintf("node-%05d", s.made+j)
	}
	name := func(j int) string { return opened[c.New[j]] }
	f := t.Future(launches, placements, name, func(int) int { return 0 })
	asked := make([]oracle.Placement, len(f.Placements))
	for i, at := range f.Placements {
		asked[i] = oracle.Placement{Pod: at.Pod, Node: at.Node}
	}
	refusals, err := oracle.Check(context.Background(), oracle.Cluster{Nodes: f.Nodes, Pods: f.Pods, Objects: f.Objects}, asked)
	if err != nil {
		return err
	}
	if len(refusals) > 0 {
		return fmt.Errorf("%d of %d pods are refused: %v", len(refusals), len(asked), refusals[0])
	}
	for _, n := range c.Nodes {
		for _, p := range n.Pods {
			s.cluster.Forget(p)
		}
	}
	s.settle(t, launches, placements, func() bool { return true })
	for _, n := range c.Nodes {
		s.cluster.Forget(n.Node)
		s.cluster.Forget(n.Claim)
	}
	s.Nodes = slices.DeleteFunc(s.Nodes, func(n consolidate.Node) bool { return in.Leaving[n.Claim.Name] })
	s.look()
	return nil
}
