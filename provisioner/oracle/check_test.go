package oracle

import (
	"context"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

func node(name, zone string) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name, corev1.LabelTopologyZone: zone}},
		Status: corev1.NodeStatus{Allocatable: corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse("2"), corev1.ResourceMemory: resource.MustParse("4Gi"), corev1.ResourcePods: resource.MustParse("10"),
		}},
	}
}

func pod(name string, edits ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(name), Labels: map[string]string{"app": "web"}}}
	p.Spec.Containers = []corev1.Container{{Name: "c", Resources: corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("500m")},
	}}}
	for _, edit := range edits {
		edit(p)
	}
	return p
}

func bound(to string) func(*corev1.Pod) { return func(p *corev1.Pod) { p.Spec.NodeName = to } }

var web = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}

func spread(skew int32) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{
			MaxSkew: skew, TopologyKey: corev1.LabelTopologyZone, WhenUnsatisfiable: corev1.DoNotSchedule, LabelSelector: web,
		}}
	}
}

func apart(key string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
			RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{TopologyKey: key, LabelSelector: web}},
		}}
	}
}

// A question is a plan and what kube-scheduler says about it.
type question struct {
	name    string
	nodes   []*corev1.Node
	bound   []*corev1.Pod
	placed  []string // pod on node, by index of pods
	pods    []*corev1.Pod
	refused string // pod and plugin of each refusal
}

func (c question) check(t *testing.T) {
	t.Helper()
	var placements []Placement
	for i, p := range c.pods {
		placements = append(placements, Placement{p, c.placed[i]})
	}
	refusals, err := Check(context.Background(), Cluster{Nodes: c.nodes, Pods: c.bound}, placements)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range refusals {
		if r.Reason == "" {
			t.Errorf("%s without a reason", r)
		}
		got = append(got, fmt.Sprintf("%s %s", r.Pod.Name, r.Plugin))
	}
	if strings.Join(got, ", ") != c.refused {
		t.Errorf("refused: %s; want %s", refusals, c.refused)
	}
}

// near wants a pod of an app on the same node.
func near(other string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.Affinity = &corev1.Affinity{PodAffinity: &corev1.PodAffinity{
			RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
				TopologyKey: corev1.LabelHostname, LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": other}},
			}},
		}}
	}
}

func app(name string) func(*corev1.Pod) { return func(p *corev1.Pod) { p.Labels["app"] = name } }

func large(p *corev1.Pod) {
	p.Spec.Containers[0].Resources.Requests[corev1.ResourceCPU] = resource.MustParse("1500m")
}

func born(second int64) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.CreationTimestamp = metav1.Unix(second, 0) }
}

