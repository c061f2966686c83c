package sim_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stowage-sh/stowage/cloudprovider"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
	"github.com/stowage-sh/stowage/test/sim"
)

// taken counts the living machines by the reservation that they are from; "" is what was bought.
func (s *scene) taken() map[string]int {
	n := map[string]int{}
	for _, m := range s.Cloud.Alive() {
		n[m.Offering.Reservation]++
	}
	return n
}

// onlyReserved pods accept no other machines.
func onlyReserved(p *corev1.Pod) {
	p.Spec.NodeSelector = map[string]string{v1.LabelCapacityType: cloudprovider.Reserved}
}

// onlySmall lets the NodePool have machines of one size, which hold one of the pods here.
func (s *scene) onlySmall() {
	s.edit(func(p *v1.NodePool) {
		p.Spec.Template.Spec.Requirements = []v1.Requirement{{Key: corev1.LabelInstanceTypeStable, Operator: corev1.NodeSelectorOpIn, Values: []string{"general-02"}}}
	})
}

// TestReservedComesFirst: three machines are reserved and five wanted, so two are bought. The nodes
// say where they are from, and what is given back is taken again.
func TestReservedComesFirst(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.Check(sim.ReservedOnce)
		s.Cloud.Reserve("cr-1", "general-02", "zone-a", 3)
		s.onlySmall()
		s.consolidate("1m", v1.Budget{Nodes: "100%"})
		s.pods(5, "web", "1500m", "1Gi")
		s.untilBound(3*time.Minute, "web", 5)
		if n := s.taken(); n["cr-1"] != 3 || n[""] != 2 {
			t.Errorf("machines by reservation: %v", n)
		}
		for _, n := range s.joined(5) {
			want, is := "", n.Labels[v1.LabelCapacityType]
			if is == cloudprovider.Reserved {
				want = "cr-1"
			}
			if got := n.Labels[sim.LabelReservation]; got != want {
				t.Errorf("a node of capacity type %s is from reservation %q", is, got)
			}
		}
		for _, p := range sim.List[*corev1.Pod](s.API) {
			s.delete(p)
		}
		s.until(time.Hour, "all is given back", func() bool { return len(s.Cloud.Alive()) == 0 && len(sim.List[*corev1.Node](s.API)) == 0 })
		s.pods(2, "again", "1500m", "1Gi", onlyReserved)
		s.untilBound(3*time.Minute, "again", 2)
	})
}

// TestReservedIsPromisedOnce: as long as nothing can be launched, NodeClaims are written and keep what
// they count on, over a restart too; pods that come then get other machines.
func TestReservedIsPromisedOnce(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.Check(sim.ReservedOnce)
		s.Cloud.Reserve("cr-1", "general-02", "zone-a", 2)
		s.Cloud.Reserve("cr-2", "general-02", "zone-b", 1)
		s.onlySmall()
		s.could = nothing // kube-scheduler may put those who accept any machine on those of others
		s.Cloud.LaunchError = errors.New("EC2 is down")
		claims := func(n int) func() bool {
			return func() bool { return len(sim.List[*v1.NodeClaim](s.API)) == n }
		}
		s.pods(2, "first", "1500m", "1Gi", onlyReserved)
		s.until(time.Minute, "two NodeClaims", claims(2))
		s.restart()
		s.pods(2, "second", "1500m", "1Gi")
		s.until(time.Minute, "four NodeClaims", claims(4))
		s.pods(1, "third", "1500m", "1Gi", onlyReserved)
		s.until(time.Minute, "the last pod is told", func() bool {
			return strings.Contains(s.told("third-0"), "reserved capacity cr-1 is used up") && strings.Contains(s.told("third-0"), "reserved capacity cr-2 is used up")
		})
		s.Cloud.LaunchError = nil
		s.until(time.Minute, "four machines", func() bool { return len(s.Cloud.Alive()) == 4 })
		if n := s.taken(); n["cr-1"] != 2 || n["cr-2"] != 1 || n[""] != 1 {
			t.Errorf("machines by reservation: %v", n)
		}
	})
}

