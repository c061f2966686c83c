package interrupt

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"

	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// TestOfferingsOfAClaim: what ran out is what was bought, with the reservation and the placement of the plan.
func TestOfferingsOfAClaim(t *testing.T) {
	for _, c := range []struct{ capacityType, plan, want string }{
		{"spot", "", "[m5/a/spot]"},
		{"spot", "m5/b/spot,m5/a/spot,m5/a/on-demand", "[m5/a/spot]"},
		{"spot", "m5/a/spot@pg:1,m5/a/spot@pg:2,m5/b/spot@pg:1", "[m5/a/spot@pg:1 m5/a/spot@pg:2]"},
		{"reserved", "m5/a/reserved/cr-1@pg,m5/a/on-demand@pg", "[m5/a/reserved/cr-1@pg]"},
		{"reserved", "", "[]"},
	} {
		claim := &v1.NodeClaim{}
		claim.Labels = map[string]string{corev1.LabelInstanceTypeStable: "m5", corev1.LabelTopologyZone: "a", v1.LabelCapacityType: c.capacityType}
		claim.Annotations = map[string]string{v1.AnnotationOfferings: c.plan}
		if got := fmt.Sprint(offeringsOf(claim)); got != c.want {
			t.Errorf("%s of %q: %s, want %s", c.capacityType, c.plan, got, c.want)
		}
	}
}
