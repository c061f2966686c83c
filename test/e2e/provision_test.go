package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// scaleUpFromZero: pods of several shapes get nodes, each NodeClaim one instance,
// and the plan comes true: no instance is bought that no pod is on.
func scaleUpFromZero(t *testing.T) {
	s := newScene(t, "scale", class{})
	s.deploy(pods{Name: "small", Count: 12, CPU: "250m", Memory: "512Mi"})
	s.deploy(pods{Name: "large", Count: 4, CPU: "1500m", Memory: "3Gi"})
	s.deploy(pods{Name: "apart", Count: 3, CPU: "100m", Memory: "128Mi", Apart: true})
	// They are all there before anything may be bought for them: one batch.
	for _, name := range []string{"small", "large", "apart"} {
		s.told("Pod", name, "FailedScheduling", "Stowage finds no place")
	}
	s.pool(pool{Types: "m5.large, m5.xlarge, m5.2xlarge, c5.xlarge, r5.large"})
	all := slices.Concat(s.running("small", 12), s.running("large", 4))
	apart := s.running("apart", 3)
	if n := len(s.hosts(apart)); n != 3 {
		t.Errorf("3 pods that must be apart are on %d nodes", n)
	}
	hosts := s.hosts(append(all, apart...))
	if n := len(s.instances()); n != len(hosts) {
		t.Errorf("%d instances were bought, and pods are on %d nodes", n, len(hosts))
	}
	eventually(t, "the NodeClaims are ready and the NodePool has counted them", func() error {
		claims := s.claims("")
		for _, c := range claims {
			if !v1.IsTrue(c.Status.Conditions, v1.ConditionReady) {
				return fmt.Errorf("NodeClaim %s is not ready: %v", c.Name, c.Status.Conditions)
			}
		}
		if p := s.nodePool(""); len(claims) != len(hosts) || int(p.Status.Nodes) != len(hosts) {
			return fmt.Errorf("%d NodeClaims, %d nodes, and the NodePool says %d", len(claims), len(hosts), p.Status.Nodes)
		}
		return nil
	})
}

// weightAndSelector: the heavier NodePool serves whoever it can, though it is
// dearer; a selector leads to the other.
func weightAndSelector(t *testing.T) {
	s := newScene(t, "weight", class{})
	s.pool(pool{Name: "heavy", Weight: 50, Types: "m5.4xlarge", Labels: "tier: heavy"})
	s.pool(pool{Name: "light", Types: "m5.large", Labels: "tier: light"})
	s.poolsReady()
	for _, p := range []struct {
		pods
		pool string
	}{{pods{Name: "any", Count: 2}, "heavy"}, {pods{Name: "chosen", Count: 1, Select: "tier: light"}, "light"}} {
		s.deploy(p.pods)
		for _, node := range s.hosts(s.running(p.Name, p.Count)) {
			if got := node.Labels[v1.LabelNodePool]; got != s.poolName(p.pool) {
				t.Errorf("pods %s are on a node of NodePool %s, want %s", p.Name, got, s.poolName(p.pool))
			}
		}
	}
	if n := len(s.instances()); n != 2 {
		t.Errorf("%d instances were bought, want 2", n)
	}
}