// TestReservedIsRefused: others have taken what is reserved. Who accepts other machines gets one; who
// does not waits, is told why, and is served when there is some again.
func TestReservedIsRefused(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.could = func(p *corev1.Pod) bool { return len(p.Spec.NodeSelector) == 0 && fitsSomething(p) }
		s.Check(sim.ReservedOnce)
		o := s.Cloud.Reserve("cr-1", "general-02", "zone-a", 5)
		s.Cloud.Empty[o] = true
		s.pods(1, "any", "1500m", "1Gi")
		s.pods(2, "only", "1500m", "1Gi", onlyReserved)
		s.untilBound(3*time.Minute, "any", 1)
		s.until(time.Minute, "those who insist are told", func() bool { return strings.Contains(s.told("only-0"), "reserved capacity cr-1 is used up") })
		if n := s.taken(); n["cr-1"] != 0 || n[""] != 1 {
			t.Errorf("machines by reservation: %v", n)
		}
		delete(s.Cloud.Empty, o)
		s.untilBound(10*time.Minute, "only", 2)
	})
}

// TestReservedOfStaticPools: its NodeClaims are made for no plan, and take what is reserved first, too.
func TestReservedOfStaticPools(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.Cloud.Reserve("cr-1", "general-04", "zone-b", 2)
		fixed := sim.NodePool("fixed")
		fixed.Spec.Replicas = new(int64(3))
		s.create(fixed)
		s.until(5*time.Minute, "three machines", func() bool { return len(s.Cloud.Alive()) == 3 })
		if n := s.taken(); n["cr-1"] != 2 {
			t.Errorf("machines by reservation: %v", n)
		}
	})
}

// TestNoReservationIsMadeUp: a NodeClaim made by hand for a reservation that is over gets no machine
// with that label.
func TestNoReservationIsMadeUp(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		s.Cloud.Catalogue.ReservationLabels = []string{sim.LabelReservation}
		claim := sim.NodeClaim(s.nodePool(), "by-hand")
		claim.Spec.Requirements = []v1.Requirement{{Key: sim.LabelReservation, Operator: corev1.NodeSelectorOpIn, Values: []string{"cr-9"}}}
		s.create(claim)
		s.until(time.Minute, "it is given up", func() bool {
			_, there := sim.Get[*v1.NodeClaim](s.API, "", "by-hand")
			return !there
		})
		s.wantLaunches(0)
	})
}

// TestReservationEnds: its machines run on, and their nodes and NodeClaims say that they are on
// demand. None is replaced for that.
func TestReservationEnds(t *testing.T) {
	eachSeed(t, func(t *testing.T, s *scene) {
		o := s.Cloud.Reserve("cr-1", "general-02", "zone-a", 2)
		s.onlySmall()
		s.pods(2, "web", "1500m", "1Gi")
		s.untilBound(3*time.Minute, "web", 2)
		s.pass(10 * time.Minute)
		s.Cloud.EndReservation(o)
		s.edit(func(p *v1.NodePool) { p.Spec.Weight = new(int32(7)) }) // at once all that may have drifted is looked at
		onDemand := func(labels map[string]string) bool {
			_, reserved := labels[sim.LabelReservation]
			return labels[v1.LabelCapacityType] == cloudprovider.OnDemand && !reserved
		}
		s.until(10*time.Minute, "nodes and NodeClaims are on demand", func() bool {
			n := 0
			for _, node := range sim.List[*corev1.Node](s.API) {
				if onDemand(node.Labels) {
					n++
				}
			}
			for _, claim := range sim.List[*v1.NodeClaim](s.API) {
				if onDemand(claim.Labels) {
					n++
				}
			}
			return n == 4
		})
		s.pass(time.Hour)
		s.wantLaunches(2)
	})
}
