package lifecycle

import (
	"context"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

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
