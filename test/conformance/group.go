package conformance

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/stowage-sh/stowage/cloudprovider"
)

// members are the requests of a group of claims.
func (r *run) members(n int, offerings ...cloudprovider.Offering) []cloudprovider.LaunchRequest {
	r.Helper()
	var all []cloudprovider.LaunchRequest
	for i := range n {
		q := r.request(fmt.Sprint("member-", i), offerings...)
		q.Group = cloudprovider.LaunchGroup{ID: "0123abcd", Index: i, Size: n}
		all = append(all, q)
	}
	return all
}

// each launches all at once until each has got its instance, and sees that there is one for each.
func (r *run) each(all []cloudprovider.LaunchRequest) []cloudprovider.Instance {
	r.Helper()
	got := make([]cloudprovider.Instance, len(all))
	var wg sync.WaitGroup
	for i, q := range all {
		wg.Go(func() { got[i] = r.eventually(q) })
	}
	wg.Wait()
	seen := map[string]bool{}
	for i, instance := range got {
		if instance.Claim != all[i].Claim || !slices.Contains(all[i].Offerings, instance.Offering) {
			r.Errorf("%s has got an instance of %q as %s", all[i].Claim, instance.Claim, instance.Offering)
		}
		seen[instance.ID] = true
	}
	if len(seen) != len(all) {
		r.Errorf("%d claims share %d instances: %v", len(all), len(seen), ids(got))
	}
	return got
}

func groupGets(r *run) {
	all := r.members(5, r.offerings(cloudprovider.Spot, 3)...)
	first, second := r.each(all), r.each(all)
	if !slices.Equal(ids(first), ids(second)) {
		r.Errorf("two launches of one group gave %v and %v", ids(first), ids(second))
	}
	r.count(5)
}

func groupRestart(r *run) {
	all := r.members(5, r.offerings(cloudprovider.OnDemand, 2)...)
	before := r.each(all[2:4])
	r.Provider = r.Restart()
	if after := r.each(all); !slices.Equal(ids(after[2:4]), ids(before)) {
		r.Errorf("two claims had %v, and got %v after a restart", ids(before), ids(after[2:4]))
	}
	r.count(5)
}

// groupRestartChanged is the crash after some members of a group were launched, while the list shows none
// of its instances yet and the request cannot be repeated as it was.
func groupRestartChanged(r *run) {
	all := r.members(5, r.offerings(cloudprovider.OnDemand, 2)...)
	r.Hide()
	before := r.each(all[2:4])
	r.Change()
	r.Provider = r.Restart()
	if after := r.each(all); !slices.Equal(ids(after[2:4]), ids(before)) {
		r.Errorf("two claims had %v, and got %v after a restart", ids(before), ids(after[2:4]))
	}
	r.count(5)
}

func groupLostReply(r *run) {
	r.LoseReply()
	r.each(r.members(5, r.offerings(cloudprovider.OnDemand, 3)...))
	r.count(5)
}

func groupNextOffering(r *run) {
	spot, onDemand := r.offerings(cloudprovider.Spot, 2), r.offerings(cloudprovider.OnDemand, 1)
	for _, o := range spot {
		r.RunOut(o)
	}
	for _, got := range r.each(r.members(5, append(spot, onDemand...)...)) {
		if got.Offering != onDemand[0] {
			r.Errorf("got %s, want %s, the only one left", got.Offering, onDemand[0])
		}
	}
	r.count(5)
}

func groupNothingLeft(r *run) {
	all := append(r.offerings(cloudprovider.Spot, 2), r.offerings(cloudprovider.OnDemand, 2)...)
	for _, o := range all {
		r.RunOut(o)
	}
	for _, q := range r.members(3, all...) {
		_, err := r.Provider.Launch(r.Context(), q)
		if ice, ok := errors.AsType[*cloudprovider.InsufficientCapacityError](err); !ok || !slices.Equal(ice.Offerings, all) {
			r.Errorf("Launch(%s): %v, want an InsufficientCapacityError about all offerings", q.Claim, err)
		}
	}
	r.count(0)
}

func groupThrottled(r *run) {
	r.Throttle()
	r.each(r.members(5, r.offerings(cloudprovider.OnDemand, 2)...))
	r.count(5)
}
