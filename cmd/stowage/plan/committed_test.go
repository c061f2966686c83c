package plan_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/cmd/stowage/plan"
	"github.com/stowage-sh/stowage/pricing"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// committed is the market with these commitments, entries of a file.
func committed(t *testing.T, entries ...string) plan.Market {
	t.Helper()
	m := market(t)
	list, err := pricing.ReadCommitments(strings.NewReader("commitments: ["+strings.Join(entries, ", ")+"]"), "file", m.Region, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	m.Prices = m.Prices.WithCommitments(list)
	return m
}

// standing are four m5.2xlarge, of 0.428 $/h each: two with little on them that may not be evicted, and two that have
// more, for which there is room on the first two.
func standing() (objects []client.Object) {
	objects = append(objects, pool("default", 1))
	for i, name := range []string{"keep-0", "keep-1", "move-0", "move-1"} {
		p := pod("pod-"+name, requests([]int64{1000, 1000, 3000, 3000}[i], 1000))
		p.Spec.NodeName, p.Status.Phase, p.Status.Conditions = name, corev1.PodRunning, nil
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "w", UID: "w", Controller: new(true)}}
		if i < 2 {
			p.Annotations = map[string]string{v1.AnnotationDoNotDisrupt: "true"}
		}
		objects = append(objects, running(name, "m5.2xlarge", "eu-west-1a", "default", 8000), p)
	}
	return objects
}

// sums are what a plan comes to, before and after, and what it proves.
func sums(d *plan.Document) string {
	return fmt.Sprintf("%d of %.4f, %d of %.4f, bound %.4f", d.Before.Nodes, d.Before.CostPerHour, d.After.Nodes, d.After.CostPerHour, d.After.LowerBoundPerHour)
}

// TestWhatStaysHidesNoSavings: a plan covers as many nodes as there are that may not go. The others go, as they
// would without it, though they are better used.
func TestWhatStaysHidesNoSavings(t *testing.T) {
	p, _ := consolidated(t, standing(), committed(t, `{name: m5, kind: EC2InstanceSavingsPlan, region: eu-west-1, family: m5, dollarsPerHour: "0.5136", discount: 40%}`))
	if got, want := sums(p.Document()), "4 of 0.8560, 2 of 0.0000, bound 0.0000"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
