package corpus

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stowage-sh/stowage/binpack"
	"github.com/stowage-sh/stowage/provisioner/consolidate"
	"github.com/stowage-sh/stowage/provisioner/problem"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// A Standing cluster has nodes with pods on them.
type Standing struct {
	Input *problem.Input
	Nodes []consolidate.Node
}

// Thinned returns a cluster that was bought for all of the pods, and in which a part of them is
// left: each stays with the same probability, drawn from the seed.
func (m *Market) Thinned(pods []*corev1.Pod, stays float64, seed uint64) (*Standing, error) {
	t, s, err := problem.Decide(context.Background(), m.Input(pods, 1))
	if err != nil {
		return nil, err
	}
	launches, _ := t.Placed(s)
	random := rand.New(rand.NewPCG(seed, 0))
	f := t.Future(launches, nil, func(i int) string { return fmt.Sprintf("node-%04d", i) }, func(int) int { return 0 })
	cluster := state.New()
	cluster.Observe(m.Pool)
	for _, d := range m.Daemons {
		cluster.Observe(d)
	}
	standing := &Standing{}
	at := map[string]int{}
	for i, n := range f.Nodes {
		claim := launches[i].Claim
		claim.Name, claim.UID = n.Name, types.UID("claim-"+n.Name)
		claim.Status.ProviderID, claim.Status.NodeName = "corpus:///"+n.Name, n.Name
		for _, condition := range []string{v1.ConditionLaunched, v1.ConditionRegistered, v1.ConditionInitialized} {
			v1.SetCondition(&claim.Status.Conditions, metav1.Condition{Type: condition, Status: metav1.ConditionTrue, Reason: condition}, time.Unix(0, 0))
		}
		n.UID, n.Spec.ProviderID = types.UID("node-"+n.Name), claim.Status.ProviderID
		n.Labels[v1.LabelNodePool], n.Labels[v1.LabelRegistered], n.Labels[v1.LabelInitialized] = m.Pool.Name, "true", "true"
		n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
		cluster.Observe(claim)
		cluster.Observe(n)
		at[n.Name] = len(standing.Nodes)
		standing.Nodes = append(standing.Nodes, consolidate.Node{Claim: claim, Node: n, Price: binpack.MicroUSD(launches[i].Price)})
	}
	for _, p := range f.Pods {
		cluster.Observe(p)
	}
	for _, place := range f.Placements {
		if random.Float64() >= stays {
			continue
		}
		p := place.Pod.DeepCopy()
		p.Spec.NodeName = place.Node
		p.Status.Phase = corev1.PodRunning
		p.Status.Conditions = nil
		cluster.Observe(p)
		n := &standing.Nodes[at[place.Node]]
		n.Pods = append(n.Pods, p)
	}
	standing.Input = m.Input(nil, 0)
	standing.Input.Snapshot = cluster.Snapshot()
	return standing, nil
}
