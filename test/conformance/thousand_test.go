package conformance_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/cloudprovider/aws"
	"github.com/stowage-sh/stowage/provisioner/problem"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/test/conformance"
	"github.com/stowage-sh/stowage/test/ec2sim"
)

// TestThousandLaunches: while 30 % of all calls are throttled, and a fifth of the offerings has run out or is about
// to, each of 1,000 claims gets one machine: by a call for each, and by one for each group of those that the provisioner would have
// made together.
func TestThousandLaunches(t *testing.T) {
	alone, together := thousand(t, false, false), thousand(t, true, false)
	for _, action := range slices.Sorted(maps.Keys(alone)) {
		t.Logf("%s: %d calls for each claim alone, %d in groups", action, len(alone[action]), len(together[action]))
	}
	if n, most := len(together["CreateFleet"]), len(alone["CreateFleet"])/10; n > most {
		t.Errorf("%d fleets are asked for in groups, %d for each claim alone", n, len(alone["CreateFleet"]))
	}
}

// TestThousandLaunchesWithinLimits: paced as the controller's, and never throttled so that nothing else slows them down, the calls for 1,000
// claims in groups draw on no bucket more than AWS documents.
func TestThousandLaunchesWithinLimits(t *testing.T) {
	calls := thousand(t, true, true)
	for _, action := range slices.Sorted(maps.Keys(calls)) {
		at := calls[action]
		limit, known := aws.LimitOf("ec2", action)
		t.Logf("%s: %d calls, %d in the busiest second, of %d and %d a second more", action, len(at), busiest(at), limit.Capacity, limit.PerSecond)
		if i := overdrawn(limit, at); !known || i >= 0 {
			t.Errorf("%s: call %d is more than %+v lets through", action, i+1, limit)
		}
	}
}

// thousand launches 1,000 claims and returns when each action was called. Calls are paced, or 30 % of them are throttled.
func thousand(t *testing.T, grouped, paced bool) map[string][]time.Time {
	const claims, atOnce = 1000, 100
	a := newAccount(t)
	tries := 2 // by the SDK
	if paced {
		pace := &aws.Pace{}
		config := a.config.Copy()
		config.Retryer = func() sdk.Retryer { return pace }
		a.ec2, tries = ec2.NewFromConfig(config), pace.MaxAttempts()
	}
	c := a.cloud()
	all := shorten(a, a.catalog(c.Provider))
	if !paced {
		a.sim.ThrottleOdds("", 0.3)
	}
	a.sim.Record(true)
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
	calls := map[string][]time.Time{}
	for _, r := range a.sim.Requests("") {
		calls[r.Action] = append(calls[r.Action], r.At)
	}
	if len(calls["DescribeInstances"]) > 10 || len(calls["CreateLaunchTemplate"]) > 200 || len(calls["CreateTags"]) > 0 {
		t.Error("calls are made for each claim beside the one that buys")
	}
	// Each launch asks once for what is spot and once for what is on demand at the most.
	if n, most := len(calls["CreateFleet"]), 2*tries*l.tries; n > most {
		t.Errorf("%d fleets for %d launches", n, l.tries)
	}
	return calls
}

// shorten has a fifth of a catalog's offerings run out, or be about to, and returns all by capacity type.
func shorten(a *account, catalog *cloudprovider.Catalog) map[string][]cloudprovider.Offering {
	all := map[string][]cloudprovider.Offering{}
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
	return all
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