// TestCheck has a case for each plugin in which it refuses, and beside it one
// that is as near as can be in which it does not.
func TestCheck(t *testing.T) {
	for _, c := range []question{
		{name: "fits", nodes: []*corev1.Node{node("n", "a")}, pods: []*corev1.Pod{pod("p"), pod("q")}, placed: []string{"n", "n"}},
		{name: "too many", nodes: []*corev1.Node{node("n", "a")}, bound: []*corev1.Pod{pod("o", bound("n")), pod("o2", bound("n"))},
			pods: []*corev1.Pod{pod("p"), pod("q"), pod("r")}, placed: []string{"n", "n", "n"},
			refused: "r NodeResourcesFit"},
		{name: "one that ended takes no room", nodes: []*corev1.Node{node("n", "a")},
			bound: []*corev1.Pod{pod("o", bound("n"), func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded })},
			pods:  []*corev1.Pod{pod("p"), pod("q"), pod("r"), pod("s")}, placed: []string{"n", "n", "n", "n"}},
		{name: "cordoned", nodes: []*corev1.Node{func() *corev1.Node { n := node("n", "a"); n.Spec.Unschedulable = true; return n }()},
			pods: []*corev1.Pod{pod("p")}, placed: []string{"n"}, refused: "p NodeUnschedulable"},
		{name: "by name", nodes: []*corev1.Node{node("n", "a"), node("m", "a")}, pods: []*corev1.Pod{pod("p", bound("m"))}, placed: []string{"n"}, refused: "p NodeName"},
		{name: "tainted", nodes: []*corev1.Node{func() *corev1.Node {
			n := node("n", "a")
			n.Spec.Taints = []corev1.Taint{{Key: "gpu", Effect: corev1.TaintEffectNoSchedule}}
			return n
		}()}, pods: []*corev1.Pod{pod("p"), pod("q", func(p *corev1.Pod) {
			p.Spec.Tolerations = []corev1.Toleration{{Key: "gpu", Operator: corev1.TolerationOpExists}}
		})}, placed: []string{"n", "n"}, refused: "p TaintToleration"},
		{name: "by selector", nodes: []*corev1.Node{node("n", "a")}, pods: []*corev1.Pod{
			pod("p", func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{corev1.LabelTopologyZone: "b"} }),
			pod("q", func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{corev1.LabelTopologyZone: "a"} }),
		}, placed: []string{"n", "n"}, refused: "p NodeAffinity"},
		{name: "host port", nodes: []*corev1.Node{node("n", "a")}, bound: []*corev1.Pod{pod("o", bound("n"), port)}, pods: []*corev1.Pod{pod("p", port)},
			placed: []string{"n"}, refused: "p NodePorts"},
		{name: "spread even", nodes: []*corev1.Node{node("n", "a"), node("m", "b")}, pods: []*corev1.Pod{pod("p", spread(1)), pod("q", spread(1)), pod("r", spread(1))},
			placed: []string{"n", "m", "n"}},
		{name: "spread uneven", nodes: []*corev1.Node{node("n", "a"), node("m", "b")}, bound: []*corev1.Pod{pod("o", bound("n"))}, pods: []*corev1.Pod{pod("p", spread(1))},
			placed: []string{"n"}, refused: "p PodTopologySpread"},
		{name: "anti-affinity", nodes: []*corev1.Node{node("n", "a"), node("m", "a")}, pods: []*corev1.Pod{pod("p", apart(corev1.LabelHostname)), pod("q", apart(corev1.LabelHostname))},
			placed: []string{"n", "m"}},
		{name: "anti-affinity of one that stands", nodes: []*corev1.Node{node("n", "a"), node("m", "a")}, bound: []*corev1.Pod{pod("o", bound("n"), apart(corev1.LabelTopologyZone))},
			pods: []*corev1.Pod{pod("p")}, placed: []string{"m"}, refused: "p InterPodAffinity"},
	} {
		t.Run(c.name, c.check)
	}
}

// TestOrder: pods come one after the other, and again as long as anybody gets in.
func TestOrder(t *testing.T) {
	for _, c := range []question{
		{name: "spread zone after zone", nodes: []*corev1.Node{node("n", "a"), node("m", "b"), node("l", "c")},
			pods:   []*corev1.Pod{pod("p", spread(1)), pod("q", spread(1)), pod("r", spread(1)), pod("s", spread(1)), pod("t", spread(1)), pod("u", spread(1))},
			placed: []string{"n", "n", "m", "m", "l", "l"}},
		{name: "spread with a third zone empty", nodes: []*corev1.Node{node("n", "a"), node("m", "b"), node("l", "c")},
			pods:   []*corev1.Pod{pod("p", spread(1)), pod("q", spread(1)), pod("r", spread(1)), pod("s", spread(1))},
			placed: []string{"n", "m", "n", "m"}, refused: "r PodTopologySpread, s PodTopologySpread"},
		{name: "near to one that comes later", nodes: []*corev1.Node{node("n", "a"), node("m", "a")},
			pods: []*corev1.Pod{pod("p", near("db"), app("web")), pod("q", app("db"))}, placed: []string{"n", "n"}},
		{name: "near to one that goes elsewhere", nodes: []*corev1.Node{node("n", "a"), node("m", "a")},
			pods: []*corev1.Pod{pod("p", near("db"), app("web")), pod("q", app("db"))}, placed: []string{"n", "m"}, refused: "p InterPodAffinity"},
		{name: "each waits for the other", nodes: []*corev1.Node{node("n", "a")},
			pods: []*corev1.Pod{pod("p", near("db"), app("web")), pod("q", near("web"), app("db"))}, placed: []string{"n", "n"}, refused: "p InterPodAffinity, q InterPodAffinity"},
		{name: "kept away by one that comes first", nodes: []*corev1.Node{node("n", "a")},
			pods: []*corev1.Pod{pod("p", apart(corev1.LabelHostname), app("db")), pod("q")}, placed: []string{"n", "n"}, refused: "q InterPodAffinity"},
		{name: "by priority, then age", nodes: []*corev1.Node{node("n", "a")},
			pods:   []*corev1.Pod{pod("p", large, born(1)), pod("q", large, born(0)), pod("r", large, born(2), func(p *corev1.Pod) { p.Spec.Priority = new(int32(1)) })},
			placed: []string{"n", "n", "n"}, refused: "q NodeResourcesFit, p NodeResourcesFit"},
	} {
		t.Run(c.name, c.check)
	}
}

