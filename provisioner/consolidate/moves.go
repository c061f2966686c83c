package consolidate

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/stowage-sh/stowage/provisioner/problem"
)

// Moves are those of some commands, by index, off the nodes that leave. New nodes of commands before them
// are the NodeClaims that opened names. The Launches are p's own, each with the pods of these commands alone.
func (p *Plan) Moves(commands []int, opened map[int]string, leaves func(node string) bool) *problem.Moves {
	m := &problem.Moves{}
	onto := map[problem.Machine][]*corev1.Pod{}
	launches := map[int]*problem.Launch{}
	for _, i := range commands {
		c := &p.Commands[i]
		going := map[string]bool{}
		for _, n := range c.Nodes {
			if going[n.Node.Name] = leaves(n.Node.Name); going[n.Node.Name] {
				m.Leaving = append(m.Leaving, n.Claim)
			}
		}
		for _, index := range c.New {
			launches[index] = &p.New[index]
			launches[index].Pods = nil
			m.Launches = append(m.Launches, launches[index])
		}
		for _, move := range c.Moves {
			switch l := launches[move.New]; {
			case !going[move.Pod.Spec.NodeName]:
			case move.To != nil:
				onto[move.To.Machine()] = append(onto[move.To.Machine()], move.Pod)
			case l != nil:
				l.Pods = append(l.Pods, move.Pod)
			default:
				at := problem.Machine{NodeClaim: opened[move.New]}
				onto[at] = append(onto[at], move.Pod)
			}
		}
	}
	m.Onto = problem.InOrder(onto)
	return m
}
