package plan

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stowage-sh/stowage/cloudprovider"
	awsv1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
	"github.com/stowage-sh/stowage/pricing"
	"github.com/stowage-sh/stowage/provisioner/problem"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// TestNewNodeTakesPodsAndStays: a node that a command opens takes pods in the next round, whatever the clock
// of the machine says, and is not itself to go.
func TestNewNodeTakesPodsAndStays(t *testing.T) {
	pool := &v1.NodePool{ObjectMeta: metav1.ObjectMeta{Name: "default", UID: "pool"}}
	pool.Spec.Template.Spec.NodeClassRef = v1.NodeClassReference{Group: awsv1.Group, Kind: awsv1.Kind, Name: "default"}
	pool.Spec.Disruption.ConsolidateAfter = "1h"
	cluster := state.New()
	cluster.Observe(pool)
	prices, err := pricing.Embedded("us-east-1")
	if err != nil {
		t.Fatal(err)
	}
	question := problem.Input{Prices: prices}
	st := &stage{cluster: cluster, question: question, now: time.Date(2020, 1, 1, 12, 0, 0, 0, time.UTC), at: map[string]int{}}
	kind := &cloudprovider.InstanceType{Name: "m5.large", Capacity: cloudprovider.Resources{cloudprovider.CPU: 2000}}
	launch := &problem.Launch{Claim: pool.NewClaim(), Rows: []*problem.Row{{Pool: pool, Type: kind}}, Requests: cloudprovider.Resources{}}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "default-1", Labels: map[string]string{}}}
	st.open(launch, node, []*corev1.Pod{standing("web", "default-1", 1)})
	in, review := st.look()
	if claim, ok := in.Snapshot.ClaimOf(node); !ok || in.Leaving[claim.Name] {
		t.Errorf("the node takes no pods (its NodeClaim is there: %t)", ok)
	}
	if len(review.Loaded)+len(review.Empty)+len(review.Blocked) > 0 {
		t.Errorf("it is said of the node whether it goes: %+v", review)
	}
}
