package disrupt

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// monday is 2 March 2026, 10:30 in UTC.
var monday = time.Date(2026, 3, 2, 10, 30, 0, 0, time.UTC)

func TestAllowed(t *testing.T) {
	empty := []v1.DisruptionReason{v1.ReasonEmpty}
	for _, c := range []struct {
		name        string
		nodes, busy int
		budgets     []v1.Budget
		want        int
		problem     string
	}{
		{"no budget is no limit", 5, 0, nil, 5, ""},
		{"a percentage is rounded up", 11, 0, []v1.Budget{{Nodes: "10%"}}, 2, ""},
		{"even to one of one", 1, 0, []v1.Budget{{Nodes: "1%"}}, 1, ""},
		{"none of none", 0, 0, []v1.Budget{{Nodes: "10%"}}, 0, ""},
		{"all", 7, 0, []v1.Budget{{Nodes: "100%"}}, 7, ""},
		{"0 %", 7, 0, []v1.Budget{{Nodes: "0%"}}, 0, ""},
		{"more than there are", 3, 0, []v1.Budget{{Nodes: "5"}}, 3, ""},
		{"the least decides", 10, 0, []v1.Budget{{Nodes: "50%"}, {Nodes: "3"}, {Nodes: "4"}}, 3, ""},
		{"busy nodes count against it", 10, 2, []v1.Budget{{Nodes: "3"}}, 1, ""},
		{"and may be too many", 10, 4, []v1.Budget{{Nodes: "3"}}, -1, ""},
		{"other reasons do not", 10, 0, []v1.Budget{{Nodes: "0", Reasons: []v1.DisruptionReason{v1.ReasonDrifted}}}, 10, ""},
		{"its own reason does", 10, 0, []v1.Budget{{Nodes: "0", Reasons: empty}}, 0, ""},
		{"inside its window", 10, 0, []v1.Budget{{Nodes: "0", Schedule: "0 9 * * mon-fri", Duration: "8h"}}, 0, ""},
		{"at the window's first moment", 10, 0, []v1.Budget{{Nodes: "0", Schedule: "30 10 * * *", Duration: "1m"}}, 0, ""},
		{"after its window", 10, 0, []v1.Budget{{Nodes: "0", Schedule: "0 9 * * *", Duration: "1h"}}, 10, ""},
		{"at the window's end", 10, 0, []v1.Budget{{Nodes: "0", Schedule: "30 9 * * *", Duration: "1h"}}, 10, ""},
		{"on another day", 10, 0, []v1.Budget{{Nodes: "0", Schedule: "0 9 * * sat", Duration: "8h"}}, 10, ""},
		{"since yesterday", 10, 0, []v1.Budget{{Nodes: "0", Schedule: "@daily", Duration: "24h"}}, 0, ""},
		{"a schedule that is none", 10, 1, []v1.Budget{{Nodes: "5"}, {Nodes: "5", Schedule: "99 * * * *", Duration: "1h"}}, -1, "budgets[1]: schedule"},
		{"a duration that is none", 10, 0, []v1.Budget{{Nodes: "5", Schedule: "@daily", Duration: "long"}}, 0, "budgets[0]: duration"},
		{"no number", 10, 0, []v1.Budget{{Nodes: "some"}}, 0, "budgets[0]: nodes"},
		{"more than all", 10, 0, []v1.Budget{{Nodes: "101%"}}, 0, "budgets[0]: nodes"},
	} {
		pool := &v1.NodePool{ObjectMeta: metav1.ObjectMeta{Name: "pool"}}
		pool.Spec.Disruption.Budgets = c.budgets
		// In another zone, where it is another day: schedules are in UTC.
		now := monday.In(time.FixedZone("far", -11*60*60))
		got := count(cluster(c.nodes, c.busy))[pool.Name].allow(now, pool, v1.ReasonEmpty)
		if got.Nodes != c.want || got.Busy != c.busy || !strings.Contains(got.Problem, c.problem) || (got.Problem == "") != (c.problem == "") {
			t.Errorf("%s: %+v, want %d and problem %q", c.name, got, c.want, c.problem)
		}
	}
}

// cluster is a snapshot of n initialized nodes of pool, the first few of them
// busy in different ways, among others that do not count.
func cluster(n, busy int) *state.Snapshot {
	c := state.New()
	add := func(i int, pool string, edit func(*v1.NodeClaim, *corev1.Node)) {
		name := fmt.Sprintf("node-%d", i)
		claim := &v1.NodeClaim{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), Labels: map[string]string{v1.LabelNodePool: pool}}}
		claim.Status.ProviderID = "sim:///" + name
		v1.SetCondition(&claim.Status.Conditions, metav1.Condition{Type: v1.ConditionInitialized, Status: metav1.ConditionTrue}, monday)
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("node-" + name)}}
		node.Spec.ProviderID = claim.Status.ProviderID
		node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
		edit(claim, node)
		c.Observe(claim)
		c.Observe(node)
	}
	at := metav1.NewTime(monday)
	ways := []func(*v1.NodeClaim, *corev1.Node){
		func(_ *v1.NodeClaim, n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionUnknown },
		func(c *v1.NodeClaim, _ *corev1.Node) { c.DeletionTimestamp = &at },
		func(c *v1.NodeClaim, _ *corev1.Node) {
			v1.SetCondition(&c.Status.Conditions, metav1.Condition{Type: v1.ConditionDisruptionReason, Status: metav1.ConditionTrue, Reason: "Empty"}, monday)
		},
		func(_ *v1.NodeClaim, n *corev1.Node) { n.DeletionTimestamp = &at },
	}
	for i := range n {
		edit := func(*v1.NodeClaim, *corev1.Node) {}
		if i < busy {
			edit = ways[i%len(ways)]
		}
		add(i, "pool", edit)
	}
	add(n, "other", func(*v1.NodeClaim, *corev1.Node) {})
	add(n+1, "pool", func(c *v1.NodeClaim, _ *corev1.Node) { c.Status.Conditions = nil }) // not initialized
	add(n+2, "pool", func(c *v1.NodeClaim, _ *corev1.Node) {                              // as good as gone
		v1.SetCondition(&c.Status.Conditions, metav1.Condition{Type: v1.ConditionInstanceTerminating, Status: metav1.ConditionTrue}, monday)
	})
	return c.Snapshot()
}
