package lifecycle

import (
	"fmt"
	"maps"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// TestObserver tells of nodes that are initialized, and of no others.
func TestObserver(t *testing.T) {
	cluster := state.New()
	see := func(name, image, memory string, initialized metav1.ConditionStatus) {
		claim := &v1.NodeClaim{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), Labels: map[string]string{corev1.LabelInstanceTypeStable: "m5.large"}}}
		claim.Status.ProviderID, claim.Status.ImageID = "aws:///a/"+name, image
		v1.SetCondition(&claim.Status.Conditions, metav1.Condition{Type: v1.ConditionInitialized, Status: initialized, Reason: "Test"}, noon)
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("node-" + name)}}
		node.Spec.ProviderID = claim.Status.ProviderID
		node.Status.Capacity = corev1.ResourceList{}
		if memory != "" {
			node.Status.Capacity[corev1.ResourceMemory] = resource.MustParse(memory)
		}
		cluster.Observe(claim)
		cluster.Observe(node)
	}
	see("one", "ami-1", "7Gi", metav1.ConditionTrue)
	see("two", "ami-2", "6Gi", metav1.ConditionTrue)
	see("joins", "ami-3", "7Gi", metav1.ConditionFalse)
	see("says-nothing", "ami-4", "", metav1.ConditionTrue)
	see("of-no-image", "", "7Gi", metav1.ConditionTrue)
	got := map[string]int64{}
	o := &Observer{Cluster: cluster, Observe: func(instanceType, image string, memory int64) {
		got[fmt.Sprint(instanceType, " ", image)] = memory
	}}
	if again, err := o.Step(t.Context(), noon); err != nil || again <= 0 || again > time.Minute {
		t.Errorf("again after %v, %v", again, err)
	}
	if want := map[string]int64{"m5.large ami-1": 7 << 30, "m5.large ami-2": 6 << 30}; !maps.Equal(got, want) {
		t.Errorf("observed %v, want %v", got, want)
	}
}
