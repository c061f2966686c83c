package disrupt

import (
	"strconv"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stowage-sh/stowage/provisioner/consolidate"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// TestRipeness: nodes at rest are looked at until the youngest pod has run for as long as its payback.
func TestRipeness(t *testing.T) {
	node := func(payback time.Duration, started ...time.Duration) consolidate.Node {
		n := consolidate.Node{Terms: &consolidate.Terms{Payback: payback}, Pods: []*corev1.Pod{{}}}
		for _, at := range started {
			p := &corev1.Pod{}
			p.Status.StartTime = &metav1.Time{Time: monday.Add(at)}
			n.Pods = append(n.Pods, p)
		}
		return n
	}
	for name, c := range map[string]struct {
		nodes []consolidate.Node
		want  time.Time
	}{
		"no pods":                           {nil, time.Time{}},
		"any saving will do":                {[]consolidate.Node{node(0, time.Hour)}, time.Time{}},
		"the youngest of a node":            {[]consolidate.Node{node(time.Hour, 2*time.Minute, time.Minute)}, monday.Add(62 * time.Minute)},
		"each by the terms of its NodePool": {[]consolidate.Node{node(time.Hour, 0), node(time.Minute, 2*time.Minute)}, monday.Add(time.Hour)},
	} {
		if got := ripeness(c.nodes); !got.Equal(c.want) {
			t.Errorf("%s: until %v, want %v", name, got, c.want)
		}
	}
}

// TestAlive: a command whose pods share a new node waits for the one that opens it, and not for one that does not come.
func TestAlive(t *testing.T) {
	node := func(uid types.UID) consolidate.Node {
		return consolidate.Node{Claim: &v1.NodeClaim{ObjectMeta: metav1.ObjectMeta{UID: uid}}}
	}
	shared := []consolidate.Move{{New: 0}}
	o := &outlook{
		plan: &consolidate.Plan{Commands: []consolidate.Command{
			{Nodes: []consolidate.Node{node("a")}, New: []int{0}, Moves: shared}, {Nodes: []consolidate.Node{node("b")}, Moves: shared},
		}},
		done: map[int]bool{}, names: map[int]string{}, stood: map[types.UID]standing{}, now: map[types.UID]standing{},
	}
	for _, uid := range []types.UID{"a", "b"} {
		o.stood[uid] = standing{pods: &resident{}, may: true}
		o.now[uid] = o.stood[uid]
	}
	if n := len(o.alive()); n != 2 {
		t.Errorf("%d of 2 commands are alive", n)
	}
	o.done[0] = true
	if o.open() || len(o.leaving()) > 0 {
		t.Error("a command is alive whose new node does not come")
	}
	o.names[0] = "new"
	if !o.leaving()["b"] {
		t.Error("the new node is there, and nobody goes to it")
	}
}

// TestForsaken: of nodes that go for a new one together none goes if one stays, unless one has gone already.
func TestForsaken(t *testing.T) {
	c, version := many(3, 0), 1
	choose := func(name string, yes bool, gone bool) {
		claim, _ := c.Snapshot().NodeClaims.Get(name)
		claim = claim.DeepCopy()
		version++
		if claim.ResourceVersion = strconv.Itoa(version); yes {
			v1.SetCondition(&claim.Status.Conditions, metav1.Condition{Type: v1.ConditionDisruptionReason, Status: "True", Reason: "Underutilized"}, monday)
		} else {
			meta.RemoveStatusCondition(&claim.Status.Conditions, v1.ConditionDisruptionReason)
		}
		if gone {
			claim.DeletionTimestamp = &metav1.Time{Time: monday}
		}
		c.Observe(claim)
	}
	o, command := &outlook{}, &consolidate.Command{}
	for _, claim := range c.Snapshot().NodeClaims.All() {
		command.Nodes = append(command.Nodes, consolidate.Node{Claim: claim})
		choose(claim.Name, true, false)
	}
	o.together(command)
	forsaken := func() bool {
		s := c.Snapshot()
		claim, _ := s.NodeClaims.Get("node-00000")
		return o.forsaken(newView(s, monday, &residents{}, nil), claim)
	}
	if forsaken() {
		t.Error("all are chosen, and one is forsaken")
	}
	choose("node-00001", false, false)
	if !forsaken() {
		t.Error("one stays, and another goes")
	}
	choose("node-00002", true, true)
	if forsaken() {
		t.Error("one has gone, and another does not follow")
	}
}
