package v1

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// batch is n NodeClaims that are alike.
func batch(n int, change func(*NodeClaim)) (claims []*NodeClaim) {
	for range n {
		c := &NodeClaim{}
		c.Labels = map[string]string{LabelNodePool: "web"}
		c.Annotations = map[string]string{AnnotationOfferings: "m5.large/a/spot", AnnotationNodePoolHash: "1"}
		c.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")}
		if change != nil {
			change(c)
		}
		claims = append(claims, c)
	}
	for i, c := range claims {
		c.Name = fmt.Sprintf("web-%p-%d", claims, i)
	}
	return claims
}

func TestGroupLaunches(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(*NodeClaim)
		grouped bool
	}{
		"nothing differs": {func(*NodeClaim) {}, true},
		"what is asked of the same offerings": {func(c *NodeClaim) {
			c.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("2")}
		}, true},
		"offerings":  {func(c *NodeClaim) { c.Annotations[AnnotationOfferings] = "m5.large/b/spot" }, false},
		"price":      {func(c *NodeClaim) { c.Annotations[AnnotationPriceOverlay] = "true" }, false},
		"labels":     {func(c *NodeClaim) { c.Labels["team"] = "blue" }, false},
		"class":      {func(c *NodeClaim) { c.Spec.NodeClassRef.Name = "other" }, false},
		"taints":     {func(c *NodeClaim) { c.Spec.Taints = []corev1.Taint{{Key: "a"}} }, false},
		"at startup": {func(c *NodeClaim) { c.Spec.StartupTaints = []corev1.Taint{{Key: "a"}} }, false},
		"a requirement": {func(c *NodeClaim) {
			c.Spec.Requirements = []Requirement{{Key: "a", Operator: corev1.NodeSelectorOpExists}}
		}, false},
		"a device": {func(c *NodeClaim) { c.Spec.Resources.Requests["vpc.amazonaws.com/efa"] = resource.MustParse("1") }, false},
		"what is asked, of no offerings": {func(c *NodeClaim) {
			delete(c.Annotations, AnnotationOfferings)
			c.Spec.Resources.Requests[corev1.ResourceCPU] = resource.MustParse("2")
		}, false},
	} {
		claims := append(batch(1, nil), batch(1, c.change)...)
		GroupLaunches(claims)
		if first, second := LaunchGroupOf(claims[0]), LaunchGroupOf(claims[1]); (first.ID != "" && first.ID == second.ID) != c.grouped {
			t.Errorf("%s: groups are %v and %v, want one: %v", name, first, second, c.grouped)
		}
	}
}

// TestGroupsAreSmallAndUnique: each member of a large batch has a place of its own, in groups of bounded size, and a batch of other
// names has other groups.
func TestGroupsAreSmallAndUnique(t *testing.T) {
	const n = 2*MaxLaunchGroup + 1
	stale := func(c *NodeClaim) { c.Annotations[AnnotationLaunchGroup] = "of-the-template/0/2" }
	seen := map[LaunchGroup]bool{}
	for range 2 {
		claims := batch(n, stale)
		GroupLaunches(claims)
		if g := LaunchGroupOf(claims[n-1]); g.ID != "" {
			t.Errorf("the one that is left over is of group %v", g)
		}
		for _, c := range claims[:n-1] {
			g := LaunchGroupOf(c)
			if g.Size != MaxLaunchGroup || g.Index >= g.Size || seen[g] {
				t.Fatalf("a place %v, seen before: %v", g, seen[g])
			}
			seen[g] = true
		}
	}
}

func TestLaunchGroupOfNonsense(t *testing.T) {
	for _, text := range []string{"", "a", "a/0", "/0/2", "a/2/2", "a/-1/2", "a/x/2", "a/0/100000", "a/0/2/3"} {
		c := &NodeClaim{}
		c.Annotations = map[string]string{AnnotationLaunchGroup: text}
		if g := LaunchGroupOf(c); g != (LaunchGroup{}) {
			t.Errorf("%q is read as %v", text, g)
		}
	}
}
