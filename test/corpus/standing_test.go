package corpus

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stowage-sh/stowage/binpack"
	"github.com/stowage-sh/stowage/provisioner/consolidate"
)

// ruled are n pods of Deployments most of which bind their pods to others as tightly as they can be bound.
func ruled(n int) []*corev1.Pod {
	r := random("ruled")
	return deployments(n, "ruled", func(i int) deployment {
		d := deployment{replicas: min(replicas(r), 12)}
		d.cpuMilli, d.memory = menu(r)
		d.shape = func(p *corev1.Pod) {
			switch i % 8 {
			case 0:
				spread(p, corev1.LabelTopologyZone, 1, p.Labels)
				separate(p)
			case 1:
				separate(p)
			case 2:
				spread(p, corev1.LabelHostname, 1, p.Labels)
			case 3:
				p.Spec.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: 80, HostPort: int32(8000 + i%3)}}
			case 4:
				together(p, corev1.LabelHostname)
			case 5:
				together(p, corev1.LabelTopologyZone)
			case 6:
				spread(p, corev1.LabelTopologyZone, 1, p.Labels)
				spread(p, corev1.LabelHostname, 2, p.Labels)
			}
		}
		return d
	})
}

// TestCommandsHold carries out the commands of a plan one after the other, as kube-scheduler's plugins
// see it: they let all pods in, and what stands in the end costs what was planned. Then the cluster is at rest, or nearly:
// another plan finds little more that pays, and a third less.
func TestCommandsHold(t *testing.T) {
	for _, test := range []struct {
		name    string
		list    func(int) []*corev1.Pod
		payback time.Duration
		most    int // nodes in a command; 0 for any number
	}{
		{name: "menus", list: Menus},
		{name: "menus", list: Menus, payback: time.Hour, most: 1},
		{name: "mixed", list: MixedConstraints},
		{name: "mixed", list: MixedConstraints, payback: time.Hour},
		{name: "preferring", list: Preferring, payback: 15 * time.Minute},
		{name: "ruled", list: ruled, most: 2},
		{name: "ruled", list: ruled, payback: time.Hour},
	} {
		t.Run(fmt.Sprintf("%s/payback=%v/most=%d", test.name, test.payback, test.most), func(t *testing.T) {
			m, err := Embedded("", Options{MaxCPU: 16})
			if err != nil {
				t.Fatal(err)
			}
			s, err := m.Thinned(test.list(1200), 0.35, 1)
			if err != nil {
				t.Fatal(err)
			}
			s.Terms.Payback = test.payback
			if test.most > 0 {
				s.Terms.Most = test.most
			}
			first, commands := s.mustCarry(t)
			if commands == 0 {
				t.Error("nothing was found")
			}
			again, _ := s.mustCarry(t)
			if again > first/20 {
				t.Errorf("%v were saved, and then %v more: that is no rest", first, again)
			}
			third, _ := s.mustCarry(t)
			if third > again || third > first/100 {
				t.Errorf("%v were saved, then %v, then %v more: that is no rest", first, again, third)
			}
		})
	}
}

// mustCarry makes a plan and carries it out. It returns what that saves, by how many commands.
func (s *Standing) mustCarry(t *testing.T) (savings binpack.MicroUSD, commands int) {
	t.Helper()
	plan, err := consolidate.Make(t.Context(), s.Input, s.Nodes)
	if err != nil {
		t.Fatal(err)
	}
	opened, evictions := map[int]string{}, 0
	for i := range plan.Commands {
		c := &plan.Commands[i]
		before := cost(s)
		if err := s.Carry(plan, i, opened); err != nil {
			t.Fatalf("command %d of %d: %v", i, len(plan.Commands), err)
		}
		if saved := before - cost(s); saved <= 0 || saved != c.Savings {
			t.Errorf("command %d saves %v: it was to save %v", i, saved, c.Savings)
		}
		if s.Terms.Payback > 0 && c.Payback() > s.Terms.Payback {
			t.Errorf("command %d pays back in %v", i, c.Payback())
		}
		if len(c.Nodes) > s.Terms.Most {
			t.Errorf("command %d has %d nodes", i, len(c.Nodes))
		}
		evictions += c.Evictions
	}
	if after := cost(s); after != plan.After {
		t.Errorf("the cluster costs %v, planned were %v", after, plan.After)
	}
	t.Logf("%d commands, %d evictions: %v, now %v, at least %v", len(plan.Commands), evictions, plan.Before, plan.After, plan.LowerBound)
	return plan.Before - plan.After, len(plan.Commands)
}

func cost(s *Standing) (sum binpack.MicroUSD) {
	for _, n := range s.Nodes {
		sum += n.Price
	}
	return sum
}
