package nodeclass

import (
	"slices"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"

	"github.com/stowage-sh/stowage/cloudprovider/aws"
	v1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
)

// TestPlacementGroups: by name or by ID; what is not there, not ready or not understood is said,
// and nothing is launched meanwhile.
func TestPlacementGroups(t *testing.T) {
	group := func(id, name string, strategy types.PlacementStrategy, edit func(*types.PlacementGroup)) types.PlacementGroup {
		g := types.PlacementGroup{GroupId: sdk.String(id), GroupName: sdk.String(name), Strategy: strategy, State: types.PlacementGroupStateAvailable}
		if edit != nil {
			edit(&g)
		}
		return g
	}
	all := []types.PlacementGroup{
		group("pg-1", "near", types.PlacementStrategyCluster, nil),
		group("pg-2", "parts", types.PlacementStrategyPartition, func(g *types.PlacementGroup) { g.PartitionCount = sdk.Int32(3) }),
		group("pg-3", "going", types.PlacementStrategySpread, func(g *types.PlacementGroup) { g.State = types.PlacementGroupStateDeleting }),
		group("pg-4", "new", "helix", nil),
	}
	for _, c := range []struct {
		wants v1.PlacementGroupSelector
		says  string
		group *aws.PlacementGroup
	}{
		{v1.PlacementGroupSelector{Name: "near"}, "PlacementGroupReady True", &aws.PlacementGroup{ID: "pg-1", Name: "near", Strategy: "cluster"}},
		{v1.PlacementGroupSelector{ID: "pg-2"}, "PlacementGroupReady True", &aws.PlacementGroup{ID: "pg-2", Name: "parts", Strategy: "partition", Partitions: 3}},
		{v1.PlacementGroupSelector{Name: "pg-2"}, "PlacementGroupReady False PlacementGroupNotFound: EC2 has no placement group with spec.placementGroupSelector: name pg-2", nil},
		{v1.PlacementGroupSelector{ID: "pg-9"}, "PlacementGroupReady False PlacementGroupNotFound: EC2 has no placement group with spec.placementGroupSelector: id pg-9", nil},
		{v1.PlacementGroupSelector{Name: "going"}, "PlacementGroupReady False PlacementGroupNotAvailable: placement group pg-3 (name going) is deleting", nil},
		{v1.PlacementGroupSelector{Name: "new"}, `PlacementGroupReady False NotUnderstood: placement group pg-4 (name new) has the strategy "helix" with 0 partition(s), which is not understood`, nil},
	} {
		spec := goodSpec()
		spec.PlacementGroupSelector = &c.wants
		w := newWorld(t, spec)
		w.account.placements = all
		w.step(0)
		class, _ := w.Classes.Get("default")
		if !slices.Contains(status(w.class()), c.says) || (class.NotReady == "") != (c.group != nil) {
			t.Errorf("%+v: %v, not ready: %q", c.wants, status(w.class()), class.NotReady)
		}
		if diff := cmp.Diff(c.group, class.PlacementGroup); diff != "" {
			t.Errorf("%+v:\n%s", c.wants, diff)
		}
	}
}

// TestPlacementGroupComesLater: one that is made meanwhile is found, and an error of EC2's is none of
// its answers.
func TestPlacementGroupComesLater(t *testing.T) {
	spec := goodSpec()
	spec.PlacementGroupSelector = &v1.PlacementGroupSelector{Name: "near"}
	w := newWorld(t, spec)
	w.account.fail["DescribePlacementGroups"] = "UnauthorizedOperation"
	if _, err := w.Reconcile(t.Context(), noon, "default"); err == nil || !strings.Contains(err.Error(), "describing placement group name near") {
		t.Errorf("the error is %v", err)
	}
	if got := status(w.class()); !slices.Contains(got, "PlacementGroupReady Unknown LookupFailed: AWS did not say: UnauthorizedOperation") {
		t.Errorf("conditions %v", got)
	}
	delete(w.account.fail, "DescribePlacementGroups")
	w.account.placements = []types.PlacementGroup{{GroupId: sdk.String("pg-1"), GroupName: sdk.String("near"), Strategy: types.PlacementStrategyCluster, State: types.PlacementGroupStateAvailable}}
	w.step(2 * time.Minute)
	if !w.class().IsReady() {
		t.Errorf("conditions %v", status(w.class()))
	}
}
