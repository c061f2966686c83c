package consolidate

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/stowage-sh/stowage/binpack"
)

// Which nodes to keep.
//
// In the fluid problem of the whole cluster each node may be kept, for its price less what it costs to move
// its pods, or be given up; the prices of resources in its optimum say what a node's room is worth (see
// binpack.Worth). Those are kept that are worth most, as many as hold all pods, at several degrees
// of filling: pods come whole, and no node gets quite full. What leaves is packed on them and on
// new nodes. Then those of the kept that are dearest for what is on them leave, too, as long as that
// is better.

// fills are the parts of the kept nodes' room that all pods are to take, which are tried;
// improvements is how often the dearest are tried to go after that, and dear by what part of
// its price a node must cost more than what is on it is worth, to be one of them.
var fills = []float64{1, 0.985, 0.97, 0.955, 0.94, 0.9, 0.8}

const (
	improvements = 20
	dear         = 0.02
)

// effort is what moving a pod counts for at least an hour, as a part of what the average pod's place
// costs: of plans of about the same price the one is better that moves less.
const effort = 0.3

// An attempt is what it costs if some nodes leave.
type attempt struct {
	leaves   []bool            // by node
	cost     float64           // of an hour, with the fees for what leaves
	solution *binpack.Solution // on search.quick
}

// keep finds the nodes to keep. It may be that none leaves.
func (s *search) keep(ctx context.Context) (best *attempt, err error) {
	best = &attempt{leaves: make([]bool, len(s.nodes)), solution: &binpack.Solution{}}
	best.cost = float64(s.priceOfAll())
	for _, fill := range fills {
		next, err := s.try(ctx, s.leaves(fill))
		if err != nil {
			return nil, err
		}
		if next != nil && next.cost < best.cost {
			best = next
		}
	}
	for range improvements {
		next, err := s.try(ctx, s.withDear(best))
		if err != nil {
			return nil, err
		}
		if next == nil || next.cost >= best.cost {
			break
		}
		best = next
	}
	for _, part := range []float64{1, 0.5} {
		leaves := s.forPaid(best, part)
		if leaves == nil {
			break
		}
		next, err := s.try(ctx, leaves)
		if err != nil {
			return nil, err
		}
		if next != nil && next.cost < best.cost {
			best = next
		}
	}
	return best, nil
}

// forPaid has those leave as well that cost most for what is on them, as many as a part of what is paid
// already, and not used, could hold. It returns nil where there is no such thing.
func (s *search) forPaid(a *attempt, part float64) []bool {
	room := 0.0
	for i := range s.quick.Stocks {
		stock, most := &s.quick.Stocks[i], 0.0
		for o := range stock.Offers.All {
			most = max(most, float64(stock.Count)/float64(stock.Takes(o))*s.worth(s.quick.Offers[o].Room()))
		}
		room += float64(part * most)
	}
	if room == 0 {
		return nil
	}
	order, rate := make([]int, len(s.nodes)), make([]float64, len(s.nodes))
	for i, n := range s.nodes {
		order[i], rate[i] = i, float64(n.Price)/max(1, s.worth(s.load[i]))
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(rate[j], rate[i]) })
	leaves := slices.Clone(a.leaves)
	for _, i := range order {
		if leaves[i] || s.nodes[i].Price == 0 {
			continue
		}
		if room -= s.worth(s.load[i]); room < 0 {
			break
		}
		leaves[i] = true
	}
	return leaves
}

func (s *search) priceOfAll() (sum binpack.MicroUSD) {
	for _, n := range s.nodes {
		sum += n.Price
	}
	return sum
}

// rounds is how often an attempt is made without the nodes of pods that found no place.
const rounds = 10

// try packs the pods of nodes that leave. Nodes with pods that find no place stay, and are
// pinned; nil is returned where there is no end to that.
func (s *search) try(ctx context.Context, leaves []bool) (*attempt, error) {
	for range rounds {
		a := &attempt{leaves: leaves}
		for i := range leaves {
			leaves[i] = leaves[i] && s.pinned[i] == ""
			if leaves[i] {
				a.cost += s.counted(i)
			} else {
				a.cost += float64(s.nodes[i].Price)
			}
		}
		var err error
		if a.solution, err = s.without(s.quick, leaves).solve(ctx, leaving(leaves)); err != nil {
			return nil, err
		}
		if len(a.solution.Unplaced) == 0 {
			a.cost += float64(a.solution.Cost)
			return a, nil
		}
		s.pin(a)
	}
	return nil, nil
}

func leaving(leaves []bool) (nodes []int) {
	for i, leaves := range leaves {
		if leaves {
			nodes = append(nodes, i)
		}
	}
	return nodes
}

