package conformance_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/test/conformance"
	"github.com/stowage-sh/stowage/test/ec2sim"
)

// TestThousandLaunches: while 30 % of all calls are throttled, and a fifth of the offerings has run out, each of
// 1,000 claims gets one machine, and no call is made for a claim but the one that buys it.
func TestThousandLaunches(t *testing.T) {
	const claims, atOnce = 1000, 100
	a := newAccount(t)
	c := a.cloud()
	catalog := a.catalog(c.Provider)
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
	l := &launches{T: t, Cloud: c, machines: map[string]string{}}
	next := make(chan int)
	var group sync.WaitGroup
	for range atOnce {
		group.Go(func() {
			for i := range next {
				var wanted []cloudprovider.Offering
				for _, kind := range []string{cloudprovider.Spot, cloudprovider.OnDemand} {
					for j := range 3 { // of one kind of node in ten
						wanted = append(wanted, all[kind][(i%10+4*j)%len(all[kind])])
					}
				}
				l.launch(fmt.Sprintf("claim-%d", i), wanted)
			}
		})
	}
	for i := range claims {
		next <- i
	}
	close(next)
	group.Wait()
	machines := l.machines
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
	// Each launch asks once for what is spot and once for what is on demand at the most, and the SDK tries twice.
	if most := 2 * 2 * l.tries; calls["CreateFleet"] > most {
		t.Errorf("%d fleets for %d launches", calls["CreateFleet"], l.tries)
	}
	t.Logf("%d launches were asked for", l.tries)
}

// launches are made by many goroutines.
type launches struct {
	*testing.T
	*conformance.Cloud

	mu       sync.Mutex
	machines map[string]string // the claims of those that were bought, by ID
	tries    int
}

// launch buys a machine for a claim, again after an error, as its controller does.
func (l *launches) launch(claim string, offerings []cloudprovider.Offering) {
	q := cloudprovider.LaunchRequest{
		Claim: claim, UID: "uid-of-" + claim, Class: l.Class, NodePool: "pool", Offerings: offerings,
		Labels: map[string]string{"karpenter.sh/nodepool": "pool"}, Taints: []cloudprovider.Taint{{Key: "karpenter.sh/unregistered", Effect: "NoExecute"}},
	}
	for {
		instance, err := l.Provider.Launch(l.Context(), q)
		l.mu.Lock()
		l.tries++
		if of, sold := l.machines[instance.ID]; err == nil && sold {
			l.Errorf("%s and %s have both got %s", of, claim, instance.ID)
		}
		if err == nil {
			l.machines[instance.ID] = claim
		}
		l.mu.Unlock()
		if _, none := errors.AsType[*cloudprovider.InsufficientCapacityError](err); none {
			l.Errorf("%s: %v", claim, err)
			return
		}
		if err == nil {
			return
		}
	}
}