func port(p *corev1.Pod) {
	p.Spec.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: 80, HostPort: 8080, Protocol: corev1.ProtocolTCP}}
}

// TestNamespaceSelector needs the labels of a namespace.
func TestNamespaceSelector(t *testing.T) {
	away := pod("p", func(p *corev1.Pod) {
		p.Namespace = "other"
		p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
			RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
				TopologyKey: corev1.LabelHostname, LabelSelector: web,
				NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "a"}},
			}},
		}}
	})
	c := Cluster{Nodes: []*corev1.Node{node("n", "a")}, Pods: []*corev1.Pod{pod("o", bound("n"))}}
	for _, labels := range []map[string]string{{"team": "a"}, {"team": "b"}} {
		c.Objects = []runtime.Object{&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default", Labels: labels}}}
		refusals, err := Check(context.Background(), c, []Placement{{away, "n"}})
		if err != nil {
			t.Fatal(err)
		}
		if want := labels["team"] == "a"; len(refusals) > 0 != want {
			t.Errorf("with namespace labels %v: refused %v, want %v", labels, refusals, want)
		}
	}
}

func TestBadQuestions(t *testing.T) {
	for name, c := range map[string]struct {
		cluster    Cluster
		placements []Placement
	}{
		"node twice":       {Cluster{Nodes: []*corev1.Node{node("n", "a"), node("n", "b")}}, nil},
		"no such node":     {Cluster{}, []Placement{{pod("p"), "n"}}},
		"pod twice":        {Cluster{Nodes: []*corev1.Node{node("n", "a")}, Pods: []*corev1.Pod{pod("p", bound("n"))}}, []Placement{{pod("p"), "n"}}},
		"unbound":          {Cluster{Nodes: []*corev1.Node{node("n", "a")}, Pods: []*corev1.Pod{pod("p")}}, nil},
		"pod without UID":  {Cluster{Nodes: []*corev1.Node{node("n", "a")}}, []Placement{{pod("p", func(p *corev1.Pod) { p.UID = "" }), "n"}}},
		"affinity unclear": {Cluster{Nodes: []*corev1.Node{node("n", "a")}}, []Placement{{pod("p", apartWrong), "n"}}},
	} {
		if refusals, err := Check(context.Background(), c.cluster, c.placements); err == nil {
			t.Errorf("%s: no error, refusals %v", name, refusals)
		}
	}
}

func apartWrong(p *corev1.Pod) {
	apart(corev1.LabelHostname)(p)
	p.Spec.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution[0].LabelSelector = &metav1.LabelSelector{
		MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "app", Operator: "Like", Values: []string{"w"}}},
	}
}

// TestNothingIsModified runs a check twice over the same objects.
func TestNothingIsModified(t *testing.T) {
	p := pod("p", spread(1))
	c := Cluster{Nodes: []*corev1.Node{node("n", "a")}}
	for range 2 {
		refusals, err := Check(context.Background(), c, []Placement{{p, "n"}})
		if err != nil || len(refusals) > 0 {
			t.Fatalf("refused %v, %v", refusals, err)
		}
		if p.Spec.NodeName != "" {
			t.Fatalf("the pod was bound to %s", p.Spec.NodeName)
		}
	}
}
