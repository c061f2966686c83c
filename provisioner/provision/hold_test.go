package provision

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// TestHold looks at a node that joined 4 s ago, became Ready 3 s ago, and was
// decided together with another.
func TestHold(t *testing.T) {
	const together = "all nodes of their batch open together"
	for _, test := range []struct {
		name   string
		change func(h *holding)
		wait   time.Duration
		why    string
	}{
		{"pods that do not spread", func(h *holding) { h.spread = false }, 0, ""},
		{"not Ready", func(h *holding) { h.ready("own", -1) }, 26 * time.Second, "it is not Ready"},
		{"not Ready for long", func(h *holding) { h.ready("own", -1); h.now = h.now.Add(time.Minute) }, 0, ""},
		{"startup taints", func(h *holding) { h.claims["own"].Spec.StartupTaints = []corev1.Taint{{Key: "a"}} }, 0, ""},
		{"the other not Ready", func(h *holding) { h.ready("other", -1) }, 7 * time.Second, "NodeClaim other of the same batch is not there yet"},
		{"the other not joined", func(h *holding) { delete(h.nodes, "other") }, 7 * time.Second, "NodeClaim other of the same batch is not there yet"},
		{"the other given up", func(h *holding) {
			h.ready("other", -1)
			h.claims["other"].DeletionTimestamp = &metav1.Time{Time: h.now}
		}, 7 * time.Second, together},
		{"the other gone", func(h *holding) { delete(h.claims, "other") }, 7 * time.Second, together},
		{"the other of another batch", func(h *holding) { h.ready("other", -1); h.apart = true }, 7 * time.Second, together},
		{"all Ready, pods not nominated", func(*holding) {}, 7 * time.Second, together},
		{"all Ready, pods nominated", func(h *holding) { h.nominated = true }, time.Second, together},
		{"nobody waits for ever", func(h *holding) { h.ready("other", -1); h.now = h.now.Add(7 * time.Second) }, 0, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHolding()
			test.change(h)
			c := &Controller{Cluster: h.cluster()}
			if h.nominated {
				c.named.call(h.decided())
			}
			wait, why := c.Hold(h.now, h.claims["own"], h.nodes["own"])
			if wait != test.wait {
				t.Errorf("held for %v (%s), want %v", wait, why, test.wait)
			}
			if wait > 0 && !strings.HasSuffix(why, test.why) {
				t.Errorf("held because %q, want %q", why, test.why)
			}
		})
	}
}

// A holding is two NodeClaims with nodes, and a pod planned for each.
type holding struct {
	now    time.Time
	spread bool // the pods have a hard spread
	apart  bool // the two were decided at different times
	// nominated tells that all pods of the batch were.
	nominated bool
	claims    map[string]*v1.NodeClaim
	nodes     map[string]*corev1.Node
}

func (h *holding) decided() time.Time { return h.now.Add(-time.Minute) }

func newHolding() *holding {
	h := &holding{now: time.Unix(1_700_000_000, 0), spread: true, claims: map[string]*v1.NodeClaim{}, nodes: map[string]*corev1.Node{}}
	for _, name := range []string{"own", "other"} {
		meta := metav1.ObjectMeta{Name: name, UID: types.UID(name), CreationTimestamp: metav1.NewTime(h.now.Add(-4 * time.Second))}
		h.claims[name] = &v1.NodeClaim{ObjectMeta: meta, Status: v1.NodeClaimStatus{ProviderID: name}}
		h.nodes[name] = &corev1.Node{ObjectMeta: meta, Spec: corev1.NodeSpec{ProviderID: name}}
		h.ready(name, 3*time.Second)
	}
	return h
}

// ready makes a node Ready since some time ago; not at all if that is negative.
func (h *holding) ready(name string, ago time.Duration) {
	status := corev1.ConditionTrue
	if ago < 0 {
		status = corev1.ConditionFalse
	}
	h.nodes[name].Status.Conditions = []corev1.NodeCondition{{
		Type: corev1.NodeReady, Status: status, LastTransitionTime: metav1.NewTime(h.now.Add(-ago)),
	}}
}

func (h *holding) cluster() *state.Cluster {
	cluster := state.New()
	plans := map[types.UID]state.Plan{}
	for _, name := range []string{"own", "other"} {
		at := h.decided()
		if h.apart && name == "other" {
			at = at.Add(time.Second)
		}
		plans[types.UID("pod of "+name)] = state.Plan{NodeClaim: name, At: at, Spread: h.spread}
		if claim, ok := h.claims[name]; ok {
			cluster.Observe(claim)
		}
		if node, ok := h.nodes[name]; ok {
			cluster.Observe(node)
		}
	}
	cluster.SetPlans(plans)
	return cluster
}
