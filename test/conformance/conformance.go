// Package conformance says what every [cloudprovider.Provider] does, as tests:
// those of EC2 run it against the simulator, and a provider made for simulations
// runs the same. It is not a test of any provider's own ways.
package conformance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// A Cloud is a provider under test, and the hands that a test needs to make
// things happen around it. A nil hand means that the cloud cannot do that; the
// tests that need it are left out.
type Cloud struct {
	// Provider under test.
	Provider cloudprovider.Provider
	// Class that can be launched from. Its catalog has at least three offerings of
	// each capacity type, in two zones.
	Class cloudprovider.NodeClassRef
	// Restart returns the provider of a new process: the cloud is the same, all
	// that was in memory is gone.
	Restart func() cloudprovider.Provider
	// RunOut makes an offering run out.
	RunOut func(cloudprovider.Offering)
	// Hide makes what is made from now on unseen for a while: by List, and by
	// launches, which may fail for that until they are repeated.
	Hide func()
	// LoseReply makes the next launch take effect without its caller knowing.
	LoseReply func()
	// Throttle refuses some calls from now on, for being too many.
	Throttle func()
	// Change changes something about the class that offerings do not show, so that
	// a launch cannot be repeated word for word.
	Change func()
}

// Run runs the tests, each on a cloud of its own.
func Run(t *testing.T, newCloud func(t *testing.T) *Cloud) {
	for _, c := range cases {
		cloud := newCloud(t)
		if c.needs != nil && !c.needs(cloud) {
			continue
		}
		t.Run(c.name, func(t *testing.T) { c.run(&run{T: t, Cloud: cloud}) })
	}
}

type run struct {
	*testing.T
	*Cloud
}

var cases = []struct {
	name  string
	needs func(*Cloud) bool
	run   func(*run)
}{
	{"catalog is in order", nil, catalogInOrder},
	{"unknown class is not ready", nil, unknownClass},
	{"launch gives what was asked for", nil, launchGives},
	{"launch twice gives one instance", nil, launchTwice},
	{"launch at once gives one instance", nil, launchAtOnce},
	{"two claims of one name are two", nil, sameName},
	{"terminate is idempotent", nil, terminateTwice},
	{"many terminations at once", nil, terminateMany},
	{"restart finds the instance", func(c *Cloud) bool { return c.Restart != nil }, restart},
	{"restart finds what changed", func(c *Cloud) bool { return c.Restart != nil && c.Change != nil && c.Hide != nil }, restartChanged},
	{"lost reply", func(c *Cloud) bool { return c.LoseReply != nil }, lostReply},
	{"next offering in order", func(c *Cloud) bool { return c.RunOut != nil }, nextOffering},
	{"nothing left", func(c *Cloud) bool { return c.RunOut != nil }, nothingLeft},
	{"list is eventually whole", func(c *Cloud) bool { return c.Hide != nil }, listEventually},
	{"what was launched has not drifted", nil, launchedIsNotDrifted},
	{"throttling", func(c *Cloud) bool { return c.Throttle != nil }, throttled},
	{"a group gets one instance each", nil, groupGets},
	{"restart in a group", func(c *Cloud) bool { return c.Restart != nil }, groupRestart},
	{"restart in a group finds what changed", func(c *Cloud) bool { return c.Restart != nil && c.Change != nil && c.Hide != nil }, groupRestartChanged},
	{"lost reply to a group", func(c *Cloud) bool { return c.LoseReply != nil }, groupLostReply},
	{"next offering of a group", func(c *Cloud) bool { return c.RunOut != nil }, groupNextOffering},
	{"nothing left for a group", func(c *Cloud) bool { return c.RunOut != nil }, groupNothingLeft},
	{"throttling of a group", func(c *Cloud) bool { return c.Throttle != nil }, groupThrottled},
}

// request asks for offerings under a claim's name, which is its UID as well.
func (r *run) request(claim string, offerings ...cloudprovider.Offering) cloudprovider.LaunchRequest {
	return cloudprovider.LaunchRequest{
		Claim: claim, UID: "uid-of-" + claim, Class: r.Class, NodePool: "pool", Offerings: offerings,
		Labels: map[string]string{"karpenter.sh/nodepool": "pool"},
		Taints: []cloudprovider.Taint{{Key: "karpenter.sh/unregistered", Effect: "NoExecute"}},
	}
}

// offerings returns n offerings of a capacity type, of as many types.
func (r *run) offerings(capacityType string, n int) []cloudprovider.Offering {
	r.Helper()
	var out []cloudprovider.Offering
	for _, it := range r.catalog().InstanceTypes {
		for _, o := range it.Offerings {
			if o.CapacityType == capacityType && len(out) < n {
				out = append(out, o)
				break
			}
		}
	}
	if len(out) < n {
		r.Fatalf("the catalog has %d types as %s, want %d", len(out), capacityType, n)
	}
	return out
}

func (r *run) catalog() *cloudprovider.Catalog {
	r.Helper()
	c, err := r.Provider.Catalog(r.Context(), r.Class)
	if err != nil {
		r.Fatalf("Catalog: %v", err)
	}
	return c
}

