package problem

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

func sized(name, cpu, node string, phase corev1.PodPhase) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(name), ResourceVersion: "1"},
		Spec: corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{
			Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu)}},
		}}},
		Status: corev1.PodStatus{Phase: phase},
	}
}

func TestCrowded(t *testing.T) {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}, Status: corev1.NodeStatus{
		Allocatable: corev1.ResourceList{"cpu": resource.MustParse("4"), "pods": resource.MustParse("4")},
	}}
	c := state.New()
	c.Observe(sized("bound", "1", "n", corev1.PodRunning))
	c.Observe(sized("done", "3", "n", corev1.PodSucceeded)) // takes no room
	c.Observe(sized("elsewhere", "3", "m", corev1.PodRunning))
	for name, test := range map[string]struct {
		cpus, want []string
	}{
		"all fit":                     {[]string{"1", "1", "1"}, nil},
		"the last has no room":        {[]string{"2", "1", "1"}, []string{"2"}},
		"a small one fits after all":  {[]string{"2", "2", "1"}, []string{"1"}},
		"too many pods":               {[]string{"100m", "100m", "100m", "100m"}, []string{"3"}},
		"a resource the node has not": {[]string{"5"}, []string{"0"}},
	} {
		t.Run(name, func(t *testing.T) {
			var pods []*corev1.Pod
			for i, cpu := range test.cpus {
				pods = append(pods, sized(string(rune('0'+i)), cpu, "", corev1.PodPending))
			}
			var got []string
			for _, p := range Crowded(c.Snapshot(), node, pods) {
				got = append(got, p.Name)
			}
			if len(got) != len(test.want) || len(got) > 0 && got[0] != test.want[0] {
				t.Errorf("crowded %v, want %v", got, test.want)
			}
		})
	}
}

// TestCrowdedExpectsDevices: a node that is not initialized does not report its
// devices yet, and is not crowded for that.
func TestCrowdedExpectsDevices(t *testing.T) {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}, Spec: corev1.NodeSpec{ProviderID: "i-1"}, Status: corev1.NodeStatus{
		Allocatable: corev1.ResourceList{"cpu": resource.MustParse("4"), "pods": resource.MustParse("4"), "nvidia.com/gpu": resource.MustParse("0")},
	}}
	claim := &v1.NodeClaim{ObjectMeta: metav1.ObjectMeta{Name: "c", UID: "c", ResourceVersion: "1"}, Status: v1.NodeClaimStatus{
		ProviderID:  "i-1",
		Allocatable: corev1.ResourceList{"cpu": resource.MustParse("8"), "nvidia.com/gpu": resource.MustParse("1")},
	}}
	c := state.New()
	c.Observe(claim)
	gpu := sized("gpu", "1", "", corev1.PodPending)
	gpu.Spec.Containers[0].Resources.Requests["nvidia.com/gpu"] = resource.MustParse("1")
	large := sized("large", "6", "", corev1.PodPending)
	if got := Crowded(c.Snapshot(), node, []*corev1.Pod{gpu}); len(got) != 0 {
		t.Error("no room for a device that is still to be reported")
	}
	if got := Crowded(c.Snapshot(), node, []*corev1.Pod{large}); len(got) != 1 {
		t.Error("the claim's word was taken for what the node does report")
	}
	claim = claim.DeepCopy()
	claim.ResourceVersion = "2"
	claim.Status.Conditions = []metav1.Condition{{Type: v1.ConditionInitialized, Status: metav1.ConditionTrue}}
	c.Observe(claim)
	if got := Crowded(c.Snapshot(), node, []*corev1.Pod{gpu}); len(got) != 1 {
		t.Error("room for a device that an initialized node does not have")
	}
}
