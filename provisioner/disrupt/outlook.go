package disrupt

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/stowage-sh/stowage/pricing"
	"github.com/stowage-sh/stowage/provisioner/consolidate"
	"github.com/stowage-sh/stowage/provisioner/problem"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// An outlook is what is known of what could be saved: the last plan, how far it has been carried out,
// and what it was made for. What has not changed since is not looked at again: the nodes of a cluster at
// rest stay as they are.
type outlook struct {
	plan  *consolidate.Plan
	done  map[int]bool   // commands that were carried out, or failed
	names map[int]string // NodeClaims that came of plan.New

	at, whole time.Time // when it was made, and the last one for all nodes
	ripe      time.Time // until then the pods that the last one for all nodes saw come to pay (see consolidate.Terms)
	prices    *pricing.Table
	pools     map[types.UID]string           // NodePools' resource versions
	stood     map[types.UID]standing         // NodeClaims as of the plan
	stays     map[types.UID]consolidate.Stay // why nodes stay, of all plans
	now       map[types.UID]standing         // NodeClaims as they are
	said      verdicts                       // of the last look
	looked    time.Time                      // when that was
	others    map[types.UID][]string         // NodeClaims that go for new nodes: those that go with each
}

// A standing is what there is to a node that a plan depends on.
type standing struct {
	pods  *resident
	may   bool // it may go
	takes bool // it takes pods of others that go
}

// recall says again what was said last, if that was just now and no command waits: to look at every pod of a large
// cluster for it at each step would cost more than all else. Nodes that are empty or drifted have reasons of their own.
func (o *outlook) recall(now time.Time, candidates []candidate, said verdicts) bool {
	if o.said == nil || o.open() || now.Sub(o.looked) >= lookAgain {
		return false
	}
	for _, n := range candidates {
		if w, ok := o.said[n.claim.UID]; ok && len(n.movable) > 0 && !v1.IsTrue(n.claim.Status.Conditions, v1.ConditionDrifted) {
			said[n.claim.UID] = w
		}
	}
	return true
}

// remember keeps what was said of nodes that could save money.
func (o *outlook) remember(now time.Time, said verdicts) {
	o.said, o.looked = verdicts{}, now
	for uid, w := range said {
		if w.reason == v1.ReasonUnderutilized {
			o.said[uid] = w
		}
	}
}

// see takes in how the nodes are.
func (o *outlook) see(v *view, nodes []consolidate.Node, closed map[string]bool) {
	o.now = map[types.UID]standing{}
	for _, claim := range v.NodeClaims.All() {
		if node, ok := v.NodeOf(claim); ok && !v.Leaving(claim) {
			o.now[claim.UID] = standing{pods: v.residents.on(v.Snapshot, node.Name), takes: !closed[claim.Name]}
		}
	}
	for _, n := range nodes {
		is := o.now[n.Claim.UID]
		is.may = true
		o.now[n.Claim.UID] = is
	}
	maps.DeleteFunc(o.others, func(uid types.UID, _ []string) bool {
		return !slices.ContainsFunc(v.NodeClaims.All(), func(c *v1.NodeClaim) bool { return c.UID == uid && chosen(c) })
	})
	maps.DeleteFunc(o.stays, func(uid types.UID, _ consolidate.Stay) bool { _, ok := o.now[uid]; return !ok })
}

// changed lists the nodes that are not as the plan has seen them, and reports whether what all of them
// depend on has changed.
func (o *outlook) changed(v *view, in *problem.Input) (some map[types.UID]bool, all bool) {
	some = map[types.UID]bool{}
	for uid, is := range o.now {
		was, known := o.stood[uid]
		if is.may && !was.may || is.takes && !was.takes || known && was.pods != is.pods && !maps.Equal(was.pods.running, is.pods.running) {
			some[uid] = true
		}
	}
	return some, o.plan == nil || o.prices != in.Prices || !maps.Equal(o.pools, poolVersions(v))
}

