package plan

import (
	"context"
	"fmt"
	"strings"

	"github.com/stowage-sh/stowage/provisioner/oracle"
	"github.com/stowage-sh/stowage/provisioner/problem"
)

// newNodePrefix sets the names of new nodes apart from those of the cluster's own.
const newNodePrefix = "new/"

// A verdict is what kube-scheduler's own filters say of a plan.
type verdict struct {
	asked    int              // placements
	refusals []oracle.Refusal // in the order of kube-scheduler's queue
}

// verify asks kube-scheduler's own filters whether the pods can come to their places. A machine
// that is not there yet is taken for the first offering that it may become, which on new nodes
// is the one decided on.
func (p *Plan) verify(ctx context.Context) error {
	launches := make([]problem.Launch, len(p.nodes))
	for i := range p.nodes {
		launches[i] = p.nodes[i].Launch
	}
	first := func(int) int { return 0 }
	f := p.translation.Future(launches, p.existing, func(i int) string { return newNodePrefix + p.nodes[i].name }, first)
	placements := make([]oracle.Placement, len(f.Placements))
	for i, at := range f.Placements {
		placements[i] = oracle.Placement{Pod: at.Pod, Node: at.Node}
	}
	refusals, err := oracle.Check(ctx, oracle.Cluster{Nodes: f.Nodes, Pods: f.Pods, Objects: f.Objects}, placements)
	if err != nil {
		return fmt.Errorf("verifying the plan: %w", err)
	}
	p.verdict = &verdict{len(placements), refusals}
	return nil
}

// Refusals returns the number of pods that kube-scheduler would not let onto their nodes, as
// far as it was asked.
func (p *Plan) Refusals() int {
	if p.verdict == nil {
		return 0
	}
	return len(p.verdict.refusals)
}

// writeVerdict says what kube-scheduler says, if it was asked.
func (p *Plan) writeVerdict(b *strings.Builder) {
	switch {
	case p.verdict == nil || p.verdict.asked == 0:
	case len(p.verdict.refusals) == 0:
		fmt.Fprintf(b, "Verified: kube-scheduler's own filters let %s onto their nodes.\n", count(p.verdict.asked, "pod"))
	default:
		fmt.Fprintf(b, "\n%s that kube-scheduler's own filters refuse:\n", count(len(p.verdict.refusals), "pod"))
		for _, r := range p.refused() {
			fmt.Fprintf(b, "  %s on %s\n      %s: %s\n", r.Pod, r.Node, r.Plugin, r.Reason)
		}
	}
}

// refused are the placements of the verdict, nil where there is none.
func (p *Plan) refused() []Refusal {
	if p.verdict == nil {
		return nil
	}
	out := []Refusal{}
	for _, r := range p.verdict.refusals {
		node := strings.TrimPrefix(strings.TrimPrefix(r.Node, newNodePrefix), "nodeclaim/")
		out = append(out, Refusal{nameOf(r.Pod), node, r.Plugin, r.Reason})
	}
	return out
}
