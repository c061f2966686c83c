package conformance_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/test/ec2sim"
)

// TestThousandLaunches: while 30 % of all calls are throttled, and a fifth of the offerings has run out, each of
// 1,000 claims gets one machine, and no call is made for a claim but the one that buys it.
func TestThousandLaunches(t *testing.T) {
	const claims, atOnce = 1000, 100
	a := newAccount(t)
	c := a.cloud()
	catalog, err := c.Provider.Catalog(t.Context(), c.Class)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]cloudprovider.Offering{} // by capacity type
	for _, it := range catalog.InstanceTypes {
		for _, o := range it.Offerings {
			if len(all[o.CapacityType])%5 == 0 {
				a.sim.RunShort(ec2sim.Shortage{Pool: o})
			}
			all[o.CapacityType] = append(all[o.CapacityType], o)
		}
	}
	a.sim.ThrottleOdds("", 0.3)
	before := a.sim.AllCalls()
	var mu sync.Mutex
	machines, tries := map[string]string{}, 0
	launch := func(i int) {
		q := cloudprovider.LaunchRequest{
			Claim: fmt.Sprintf("claim-%d", i), UID: fmt.Sprintf("uid-%d", i), Class: c.Class, NodePool: "pool",
			Labels: map[string]string{"karpenter.sh/nodepool": "pool"}, Taints: []cloudprovider.Taint{{Key: "karpenter.sh/unregistered", Effect: "NoExecute"}},
		}
		for _, kind := range []string{cloudprovider.Spot, cloudprovider.OnDemand} {
			for j := range 3 { // of one kind of node in ten
				q.Offerings = append(q.Offerings, all[kind][(i%10+4*j)%len(all[kind])])
			}
		}
		for {
			instance, err := c.Provider.Launch(t.Context(), q)
			mu.Lock()
			tries++
			if err == nil {
				if of, sold := machines[instance.ID]; sold {
					t.Errorf("%s and %s have both got %s", of, q.Claim, instance.ID)
				}
				machines[instance.ID] = q.Claim
			}
			mu.Unlock()
			if _, none := errors.AsType[*cloudprovider.InsufficientCapacityError](err); none {
				t.Errorf("%s: %v", q.Claim, err)
			} else if err != nil {
				continue // as its controller does
			}
			return
		}
	}
	next := make(chan int)
	var group sync.WaitGroup
	for range atOnce {
		group.Go(func() {
			for i := range next {
				launch(i)
			}
		})
	}
	for i := range claims {
		next <- i
	}
	close(next)
	group.Wait()
	running := 0
	for _, i := range a.sim.Instances() {
		if _, ours := machines[i.ID]; ours {
			running++
		}
	}
	if len(machines) != claims || running != len(a.sim.Instances()) {
		t.Errorf("%d machines for %d claims, %d run", len(machines), claims, len(a.sim.Instances()))
	}
	calls := a.sim.AllCalls()
	for action, n := range before {
		calls[action] -= n
	}
	for _, action := range slices.Sorted(maps.Keys(calls)) {
		t.Logf("%s: %d calls", action, calls[action])
	}
	if calls["DescribeInstances"] > 10 || calls["CreateLaunchTemplate"] > 200 || calls["CreateTags"] > 0 {
		t.Errorf("calls are made for each claim beside the one that buys: %v", calls)
	}
	t.Logf("%d launches were asked for", tries)
}
