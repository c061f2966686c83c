package conformance_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/provisioner/problem"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/test/conformance"
	"github.com/stowage-sh/stowage/test/ec2sim"
)

// TestThousandLaunches: while 30 % of all calls are throttled, and a fifth of the offerings has run out or is about
// to, each of 1,000 claims gets one machine: by a call for each, and by one for each group of those that the provisioner would have
// made together.
func TestThousandLaunches(t *testing.T) {
	alone, together := thousand(t, false), thousand(t, true)
	for _, action := range slices.Sorted(maps.Keys(alone)) {
		t.Logf("%s: %d calls for each claim alone, %d in groups", action, alone[action], together[action])
	}
	if together["CreateFleet"] > alone["CreateFleet"]/10 {
		t.Errorf("%d fleets are asked for in groups, %d for each claim alone", together["CreateFleet"], alone["CreateFleet"])
	}
}

// thousand launches 1,000 claims and returns the calls that it took.
func thousand(t *testing.T, grouped bool) map[string]int {
	const claims, atOnce = 1000, 100
	a := newAccount(t)
	c := a.cloud()
	catalog := a.catalog(c.Provider)
	all := map[string][]cloudprovider.Offering{} // by capacity type
	for _, it := range catalog.InstanceTypes {
		for _, o := range it.Offerings {
			if o.Tenancy != "" {
				continue // no claim has offerings of two tenancies
			}
			if n := len(all[o.CapacityType]); n%5 == 0 {
				a.sim.RunShort(ec2sim.Shortage{Pool: o, Left: 20 * (n / 5 % 2)})
			}
			all[o.CapacityType] = append(all[o.CapacityType], o)
		}
	}
	a.sim.ThrottleOdds("", 0.3)
	before := a.sim.AllCalls()
	l := &launches{T: t, Cloud: c, machines: map[string]string{}}
	next := make(chan *v1.NodeClaim)
	var group sync.WaitGroup
	for range atOnce {
		group.Go(func() {
			for claim := range next {
				l.launch(claim)
			}
		})
	}
	for _, claim := range batch(claims, all, grouped) {
		next <- claim
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
	if calls["DescribeInstances"] > 10 || calls["CreateLaunchTemplate"] > 200 || calls["CreateTags"] > 0 {
		t.Errorf("calls are made for each claim beside the one that buys: %v", calls)
	}
	// Each launch asks once for what is spot and once for what is on demand at the most, and the SDK tries twice.
	if most := 2 * 2 * l.tries; calls["CreateFleet"] > most {
		t.Errorf("%d fleets for %d launches", calls["CreateFleet"], l.tries)
	}
	return calls
}

// batch is a number of claims of ten kinds, as the provisioner makes them.
func batch(n int, all map[string][]cloudprovider.Offering, grouped bool) (claims []*v1.NodeClaim) {
	for i := range n {
		var wanted []string
		for _, kind := range []string{cloudprovider.Spot, cloudprovider.OnDemand} {
			for j := range 3 {
				wanted = append(wanted, all[kind][(i%10+4*j)%len(all[kind])].String())
			}
		}
		claim := &v1.NodeClaim{}
		claim.Name = fmt.Sprintf("claim-%d", i)
		claim.Labels = map[string]string{v1.LabelNodePool: "pool"}
		claim.Annotations = map[string]string{v1.AnnotationOfferings: strings.Join(wanted, ",")}
		claims = append(claims, claim)
	}
	if grouped {
		v1.GroupLaunches(claims)
	}
	return claims
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
func (l *launches) launch(c *v1.NodeClaim) {
	claim := c.Name
	q := cloudprovider.LaunchRequest{
		Claim: claim, UID: "uid-of-" + claim, Class: l.Class, NodePool: "pool", Offerings: problem.Offerings(c), Labels: c.Labels,
		Taints: []cloudprovider.Taint{{Key: "karpenter.sh/unregistered", Effect: "NoExecute"}}, Group: cloudprovider.LaunchGroup(v1.LaunchGroupOf(c)),
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
