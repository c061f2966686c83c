package problem_test

import (
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/provisioner/problem"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

func asking(lists ...string) *corev1.Pod {
	p := &corev1.Pod{}
	for _, list := range lists {
		requests := corev1.ResourceList{}
		for word := range strings.FieldsSeq(list) {
			name, q, _ := strings.Cut(word, "=")
			requests[corev1.ResourceName(name)] = resource.MustParse(q)
		}
		p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Resources: corev1.ResourceRequirements{Requests: requests}})
	}
	return p
}

// TestRequests has what kube-scheduler would add up, in whole units.
func TestRequests(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	sidecar := asking("cpu=100m")
	sidecar.Spec.InitContainers = []corev1.Container{
		{RestartPolicy: &always, Resources: asking("cpu=50m").Spec.Containers[0].Resources},
		{Resources: asking("cpu=120m").Spec.Containers[0].Resources},
	}
	whole := asking("cpu=100m", "cpu=100m memory=1Ki")
	whole.Spec.Resources = &corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": resource.MustParse("300m")}}
	resized := asking("cpu=100m")
	resized.Spec.NodeName = "n"
	resized.Spec.Containers[0].Name = "c"
	resized.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "c", AllocatedResources: corev1.ResourceList{"cpu": resource.MustParse("200m")}, Resources: &corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": resource.MustParse("200m")}}}}
	for name, c := range map[string]struct {
		pod  *corev1.Pod
		want cloudprovider.Resources
	}{
		"sum":                  {asking("cpu=100m memory=1Ki", "cpu=1 example.com/x=2"), cloudprovider.Resources{"cpu": 1100, "memory": 1024, "example.com/x": 2, "pods": 1}},
		"rounded up":           {asking("cpu=0.5m memory=1500m"), cloudprovider.Resources{"cpu": 1, "memory": 2, "pods": 1}},
		"nothing":              {asking("cpu=0"), cloudprovider.Resources{"pods": 1}},
		"beyond an int64":      {asking("cpu=10E memory=10E"), cloudprovider.Resources{"cpu": math.MaxInt64, "memory": math.MaxInt64, "pods": 1}},
		"a sum beyond it":      {asking("memory=5E", "memory=5E"), cloudprovider.Resources{"memory": math.MaxInt64, "pods": 1}},
		"sidecar and init":     {sidecar, cloudprovider.Resources{"cpu": 170, "pods": 1}},
		"of the pod as whole":  {whole, cloudprovider.Resources{"cpu": 300, "memory": 1024, "pods": 1}},
		"larger since resized": {resized, cloudprovider.Resources{"cpu": 200, "pods": 1}},
	} {
		got := problem.Requests(c.pod)
		if len(got) != len(c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
		for r, q := range c.want {
			if got[r] != q {
				t.Errorf("%s: %s is %d, want %d", name, r, got[r], q)
			}
		}
	}
}

// TestProvisionable changes one thing of a pod that waits.
func TestProvisionable(t *testing.T) {
	waiting := func() *corev1.Pod {
		return &corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{
			{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable},
		}}}
	}
	controlled := func(kind string) []metav1.OwnerReference {
		yes := true
		return []metav1.OwnerReference{{Kind: kind, Controller: &yes}}
	}
	if !problem.Provisionable(waiting()) {
		t.Error("a pod that kube-scheduler cannot place does not wait")
	}
	for name, edit := range map[string]func(*corev1.Pod){
		"bound":              func(p *corev1.Pod) { p.Spec.NodeName = "n" },
		"going":              func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{} },
		"ended":              func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed },
		"gated":              func(p *corev1.Pod) { p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "g"}} },
		"of a DaemonSet":     func(p *corev1.Pod) { p.OwnerReferences = controlled("DaemonSet") },
		"of a node":          func(p *corev1.Pod) { p.OwnerReferences = controlled("Node") },
		"not looked at":      func(p *corev1.Pod) { p.Status.Conditions = nil },
		"failed otherwise":   func(p *corev1.Pod) { p.Status.Conditions[0].Reason = corev1.PodReasonSchedulerError },
		"scheduled meantime": func(p *corev1.Pod) { p.Status.Conditions[0].Status = corev1.ConditionTrue },
	} {
		p := waiting()
		if edit(p); problem.Provisionable(p) {
			t.Errorf("%s: a machine would be bought for it", name)
		}
	}
	p := waiting()
	if p.OwnerReferences = controlled("ReplicaSet"); !problem.Provisionable(p) {
		t.Error("a pod of a ReplicaSet does not wait")
	}
}

