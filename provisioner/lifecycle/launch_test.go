package lifecycle

import (
	"context"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// An asked is a cloud that notes what is asked of it.
type asked struct {
	cloudprovider.Provider
	last cloudprovider.LaunchRequest
}

func (a *asked) Launch(_ context.Context, r cloudprovider.LaunchRequest) (cloudprovider.Instance, error) {
	a.last = r
	return cloudprovider.Instance{ID: "i-1"}, nil
}

// A recorder writes nothing, and agrees.
type recorder struct{ state.Writer }

func (recorder) Patch(context.Context, client.Object, client.Patch) error       { return nil }
func (recorder) PatchStatus(context.Context, client.Object, client.Patch) error { return nil }

// TestStatusPromisesWhatIsStarted: what a machine has only on request is in the NodeClaim's status if its load asks for
// it, and not otherwise.
func TestStatusPromisesWhatIsStarted(t *testing.T) {
	c := catalog()
	c.InstanceTypes[0].OnRequest = []string{"example.com/gpu"}
	c.InstanceTypes[0].Capacity = c.InstanceTypes[0].Allocatable
	for _, asks := range []bool{false, true} {
		claim := &v1.NodeClaim{}
		claim.Spec.Resources.Requests = corev1.ResourceList{"cpu": resource.MustParse("1")}
		if asks {
			claim.Spec.Resources.Requests["example.com/gpu"] = resource.MustParse("1")
		}
		got := bought{cloudprovider.Instance{ID: "i-1", Offering: cloudprovider.Offering{InstanceType: "gpu", Zone: "a", CapacityType: "spot"}}, map[string]string{}}
		if err := (&Controller{Cluster: state.New(), Write: recorder{}}).launched(t.Context(), noon, claim, c, got); err != nil {
			t.Fatal(err)
		}
		for _, list := range []corev1.ResourceList{claim.Status.Capacity, claim.Status.Allocatable} {
			if _, has := list["example.com/gpu"]; has != asks || list.Cpu().Value() != 4 {
				t.Errorf("asked for: %v, promised: %v", asks, list)
			}
		}
	}
}

// TestLaunchNamesExtendedResources: the cloud hears of what it may have to start the machine with, and of
// nothing that is asked for in the amount of none.
func TestLaunchNamesExtendedResources(t *testing.T) {
	cloud := &asked{}
	claim := &v1.NodeClaim{}
	claim.Annotations = map[string]string{v1.AnnotationOfferings: "gpu/a/spot"}
	claim.Spec.Resources.Requests = corev1.ResourceList{
		"cpu": resource.MustParse("1"), "vpc.amazonaws.com/efa": resource.MustParse("1"), "nvidia.com/gpu": resource.MustParse("2"), "amd.com/gpu": resource.MustParse("0"),
	}
	c := &Controller{Cloud: cloud, Cluster: state.New(), Availability: &cloudprovider.Availability{}}
	if _, err := c.buy(t.Context(), time.Time{}, claim, &cloudprovider.Catalog{}, nil); err != nil {
		t.Fatal(err)
	}
	if want := []string{"nvidia.com/gpu", "vpc.amazonaws.com/efa"}; !slices.Equal(cloud.last.Extended, want) {
		t.Errorf("asked with %v, want %v", cloud.last.Extended, want)
	}
}

// TestOldGroups: who comes long after the others of its group buys for itself alone.
func TestOldGroups(t *testing.T) {
	made := time.Unix(1_700_000_000, 0)
	claim := &v1.NodeClaim{ObjectMeta: metav1.ObjectMeta{Name: "web-1", CreationTimestamp: metav1.NewTime(made), Annotations: map[string]string{v1.AnnotationLaunchGroup: "abc/1/3"}}}
	for after, want := range map[time.Duration]int{time.Minute: 3, groupAge: 3, groupAge + time.Second: 0} {
		if g := groupOf(made.Add(after), claim); g.Size != want {
			t.Errorf("after %v it is of a group of %d, want %d", after, g.Size, want)
		}
	}
}