// counted is what a node has to save an hour to leave.
func (s *search) counted(i int) float64 {
	return max(s.fee(i), float64(effort*s.moving[i])/restart.Hours())
}

// pin keeps nodes with as many pods of each group as found no place.
func (s *search) pin(a *attempt) {
	for _, u := range a.solution.Unplaced {
		left := u.Count
		for _, i := range leaving(a.leaves) {
			for _, m := range s.pods[i] {
				if m.group == u.Group && left > 0 {
					left--
					s.pinned[i] = fmt.Sprintf("pod %s/%s would find no other place", m.pod.Namespace, m.pod.Name)
				}
			}
		}
	}
}

// leaves are the nodes that are not needed when the best are kept, and filled to a part of
// their room.
func (s *search) leaves(fill float64) []bool {
	kept := make([]binpack.Kept, len(s.nodes))
	need := make([]float64, len(s.unit))
	for i, n := range s.nodes {
		kept[i] = binpack.Kept{Room: parts(s.room[i], fill), Price: float64(n.Price) - s.counted(i)}
		for r, q := range s.load[i] {
			need[r] += float64(q)
		}
	}
	for _, room := range s.spare() {
		kept = append(kept, binpack.Kept{Room: parts(room, fill)})
		for r, q := range parts(room, fill) {
			need[r] -= float64(q)
		}
	}
	unit := binpack.Worth(bought(s.quick), kept)
	order, earns := make([]int, len(s.nodes)), make([]float64, len(s.nodes))
	for i := range s.nodes {
		order[i] = i
		earns[i] = -kept[i].Price
		for r, q := range kept[i].Room {
			earns[i] += float64(unit[r] * float64(q))
		}
		earns[i] /= float64(max(1, s.nodes[i].Price))
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(earns[j], earns[i]) })
	leaves := make([]bool, len(s.nodes))
	for _, i := range order {
		if !s.lacking(need) || earns[i] < -marginal {
			leaves[i] = true
			continue
		}
		for r, q := range kept[i].Room {
			need[r] -= float64(q)
		}
	}
	return leaves
}

// spare is what is left on machines that are not given, and costs nothing: of those that most of what
// could move may go to.
func (s *search) spare() (rooms []binpack.Vector) {
	most := make([]float64, len(s.quick.Nodes))
	all := 0.0
	for g := range s.quick.Groups {
		worth := float64(s.worth(s.quick.Groups[g].Requests) * float64(s.quick.Groups[g].Count))
		all += worth
		for at := range s.quick.Groups[g].Nodes.All {
			most[at] += worth
		}
	}
	for at := range s.quick.Nodes {
		if _, given := s.nodeOf[at]; !given && most[at] > all/2 {
			rooms = append(rooms, s.quick.Nodes[at].Free)
		}
	}
	return rooms
}

// marginal is what a node may lose, as a part of its price, and be kept yet: in the fluid problem some
// are kept in part, and earn nothing.
const marginal = 0.01

// parts is a part of a room.
func parts(room binpack.Vector, part float64) binpack.Vector {
	out := make(binpack.Vector, len(room))
	for r, q := range room {
		out[r] = int64(float64(q) * part)
	}
	return out
}

// lacking reports whether some of what is worth anything is needed yet.
func (s *search) lacking(need []float64) bool {
	for r, q := range need {
		if q > 0 && s.unit[r] > 0 {
			return true
		}
	}
	return false
}

// withDear has those leave as well that cost most beyond what is on them, a tenth of those that
// stay at most.
func (s *search) withDear(a *attempt) []bool {
	type loss struct {
		node int
		of   float64
	}
	got := make([]float64, len(s.nodes))
	for _, f := range a.solution.Fills {
		if i, ok := s.nodeOf[f.Node]; ok {
			for _, share := range f.Pods {
				got[i] += float64(float64(share.Count) * s.worth(s.quick.Groups[share.Group].Requests))
			}
		}
	}
	var losses []loss
	kept := 0
	for i, n := range s.nodes {
		if a.leaves[i] {
			continue
		}
		kept++
		if of := float64(n.Price) - s.worth(s.load[i]) - got[i] - s.counted(i); of > dear*float64(n.Price) {
			losses = append(losses, loss{i, of})
		}
	}
	slices.SortStableFunc(losses, func(x, y loss) int { return cmp.Compare(y.of, x.of) })
	leaves := slices.Clone(a.leaves)
	for _, l := range losses[:min(len(losses), kept/10+1)] {
		leaves[l.node] = true
	}
	return leaves
}
