package provision

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stowage-sh/stowage/binpack"
	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/provisioner/problem"
)

// Where pods that move go is for kube-scheduler to say. It places a pod as soon as its controller has
// made it, before anybody can nominate it to the place that was decided, and by default prefers the nodes
// with the most room. A plan that fills nodes to the brim does not come true like that: pods take the
// places of others that fit nowhere else, for which another node is bought, and what was to be saved is
// not. So a plan has to hold for that as well: each pod finds room, though all go to where there is most.

// A site is a machine that pods may land on.
type site struct {
	free binpack.Vector
	of   binpack.Vector // when it is empty
	may  func(group int) bool
}

// scored are the resources that kube-scheduler's default score looks at.
func scored(t *problem.Translation) (at []int) {
	for i, name := range t.Problem.Resources {
		if name == string(corev1.ResourceCPU) || name == string(corev1.ResourceMemory) {
			at = append(at, i)
		}
	}
	return at
}

// strays says of the pods that would find no room if all that move went to the machines with the most. The
// smallest come first, which is the worst: nobody knows in which order they will come.
func strays(t *problem.Translation, launches []problem.Launch, stuck map[types.UID]string) {
	sites, looks := sitesOf(t, launches, stuck), scored(t)
	type arrival struct {
		pod   *corev1.Pod
		group int
	}
	var all []arrival
	for g, pods := range t.Pods {
		for _, p := range pods {
			if stuck[p.UID] == "" {
				all = append(all, arrival{p, g})
			}
		}
	}
	slices.SortFunc(all, func(a, b arrival) int {
		return cmp.Or(slices.Compare(t.Problem.Groups[a.group].Requests, t.Problem.Groups[b.group].Requests), cmp.Compare(a.pod.UID, b.pod.UID))
	})
	for _, a := range all {
		wants := t.Problem.Groups[a.group].Requests
		var best *site
		for i := range sites {
			if s := &sites[i]; s.may(a.group) && s.holds(wants) && (best == nil || s.before(best, looks)) {
				best = s
			}
		}
		if best == nil {
			stuck[a.pod.UID] = "kube-scheduler may give its place to others, and there is no other"
			continue
		}
		for r, q := range wants {
			best.free[r] -= q
		}
	}
}

// sitesOf are the machines that are there or on their way, and those to be bought. The pods of one that is not to be
// had are stuck.
func sitesOf(t *problem.Translation, launches []problem.Launch, stuck map[types.UID]string) (sites []site) {
	for i := range t.Bins {
		free := t.Problem.Nodes[i].Free
		s := site{free: slices.Clone(free), of: free, may: func(g int) bool { return t.Problem.Groups[g].Nodes.Has(i) }}
		if n := t.Bins[i].Node; n != nil {
			s.of = vector(t, problem.Amounts(n.Status.Allocatable))
		}
		sites = append(sites, s)
	}
	for i := range launches {
		at := rowOf(t, &launches[i])
		if at < 0 {
			for _, p := range launches[i].Pods {
				stuck[p.UID] = "its place, a new " + launches[i].Rows[0].Offering.String() + ", is not to be had any more"
			}
			continue
		}
		offer := &t.Problem.Offers[at]
		sites = append(sites, site{free: offer.Room(), of: offer.Capacity, may: func(g int) bool { return t.Problem.Groups[g].Offers.Has(at) }})
	}
	return sites
}

func vector(t *problem.Translation, r cloudprovider.Resources) binpack.Vector {
	v := make(binpack.Vector, len(t.Problem.Resources))
	for i, name := range t.Problem.Resources {
		v[i] = r[name]
	}
	return v
}

// before reports whether kube-scheduler would rather take a site: the one with the larger part free. Of equals,
// which it draws lots for, the smaller is the worse place to land on, and the same one each time a plan is looked at.
func (s *site) before(other *site, resources []int) bool {
	if a, b := s.share(resources), other.share(resources); a != b {
		return a > b
	}
	return slices.Compare(s.of, other.of) < 0
}

// share is how large a part of a machine is free, summed over some resources, by which kube-scheduler's
// NodeResourcesFit ranks machines.
func (s *site) share(resources []int) (sum float64) {
	for _, r := range resources {
		sum += float64(s.free[r]) / float64(max(1, s.of[r]))
	}
	return sum
}

func (s *site) holds(wants binpack.Vector) bool {
	for r, q := range wants {
		if q > s.free[r] {
			return false
		}
	}
	return true
}
