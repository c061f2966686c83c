package corpus

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/stowage-sh/stowage/binpack"
	"github.com/stowage-sh/stowage/provisioner/consolidate"
)

// TestCommandsHold carries out the commands of a plan one after the other, as kube-scheduler's plugins
// see it: they let all pods in, and what stands in the end costs what was planned.
func TestCommandsHold(t *testing.T) {
	for name, list := range map[string]func(int) []*corev1.Pod{"menus": Menus, "mixed": MixedConstraints, "preferring": Preferring} {
		t.Run(name, func(t *testing.T) {
			m, err := Embedded("", Options{MaxCPU: 16})
			if err != nil {
				t.Fatal(err)
			}
			s, err := m.Thinned(list(2000), 0.35, 1)
			if err != nil {
				t.Fatal(err)
			}
			plan, err := consolidate.Make(t.Context(), s.Input, s.Nodes)
			if err != nil {
				t.Fatal(err)
			}
			opened := map[int]string{}
			for i := range plan.Commands {
				c := &plan.Commands[i]
				before := cost(s)
				if err := s.Carry(plan, c, opened); err != nil {
					t.Fatalf("command %d of %d: %v", i, len(plan.Commands), err)
				}
				if saved := before - cost(s); saved <= 0 || saved != c.Savings {
					t.Errorf("command %d saves %v: it was to save %v", i, saved, c.Savings)
				}
			}
			after := cost(s)
			t.Logf("%d commands: %v, planned %v, now %v, at least %v", len(plan.Commands), plan.Before, plan.After, after, plan.LowerBound)
			if after != plan.After || len(plan.Commands) == 0 {
				t.Errorf("the cluster costs %v, planned were %v", after, plan.After)
			}
		})
	}
}

func cost(s *Standing) (sum binpack.MicroUSD) {
	for _, n := range s.Nodes {
		sum += n.Price
	}
	return sum
}