// taintsAndLabels: what the NodePool says arrives on the node; a startup taint
// keeps the pod waiting, and nobody buys another node for it meanwhile.
func taintsAndLabels(t *testing.T) {
	s := newScene(t, "taints", class{})
	s.pool(pool{Types: "c5.large", Labels: "stowage.example/team: blue", Annotations: `stowage.example/note: "yes"`,
		Startup: "{key: stowage.example/agent, value: starting, effect: NoExecute}"})
	s.deploy(pods{Name: "web", Count: 1, Select: "stowage.example/team: blue"})
	var claim v1.NodeClaim
	eventually(t, "the node waits for its startup taint to go", func() error {
		claims := s.claims("")
		if len(claims) != 1 {
			return fmt.Errorf("there are %d NodeClaims", len(claims))
		}
		claim = claims[0]
		if c := condition(claim.Status.Conditions, v1.ConditionInitialized); c.Reason != "StartupTaintsExist" {
			return fmt.Errorf("%s: %s", c.Reason, c.Message)
		}
		return nil
	})
	node := s.nodes()[claim.Status.NodeName]
	for key, want := range map[string]string{
		"stowage.example/team": "blue", "stowage.example/scene": "taints", v1.LabelNodePool: "taints", v1.LabelRegistered: "true",
		v1.LabelCapacityType: "on-demand", corev1.LabelInstanceTypeStable: "c5.large", corev1.LabelArchStable: "amd64",
		"karpenter.k8s.aws/instance-category": "c", "karpenter.k8s.aws/instance-cpu": "2", "karpenter.k8s.aws/ec2nodeclass": "taints",
	} {
		if got := node.Labels[key]; got != want {
			t.Errorf("label %s of the node is %q, want %q", key, got, want)
		}
	}
	if got := node.Annotations["stowage.example/note"]; got != "yes" {
		t.Errorf("the annotation of the NodePool is %q on the node", got)
	}
	taints := slices.Sorted(func(yield func(string) bool) {
		for _, taint := range node.Spec.Taints {
			if strings.HasPrefix(taint.Key, "stowage.example/") {
				yield(taint.ToString())
			}
		}
	})
	if want := []string{"stowage.example/agent=starting:NoExecute", "stowage.example/scene=taints:NoSchedule"}; !slices.Equal(taints, want) {
		t.Errorf("taints of the node are %v, want %v", taints, want)
	}
	if p := s.pods("web")[0]; p.Spec.NodeName != "" {
		t.Errorf("pod %s was bound in spite of the startup taint", p.Name)
	}
	_, err := here.Kubectl(s.ctx(), "taint", "node", node.Name, "stowage.example/agent-")
	s.must(err)
	s.hosts(s.running("web", 1))
	if n := len(s.instances()); n != 1 {
		t.Errorf("%d instances were bought, want 1", n)
	}
}

// tooLarge: a pod that no instance type holds is told so; the rest proceed.
func tooLarge(t *testing.T) {
	s := newScene(t, "large", class{})
	s.pool(pool{Types: "m5.large, m5.xlarge"})
	s.deploy(pods{Name: "huge", Count: 1, CPU: "100"})
	s.deploy(pods{Name: "usual", Count: 2})
	s.running("usual", 2)
	s.told("Pod", "huge", "FailedScheduling", "no offering is large enough: cpu wanted 100")
	if p := s.pods("huge")[0]; p.Spec.NodeName != "" {
		t.Errorf("the pod that is too large is on %s", p.Spec.NodeName)
	}
}

// limits: a NodePool buys up to its limit, and says to whom it cannot; a higher
// limit serves them too.
func limits(t *testing.T) {
	s := newScene(t, "limits", class{})
	p := pool{Types: "m5.xlarge", Limits: "cpu: 8"}
	s.pool(p)
	s.deploy(pods{Name: "web", Count: 9}) // three to a node
	s.told("Pod", "web", "FailedScheduling", "NodePool limits: its limit on cpu is reached")
	eventually(t, "six pods run", func() error {
		bound := slices.DeleteFunc(s.pods("web"), func(p corev1.Pod) bool { return p.Spec.NodeName == "" })
		if len(bound) != 6 {
			return fmt.Errorf("%d are bound", len(bound))
		}
		return nil
	})
	if n := len(s.instances()); n != 2 {
		t.Errorf("%d instances of 4 cpus were bought under a limit of 8", n)
	}
	p.Limits = "cpu: 12"
	s.pool(p)
	s.running("web", 9)
	if n := len(s.instances()); n != 3 {
		t.Errorf("%d instances of 4 cpus were bought under a limit of 12", n)
	}
}