func poolVersions(v *view) map[types.UID]string {
	versions := map[types.UID]string{}
	for _, pool := range v.NodePools.All() {
		versions[pool.UID] = fmt.Sprint(pool.Generation, pool.Annotations[v1.AnnotationConsolidationPayback], pool.Annotations[v1.AnnotationNodeSlack],
			pool.Annotations[v1.AnnotationInstanceSurcharge], pool.Annotations[v1.AnnotationInterruptionCost])
	}
	return versions
}

// around are the nodes that changed, and of the others those that lose most.
func (o *outlook) around(changed map[types.UID]bool, nodes []consolidate.Node) (some []consolidate.Node) {
	var others []consolidate.Node
	for _, n := range nodes {
		if changed[n.Claim.UID] {
			some = append(some, n)
		} else {
			others = append(others, n)
		}
	}
	slices.SortStableFunc(others, func(a, b consolidate.Node) int {
		return cmp.Compare(o.stays[b.Claim.UID].Loss, o.stays[a.Claim.UID].Loss)
	})
	return append(some, others[:min(len(others), 4*len(changed)+32)]...)
}

// take takes in a plan, for all nodes or some.
func (o *outlook) take(v *view, in *problem.Input, nodes []consolidate.Node, plan *consolidate.Plan, all bool) {
	if all || o.stays == nil {
		o.stays, o.whole, o.ripe = map[types.UID]consolidate.Stay{}, v.now, ripeness(nodes)
	}
	if ripe := ripeness(nodes); ripe.After(o.ripe) {
		o.ripe = ripe
	}
	for _, command := range plan.Commands {
		for _, n := range command.Nodes {
			delete(o.stays, n.Claim.UID)
		}
	}
	for _, stay := range plan.Stays {
		o.stays[stay.Node.Claim.UID] = stay
	}
	o.plan, o.done, o.names, o.at = plan, map[int]bool{}, map[int]string{}, v.now
	o.prices, o.pools, o.stood = in.Prices, poolVersions(v), o.now
}

// ripeness is when the last of the pods has run for as long as its payback: until then it is ever cheaper to
// move, though nothing changes.
func ripeness(nodes []consolidate.Node) (last time.Time) {
	for _, n := range nodes {
		for _, p := range n.Pods {
			if p.Status.StartTime == nil || n.Terms.Payback == 0 {
				continue
			}
			if at := p.Status.StartTime.Add(n.Terms.Payback); at.After(last) {
				last = at
			}
		}
	}
	return last
}

// alive lists the commands that may be carried out yet, if the budgets allow: their nodes are as they were,
// and the new nodes that they share with others are there or may yet come.
func (o *outlook) alive() (commands []*consolidate.Command) {
	if o.plan == nil {
		return nil
	}
	comes := map[int]bool{}
	for i := range o.plan.Commands {
		c := &o.plan.Commands[i]
		if o.done[i] || !o.holds(c) {
			continue
		}
		for _, index := range c.New {
			comes[index] = true
		}
		if !slices.ContainsFunc(c.Moves, func(m consolidate.Move) bool { return m.To == nil && !comes[m.New] && o.names[m.New] == "" }) {
			commands = append(commands, c)
		}
	}
	return commands
}

// open reports whether there is one.
func (o *outlook) open() bool { return len(o.alive()) > 0 }

// leaving are the nodes of these, by NodeClaim.
func (o *outlook) leaving() map[types.UID]bool {
	nodes := map[types.UID]bool{}
	for _, c := range o.alive() {
		for _, n := range c.Nodes {
			nodes[n.Claim.UID] = true
		}
	}
	return nodes
}

// together remembers that nodes go for a new one together: if one of them stays before any has gone, all do.
func (o *outlook) together(c *consolidate.Command) {
	if o.others == nil {
		o.others = map[types.UID][]string{}
	}
	for _, n := range c.Nodes {
		for _, other := range c.Nodes {
			if other.Claim.UID != n.Claim.UID {
				o.others[n.Claim.UID] = append(o.others[n.Claim.UID], other.Claim.Name)
			}
		}
	}
}