func (r *run) launch(q cloudprovider.LaunchRequest) cloudprovider.Instance {
	r.Helper()
	i, err := r.Provider.Launch(r.Context(), q)
	if err != nil {
		r.Fatalf("Launch(%s): %v", q.Claim, err)
	}
	return i
}

// list returns what List says once ok, for eventually consistent clouds.
func (r *run) list(ok func([]cloudprovider.Instance) bool) []cloudprovider.Instance {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), 30*time.Second)
	defer cancel()
	for {
		got, err := r.Provider.List(ctx)
		if err != nil {
			r.Fatalf("List: %v", err)
		}
		if ok(got) {
			return got
		}
		select {
		case <-ctx.Done():
			r.Fatalf("List never became what was waited for; last: %v", ids(got))
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// count waits until List has n instances.
func (r *run) count(n int) []cloudprovider.Instance {
	r.Helper()
	return r.list(func(l []cloudprovider.Instance) bool { return len(alive(l)) == n })
}

// alive leaves out instances that are on their way out.
func alive(l []cloudprovider.Instance) []cloudprovider.Instance {
	return slices.DeleteFunc(slices.Clone(l), func(i cloudprovider.Instance) bool { return i.State == cloudprovider.Stopping })
}

func ids(l []cloudprovider.Instance) []string {
	var out []string
	for _, i := range l {
		out = append(out, i.ID)
	}
	return out
}

func catalogInOrder(r *run) {
	c := r.catalog()
	if !slices.IsSortedFunc(c.InstanceTypes, func(a, b cloudprovider.InstanceType) int { return cmp.Compare(a.Name, b.Name) }) {
		r.Error("instance types are not sorted by name")
	}
	for _, it := range c.InstanceTypes {
		if !slices.IsSortedFunc(it.Offerings, cloudprovider.Offering.Compare) {
			r.Errorf("%s: offerings are not in order", it.Name)
		}
		for _, o := range it.Offerings {
			if o.InstanceType != it.Name {
				r.Errorf("%s has an offering of %s", it.Name, o)
			}
		}
		for resource, n := range it.Allocatable {
			if n > it.Capacity[resource] {
				r.Errorf("%s: allocatable %s %d is above its capacity %d", it.Name, resource, n, it.Capacity[resource])
			}
		}
	}
}

func unknownClass(r *run) {
	q := r.request("nowhere", r.offerings(cloudprovider.OnDemand, 1)...)
	q.Class.Name = "no-such-class"
	if _, err := r.Provider.Catalog(r.Context(), q.Class); !notReady(err) {
		r.Errorf("Catalog of an unknown class: %v, want a NotReadyError", err)
	}
	if _, err := r.Provider.Launch(r.Context(), q); !notReady(err) {
		r.Errorf("Launch from an unknown class: %v, want a NotReadyError", err)
	}
	r.count(0)
}

func notReady(err error) bool {
	_, ok := errors.AsType[*cloudprovider.NotReadyError](err)
	return ok
}

func launchGives(r *run) {
	want := r.offerings(cloudprovider.OnDemand, 3)
	got := r.launch(r.request("one", want...))
	if !slices.Contains(want, got.Offering) {
		r.Errorf("got %s, which was not asked for", got.Offering)
	}
	if got.ID == "" || got.ProviderID == "" || got.ImageID == "" {
		r.Errorf("ID %q, provider ID %q, image %q: none may be empty", got.ID, got.ProviderID, got.ImageID)
	}
	listed := r.count(1)[0]
	if listed.ID != got.ID || listed.ProviderID != got.ProviderID || listed.Offering != got.Offering {
		r.Errorf("List has %s as %s (%s), Launch said %s as %s (%s)", listed.ID, listed.Offering, listed.ProviderID, got.ID, got.Offering, got.ProviderID)
	}
	if listed.Claim != "one" || listed.NodePool != "pool" {
		r.Errorf("the instance belongs to claim %q of NodePool %q, want one of pool", listed.Claim, listed.NodePool)
	}
}

func launchedIsNotDrifted(r *run) {
	want := r.offerings(cloudprovider.OnDemand, 3)
	for n, o := range want {
		r.launch(r.request(fmt.Sprint("claim-", n), o))
	}
	c := r.catalog()
	for _, i := range r.count(len(want)) {
		kind, _ := c.InstanceType(i.Offering.InstanceType)
		if d, known := r.Provider.Drift(cloudprovider.DriftQuery{Class: r.Class, Instance: i, Annotations: i.Annotations, Type: kind}); d.Reason != "" || !known {
			r.Errorf("%s, just launched: known %v, %s: %s", i.ID, known, d.Reason, d.Message)
		}
	}
}

func launchTwice(r *run) {
	q := r.request("one", r.offerings(cloudprovider.Spot, 3)...)
	first, second := r.launch(q), r.launch(q)
	if first.ID != second.ID {
		r.Errorf("two launches of one claim gave %s and %s", first.ID, second.ID)
	}
	r.count(1)
}

func launchAtOnce(r *run) {
	q := r.request("one", r.offerings(cloudprovider.OnDemand, 3)...)
	got := make([]string, 8)
	var wg sync.WaitGroup
	for n := range got {
		wg.Go(func() {
			i, err := r.Provider.Launch(r.Context(), q)
			if err != nil {
				r.Errorf("Launch: %v", err)
			}
			got[n] = i.ID
		})
	}
	wg.Wait()
	if slices.Sort(got); got[0] != got[len(got)-1] {
		r.Errorf("launches of one claim at once gave %v", got)
	}
	r.count(1)
}

func sameName(r *run) {
	q := r.request("one", r.offerings(cloudprovider.OnDemand, 2)...)
	first := r.launch(q)
	q.UID = "another"
	if second := r.launch(q); second.ID == first.ID {
		r.Errorf("two claims that had one name, one after the other, share %s", first.ID)
	}
	r.count(2)
}

func terminateTwice(r *run) {
	i := r.launch(r.request("one", r.offerings(cloudprovider.OnDemand, 1)...))
	for range 2 {
		if err := r.Provider.Terminate(r.Context(), i.ID); err != nil {
			r.Fatalf("Terminate: %v", err)
		}
	}
	r.count(0)
	if err := r.Provider.Terminate(r.Context(), "i-0123456789abcdef0"); err != nil {
		r.Errorf("terminating an instance that never was: %v", err)
	}
}

func terminateMany(r *run) {
	offerings := r.offerings(cloudprovider.OnDemand, 3)
	targets := []string{"i-0123456789abcdef0"} // gone, and must not spoil it for the others
	for n := range 12 {
		targets = append(targets, r.launch(r.request(fmt.Sprint("claim-", n), offerings...)).ID)
	}
	r.count(12)
	var wg sync.WaitGroup
	for _, id := range targets {
		wg.Go(func() {
			if err := r.Provider.Terminate(r.Context(), id); err != nil {
				r.Errorf("Terminate(%s): %v", id, err)
			}
		})
	}
	wg.Wait()
	r.count(0)
}

func restart(r *run) {
	q := r.request("one", r.offerings(cloudprovider.Spot, 2)...)
	first := r.launch(q)
	r.Provider = r.Restart()
	if second := r.launch(q); second.ID != first.ID {
		r.Errorf("the claim had %s, and got %s after a restart", first.ID, second.ID)
	}
	r.count(1)
}

// restartChanged is the crash between the launch and the status write, while
// the list does not show the instance yet and the request cannot be repeated as
// it was.
func restartChanged(r *run) {
	q := r.request("one", r.offerings(cloudprovider.OnDemand, 2)...)
	r.Hide()
	first := r.eventually(q)
	r.Change()
	r.Provider = r.Restart()
	second := r.eventually(q)
	if second.ID != first.ID {
		r.Errorf("the claim had %s, and got %s after a restart", first.ID, second.ID)
	}
	r.count(1)
}

// eventually launches as a controller does: again after an error.
func (r *run) eventually(q cloudprovider.LaunchRequest) cloudprovider.Instance {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), 30*time.Second)
	defer cancel()
	for {
		i, err := r.Provider.Launch(ctx, q)
		if err == nil {
			return i
		}
		select {
		case <-ctx.Done():
			r.Fatalf("Launch(%s) never succeeded; last: %v", q.Claim, err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func lostReply(r *run) {
	q := r.request("one", r.offerings(cloudprovider.OnDemand, 3)...)
	r.LoseReply()
	r.eventually(q)
	r.count(1)
}

func nextOffering(r *run) {
	spot, onDemand := r.offerings(cloudprovider.Spot, 2), r.offerings(cloudprovider.OnDemand, 1)
	for _, o := range spot {
		r.RunOut(o)
	}
	got := r.launch(r.request("one", append(spot, onDemand...)...))
	if got.Offering != onDemand[0] {
		r.Errorf("got %s, want %s, the only one left", got.Offering, onDemand[0])
	}
	r.count(1)
}

func nothingLeft(r *run) {
	all := append(r.offerings(cloudprovider.Spot, 2), r.offerings(cloudprovider.OnDemand, 2)...)
	for _, o := range all {
		r.RunOut(o)
	}
	_, err := r.Provider.Launch(r.Context(), r.request("one", all...))
	ice, ok := errors.AsType[*cloudprovider.InsufficientCapacityError](err)
	if !ok {
		r.Fatalf("Launch: %v, want an InsufficientCapacityError", err)
	}
	if !slices.Equal(ice.Offerings, all) {
		r.Errorf("refused were %v, want %v", ice.Offerings, all)
	}
	r.count(0)
}

func listEventually(r *run) {
	r.Hide()
	want := r.eventually(r.request("one", r.offerings(cloudprovider.OnDemand, 1)...))
	if got := r.count(1); got[0].ID != want.ID {
		r.Errorf("List has %s, want %s", got[0].ID, want.ID)
	}
	if !slices.IsSorted(ids(r.count(1))) {
		r.Error("List is not sorted by ID")
	}
}

func throttled(r *run) {
	q := r.request("one", r.offerings(cloudprovider.OnDemand, 2)...)
	r.Throttle()
	r.eventually(q)
	r.count(1)
}