// classNotReady: an EC2NodeClass that finds no subnet says so, and so do the
// NodePool and the pod; nothing is bought until it is mended.
func classNotReady(t *testing.T) {
	s := newScene(t, "class", class{Subnets: "nowhere"})
	s.pool(pool{Types: "m5.large"})
	s.deploy(pods{Name: "web", Count: 1})
	s.told("Pod", "web", "FailedScheduling", "NodePool class: EC2NodeClass.karpenter.k8s.aws/class is not ready: SubnetsReady=False")
	eventually(t, "the NodePool says that its class is not ready, and why", func() error {
		c := condition(s.nodePool("").Status.Conditions, v1.ConditionNodeClassReady)
		if c.Status != metav1.ConditionFalse || !strings.Contains(c.Message, "SubnetsReady") {
			return fmt.Errorf("%s: %s %s", c.Status, c.Reason, c.Message)
		}
		return nil
	})
	found := s.nodeClass()
	if c := condition(found.Status.Conditions, "SubnetsReady"); c.Status != metav1.ConditionFalse || c.Message == "" {
		t.Errorf("condition SubnetsReady is %s, and says %q", c.Status, c.Message)
	}
	if n := len(s.instances()) + len(s.claims("*")); n != 0 {
		t.Errorf("%d NodeClaims and instances were made from a class that is not ready", n)
	}
	s.class(class{})
	s.running("web", 1)
}

// unmanagedNode: a node that Stowage did not make is used for what it holds, and
// only the rest is bought; nothing is ever written to it.
func unmanagedNode(t *testing.T) {
	s := newScene(t, "unmanaged", class{})
	s.pool(pool{Types: "m5.large", After: "0s"})
	foreign := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "unmanaged", Annotations: map[string]string{"kwok.x-k8s.io/node": "fake"}, Labels: map[string]string{
			"stowage.example/scene": s.name, "stowage.example/unmanaged": "true", corev1.LabelHostname: "unmanaged",
			corev1.LabelArchStable: "amd64", corev1.LabelOSStable: "linux", corev1.LabelTopologyZone: "us-west-2a",
		}},
		Spec: corev1.NodeSpec{ProviderID: "aws:///us-west-2a/i-0123456789abcdef0",
			Taints: []corev1.Taint{{Key: "stowage.example/scene", Value: s.name, Effect: corev1.TaintEffectNoSchedule}}},
		Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionFalse, Reason: "Starting"}},
			Allocatable: corev1.ResourceList{"cpu": resource.MustParse("2"), "memory": resource.MustParse("8Gi"), "pods": resource.MustParse("20")}},
	}
	foreign.Status.Capacity = foreign.Status.Allocatable
	s.must(here.Client.Create(s.ctx(), foreign.DeepCopy()))
	t.Cleanup(func() { s.must(s.delete(foreign)) })
	s.must(here.SetNodeReady(s.ctx(), foreign.Name, true))
	eventually(t, "the node that is not ours opens", func() error {
		if node := s.nodes()["unmanaged"]; len(node.Spec.Taints) != 1 {
			return fmt.Errorf("its taints are %v", node.Spec.Taints)
		}
		return nil
	})
	s.deploy(pods{Name: "web", Count: 3}) // two fit on the node, one on an m5.large beside
	hosts := s.hosts(s.running("web", 3))
	if names := maps.Collect(byName(hosts)); len(names) != 2 || names["unmanaged"].Name == "" {
		t.Errorf("the pods are on %d nodes, want two of which one is not ours", len(names))
	}
	if n := len(s.instances()); n != 1 {
		t.Errorf("%d instances were bought, want 1", n)
	}
	// Without pods, our own node goes, and the other one stays.
	s.deploy(pods{Name: "web"})
	eventually(t, "our own node goes", s.left)
	node := &corev1.Node{}
	s.must(here.Client.Get(s.ctx(), client.ObjectKeyFromObject(foreign), node))
	for _, m := range node.ManagedFields {
		if strings.HasPrefix(m.Manager, "stowage") {
			t.Errorf("Stowage wrote %s to a node that is not its own", m.FieldsV1)
		}
	}
	if node.DeletionTimestamp != nil || len(node.Spec.Taints) != 1 || node.Spec.Unschedulable {
		t.Errorf("the node that is not ours is %+v", node.Spec)
	}
}

// byName goes through nodes with their names.
func byName(nodes []corev1.Node) func(func(string, corev1.Node) bool) {
	return func(yield func(string, corev1.Node) bool) {
		for _, n := range nodes {
			if !yield(n.Name, n) {
				return
			}
		}
	}
}