// forsaken reports whether a node that was chosen is to stay since another of its command does. Where one
// has gone already the rest go on: the new node is theirs.
func (o *outlook) forsaken(v *view, claim *v1.NodeClaim) bool {
	stays := false
	for _, name := range o.others[claim.UID] {
		other, ok := v.NodeClaims.Get(name)
		if !ok || other.DeletionTimestamp != nil {
			return false
		}
		stays = stays || !chosen(other)
	}
	return stays
}

// holds reports whether the nodes of a command are as it has seen them.
func (o *outlook) holds(c *consolidate.Command) bool {
	for _, n := range c.Nodes {
		is, was := o.now[n.Claim.UID], o.stood[n.Claim.UID]
		if !is.may || was.pods == nil || is.pods != was.pods && !maps.Equal(is.pods.running, was.pods.running) {
			return false
		}
	}
	return true
}

// say says of the nodes that stay why.
func (o *outlook) say(nodes []consolidate.Node, said verdicts) {
	for _, n := range nodes {
		if stay, ok := o.stays[n.Claim.UID]; ok {
			said[n.Claim.UID] = verdict{block{code(stay.Code), stay.Message}, v1.ReasonUnderutilized}
		}
	}
}

// pick lists the commands that can be carried out now, in order.
func (o *outlook) pick(v *view, in *problem.Input, allowed *permits, said verdicts) (picks []int) {
	opened, nodes := map[int]bool{}, 0
	for i := range o.plan.Commands {
		c := &o.plan.Commands[i]
		if o.done[i] || !o.holds(c) {
			continue
		}
		why := o.blocked(v, in, c, opened)
		if why.code == "" && nodes+len(c.Nodes) > atOnce {
			why = block{inTurn, "other nodes go first"}
		}
		if why.code == "" {
			why = allowed.takeAll(v, c.Nodes)
		}
		if why.code != "" {
			for _, n := range c.Nodes {
				said[n.Claim.UID] = verdict{why, v1.ReasonUnderutilized}
			}
			continue
		}
		nodes += len(c.Nodes)
		picks = append(picks, i)
		for _, index := range c.New {
			opened[index] = true
		}
	}
	return picks
}

// blocked says what a command waits for: places that are not there, or have not been quiet for long enough.
func (o *outlook) blocked(v *view, in *problem.Input, c *consolidate.Command, opened map[int]bool) block {
	own := map[int]bool{}
	for _, index := range c.New {
		own[index] = true
	}
	for _, m := range c.Moves {
		switch {
		case m.To == nil && !own[m.New] && !opened[m.New] && o.names[m.New] == "":
			return block{inTurn, "nodes go first whose pods share a new node with those of this one"}
		case m.To != nil && m.To.Claim != nil && in.Leaving[m.To.Claim.Name]:
			return block{inTurn, fmt.Sprintf("%s, where its pods would go, takes none yet", m.To.Machine())}
		}
	}
	return block{}
}

// takeAll uses the budgets for nodes that go together, or says why that may not be.
func (p *permits) takeAll(v *view, nodes []consolidate.Node) block {
	count := map[*v1.NodePool]int{}
	for _, n := range nodes {
		pool, ok := v.NodePools.Get(n.Claim.Labels[v1.LabelNodePool])
		if !ok {
			return block{noNodePool, "the NodeClaim has no NodePool"}
		}
		count[pool]++
	}
	for pool, n := range count {
		if p.left(pool, v1.ReasonUnderutilized) < n {
			return p.refuse(pool, v1.ReasonUnderutilized)
		}
	}
	for pool, n := range count {
		p.used[pool.Name] += n
	}
	return block{}
}

// hindered says why a command cannot be carried out: a pod was refused, or a new node does not come that
// another command was to open.
func (o *outlook) hindered(c *consolidate.Command, refused map[types.UID]string, lost map[int]bool) string {
	for _, m := range c.Moves {
		if why, ok := refused[m.Pod.UID]; ok {
			return fmt.Sprintf("pod %s/%s would find no other place: %s", m.Pod.Namespace, m.Pod.Name, why)
		}
		if m.To == nil && lost[m.New] {
			return "a new node that its pods would share does not come"
		}
	}
	return ""
}
