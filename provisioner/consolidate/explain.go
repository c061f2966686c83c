package consolidate

import (
	"fmt"

	"github.com/stowage-sh/stowage/binpack"
	"github.com/stowage-sh/stowage/provisioner/problem"
)

// A Stay is a node that is in no command, and why.
type Stay struct {
	Node Node
	Code Code
	// Message for the user.
	Message string
	// Loss is what the node costs an hour beyond what its pods would at best prices.
	Loss binpack.MicroUSD
}

// A Code is a stable word for why a node stays.
type Code string

// The codes.
const (
	// WellUsed: what is on the node is worth what it costs, or will be.
	WellUsed Code = "WellUsed"
	// NotWorthIt: it would not pay for the evictions.
	NotWorthIt Code = "NotWorthIt"
	// NoPlaceForPods: a pod would find no other place.
	NoPlaceForPods Code = "NoPlaceForPods"
	// NoneMayGo: its Terms let no node go.
	NoneMayGo Code = "NoneMayGo"
	// NotFound: it is not in the snapshot.
	NotFound Code = "NotFound"
)

// keeps reports whether a node stays whatever would be gained, and says so.
func (plan *Plan) keeps(in *problem.Input, n Node) bool {
	if _, ok := in.Snapshot.Nodes.Get(n.Node.Name); !ok {
		plan.Stays = append(plan.Stays, Stay{Node: n, Code: NotFound, Message: "the node is not there any more"})
		return true
	}
	if n.Terms.Most < 1 {
		plan.Stays = append(plan.Stays, Stay{Node: n, Code: NoneMayGo, Message: fmt.Sprintf("no node of NodePool %s may go now", n.Terms.NodePool)})
		return true
	}
	return false
}

// explain says of each node that is in no command why.
func (s *search) explain(plan *Plan) {
	goes, takes := map[string]bool{}, map[string]int{}
	for _, c := range plan.Commands {
		for _, n := range c.Nodes {
			goes[n.Node.Name] = true
		}
		for _, m := range c.Moves {
			if m.To != nil {
				takes[m.To.Name()]++
			}
		}
	}
	for i, n := range s.nodes {
		if !goes[n.Node.Name] {
			stay := Stay{Node: n, Loss: n.Price - binpack.MicroUSD(s.worth(s.load[i]))}
			stay.Code, stay.Message = s.why(i, takes[n.Node.Name])
			plan.Stays = append(plan.Stays, stay)
		}
	}
}

// why says why a node stays that takes so many pods of others.
func (s *search) why(i, takes int) (Code, string) {
	n := s.nodes[i]
	price, worth, fee := float64(n.Price)/1e6, s.worth(s.load[i])/1e6, s.fee(i)/1e6
	switch {
	case s.pinned[i] != "":
		return NoPlaceForPods, s.pinned[i]
	case n.Price == 0:
		return WellUsed, "it costs nothing beyond what is paid already"
	case takes > 0:
		return WellUsed, fmt.Sprintf("it takes %s of other nodes", pods(takes))
	case price-worth < dear*price:
		return WellUsed, fmt.Sprintf("at best prices its pods cost $%.4f an hour, and the node $%.4f", worth, price)
	case price-worth < fee:
		return NotWorthIt, fmt.Sprintf("to move its %s would save $%.4f an hour at most, and has to save $%.4f", pods(len(n.Pods)), price-worth, fee)
	}
	return NotWorthIt, fmt.Sprintf("no other places were found for its %s that cost less, and pay for the move", pods(len(n.Pods)))
}

// pods spells a number of them.
func pods(n int) string {
	if n == 1 {
		return "1 pod"
	}
	return fmt.Sprintf("%d pods", n)
}