// TestAbsurdPodsSpoilNothing: requests that overflow and more resources than a
// problem may have leave their pods unplaced, and the others are placed.
func TestAbsurdPodsSpoilNothing(t *testing.T) {
	w := newWorld()
	if err := w.defineCatalog("small cpu=2 memory=10Gi on-demand=100"); err != nil {
		t.Fatal(err)
	}
	w.objects = append(w.objects, &v1.NodePool{ObjectMeta: metav1.ObjectMeta{Name: "general"}})
	add := func(name string, p *corev1.Pod) {
		p.Name = name
		w.objects = append(w.objects, p)
	}
	add("good", asking("cpu=1"))
	for i := range 100 {
		name := string(rune('a'+i%26)) + string(rune('a'+i/26))
		add("odd-"+name, asking("example.com/"+name+"=1"))
		add("large-"+name, asking("memory=9E cpu=1E"))
	}
	standing := asking("memory=9E", "memory=9E")
	standing.Spec.NodeName = "n"
	add("standing", standing)
	add("standing-too", standing.DeepCopy())
	w.objects = append(w.objects, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}, Status: corev1.NodeStatus{Allocatable: corev1.ResourceList{
		"cpu": resource.MustParse("100m"), "memory": resource.MustParse("1Gi"), "pods": resource.MustParse("1"),
	}}})
	tr := w.translate()
	s := solve(t, tr)
	launches, placements := tr.Placed(s)
	if len(placements) > 0 || len(launches) != 1 || len(launches[0].Pods) != 1 || launches[0].Pods[0].Name != "good" {
		t.Errorf("the plan is\n%s", placesOf(tr, s))
	}
	if text := placesOf(tr, s); !strings.Contains(text, "one of more than 64 resources") {
		t.Errorf("no reason says that there are too many resources:\n%s", text)
	}
}

// TestManyStandingPods: twice the nodes with a pod that keeps others away take no
// more than about twice the memory. Taking the nodes from the groups one by one
// would take four times as much.
func TestManyStandingPods(t *testing.T) {
	apart := &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{
		{TopologyKey: corev1.LabelHostname, LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}},
	}}}
	allocated := func(nodes int) uint64 {
		w := newWorld()
		add := func(name, node, cpu string) {
			p := asking("cpu=" + cpu)
			p.Name, p.Labels, p.Spec.NodeName, p.Spec.Affinity = name, map[string]string{"app": "web"}, node, apart
			w.objects = append(w.objects, p)
		}
		for i := range nodes {
			name := fmt.Sprint("n", i)
			w.objects = append(w.objects, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name}}})
			add(name, name, "1")
		}
		for i := range 40 {
			add(fmt.Sprint("pending", i), "", fmt.Sprint(i+1))
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if tr := w.translate(); tr.Problem.Groups[0].Nodes.Len() != 0 {
			t.Error("a node is open to a pod that must be apart from one there")
		}
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	if once, twice := allocated(3000), allocated(6000); twice > 3*once {
		t.Errorf("3000 nodes took %d bytes, 6000 took %d", once, twice)
	} else {
		t.Logf("3000 nodes took %d bytes, 6000 took %d", once, twice)
	}
}

// TestRequestsLeaveThePodAlone: to ask twice is to get the same, of quantities beyond an int64 too.
func TestRequestsLeaveThePodAlone(t *testing.T) {
	p := asking("cpu=1")
	p.Spec.Resources = &corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": resource.MustParse("9223372036854775807000000001n")}}
	p.Spec.Overhead = corev1.ResourceList{"cpu": resource.MustParse("7n")}
	before := p.DeepCopy()
	problem.Requests(p)
	if got, want := p.Spec.Resources.Requests.Cpu(), before.Spec.Resources.Requests.Cpu(); got.Cmp(*want) != 0 {
		t.Errorf("the pod asks for %s now, for %s before", got.AsDec(), want.AsDec())
	}
}

// TestSentenceFitsAnEvent: many NodePools do not make a message that nobody reads, and it says what is cut.
func TestSentenceFitsAnEvent(t *testing.T) {
	var reasons []problem.Reason
	for i := range 100 {
		reasons = append(reasons, problem.Reason{Message: fmt.Sprintf("NodePool pool-%02d: taint team=%02d:NoSchedule is not tolerated", i, i)})
	}
	got := problem.Sentence(reasons)
	said := strings.Count(got, "NodePool")
	if len(got) > 1000 || said < 10 || !strings.HasSuffix(got, fmt.Sprintf("; and %d more reasons", 100-said)) {
		t.Errorf("%d bytes with %d reasons: %s", len(got), said, got)
	}
	if got := problem.Sentence(reasons[:2]); got != reasons[0].Message+"; "+reasons[1].Message {
		t.Errorf("two reasons: %s", got)
	}
}
