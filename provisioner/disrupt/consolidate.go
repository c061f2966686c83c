package disrupt

import (
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stowage-sh/stowage/provisioner/consolidate"
	"github.com/stowage-sh/stowage/provisioner/problem"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// A Review of a cluster says of the node of each NodeClaim whether it may go to save money.
type Review struct {
	// Empty nodes may go since no pod needs them, the oldest first. The Price of one is 0 where it is
	// not known.
	Empty []consolidate.Node
	// Loaded nodes may go if others take their pods, the oldest first.
	Loaded []consolidate.Node
	// Blocked are the others, by name.
	Blocked []Blocked
}

// A Blocked node is not looked at for savings, for the reason of a code of docs/disruption.md.
type Blocked struct {
	Claim         *v1.NodeClaim
	Code, Message string
}

// ReviewOf looks at in.Snapshot at now, and notes in in.Leaving the nodes that are to take no pods of those
// that go. Budgets are not asked: any number of nodes may go together.
func ReviewOf(now time.Time, in *problem.Input, served problem.Schedulers) *Review {
	v := newView(in.Snapshot, now, &residents{}, served)
	candidates := v.candidates()
	nodes, why := v.consolidatable(in, candidates, false)
	r, reviewed := &Review{}, map[types.UID]bool{}
	for _, n := range nodes {
		reviewed[n.Claim.UID] = true
		if n.Terms.Most = len(nodes); len(n.Pods) == 0 {
			r.Empty = append(r.Empty, n)
		} else {
			r.Loaded = append(r.Loaded, n)
		}
	}
	said := verdicts{}
	for _, n := range candidates {
		w, blocked := why[n.claim.UID]
		if blocked && w.code == priceUnknown && len(n.movable) == 0 { // whatever it costs
			reviewed[n.claim.UID] = true
			r.Empty = append(r.Empty, consolidate.Node{Claim: n.claim, Node: n.node})
		}
		said[n.claim.UID] = verdict{w, v1.ReasonUnderutilized}
	}
	for _, claim := range v.NodeClaims.All() {
		if !reviewed[claim.UID] {
			_, w := v.verdict(claim, said)
			r.Blocked = append(r.Blocked, Blocked{claim, string(w.code), w.message})
		}
	}
	return r
}

// consolidatable lists the candidates that may go to save money, and says of the others why not. Where budgets
// are asked, those that let no node go are listed, and what is paid already is theirs.
func (v *view) consolidatable(in *problem.Input, candidates []candidate, budgets bool) (nodes []consolidate.Node, why map[types.UID]block) {
	why = map[types.UID]block{}
	mayGo := map[string]bool{}
	for _, n := range candidates {
		if w := v.notUnderutilized(n); w.code != "" {
			why[n.claim.UID] = w
			continue
		}
		mayGo[n.claim.Name] = !budgets || v.allows(n)
	}
	running := in.Running(mayGo)
	terms := v.terms(running)
	in.Leaving = v.noDestinations()
	for _, n := range candidates {
		if why[n.claim.UID].code != "" {
			continue
		}
		price, known := running.PriceOf(n.claim, n.node)
		if !known {
			why[n.claim.UID] = block{priceUnknown, unpriced(n)}
			continue
		}
		nodes = append(nodes, consolidate.Node{Claim: n.claim, Node: n.node, Price: price, Pods: n.movable, Terms: terms[n.pool.Name]})
	}
	return nodes, why
}

// allows reports whether the budgets of its NodePool let any node like this one go now.
func (v *view) allows(n candidate) bool {
	reason := v1.ReasonUnderutilized
	if len(n.movable) == 0 {
		reason = v1.ReasonEmpty
	}
	a := v.allowances()[n.pool.Name][reason]
	return a.Nodes+a.Busy > 0
}

// unpriced says why the price of a node is not known.
func unpriced(n candidate) string {
	wrong := n.pool.CostAnnotations()
	for _, annotation := range slices.Sorted(maps.Keys(wrong)) {
		return fmt.Sprintf("the NodePool's annotation %s %v", annotation, wrong[annotation])
	}
	return fmt.Sprintf("the price of %s is not known", problem.LaunchedAs(n.claim))
}

// ofOthers is a pod of a node for which no place can be decided here, since another scheduler places it; nil
// if there is none.
func (v *view) ofOthers(n candidate) *corev1.Pod {
	if i := slices.IndexFunc(n.movable, func(p *corev1.Pod) bool { return !v.served.Serve(p) }); i >= 0 {
		return n.movable[i]
	}
	return nil
}

// notUnderutilized says why a node is not to go to save money, whatever it costs.
func (v *view) notUnderutilized(n candidate) block {
	quiet, left := v.quiet(n.claim, n.pool)
	_, err := n.pool.ConsolidationPayback()
	switch {
	case n.pool.Spec.Replicas != nil:
		return block{static, "the NodePool keeps its number of nodes"}
	case !quiet && left == 0:
		return block{never, "the NodePool's consolidateAfter is Never"}
	case len(n.movable) == 0:
		return v.notEmpty(n)
	case n.pool.Spec.Disruption.ConsolidationPolicy == v1.WhenEmpty:
		return block{whenEmpty, "pods run on the node, and the NodePool's consolidationPolicy is WhenEmpty"}
	case err != nil:
		return block{paybackUnreadable, fmt.Sprintf("the NodePool's annotation %s %v", v1.AnnotationConsolidationPayback, err)}
	case v.awaited(n).code != "":
		return v.awaited(n)
	case v.spared(n).code == holdsHeadroom && v.unplanned.Name == "":
		return v.spared(n)
	case v.shielded(n).code != "":
		return v.shielded(n)
	case v.kept(n).code != "":
		return v.kept(n)
	case v.ofOthers(n) != nil:
		return block{noPlace, fmt.Sprintf("pod %s/%s is of another scheduler", v.ofOthers(n).Namespace, v.ofOthers(n).Name)}
	case !quiet, v.isNew(n.claim):
		return block{tooSoon, "consolidateAfter has not passed since a pod last came or went"}
	case v1.IsTrue(n.claim.Status.Conditions, v1.ConditionDrifted):
		return block{code(v1.ReasonDrifted), "the node drifted, and is replaced for that"}
	}
	return block{}
}

// noDestinations are the NodeClaims, by name, whose nodes take no pods of nodes that go to save money: they
// have not been quiet for long enough, or are about to go themselves.
func (v *view) noDestinations() map[string]bool {
	closed := map[string]bool{}
	for _, claim := range v.NodeClaims.All() {
		n, ok := v.candidate(claim)
		if !ok {
			closed[claim.Name] = true
			continue
		}
		quiet, left := v.quiet(claim, n.pool)
		goes := len(n.movable) == 0 && v.notEmpty(n).code == "" && n.pool.Spec.Replicas == nil
		_, spare := v.spare[place{claim: claim.Name}]
		if _, ok := v.spare[place{node: n.node.Name}]; ok || spare { // its room is asked for already
			closed[claim.Name] = true
		}
		if !quiet && left > 0 || v.isNew(claim) || goes || v1.IsTrue(claim.Status.Conditions, v1.ConditionDrifted) {
			closed[claim.Name] = true
		}
	}
	return closed
}

// terms are those of the NodePools, by name.
func (v *view) terms(running *problem.Running) map[string]*consolidate.Terms {
	terms := map[string]*consolidate.Terms{}
	for _, pool := range v.NodePools.All() {
		payback, _ := pool.ConsolidationPayback() // or its nodes stay
		a := v.allowances()[pool.Name][v1.ReasonUnderutilized]
		terms[pool.Name] = &consolidate.Terms{
			NodePool: pool.Name, Now: v.now, Payback: payback, Most: max(0, a.Nodes+a.Busy),
			Balanced: pool.Spec.Disruption.ConsolidationPolicy == v1.Balanced,
		}
	}
	for _, claim := range v.NodeClaims.All() {
		n, ok := v.candidate(claim)
		if !ok {
			continue
		}
		t := terms[n.pool.Name]
		if !t.Balanced {
			continue // nobody asks
		}
		price, _ := running.PriceOf(n.claim, n.node)
		t.Cost += price
		t.Disruption += consolidate.Disruption(consolidate.Node{Pods: n.movable})
	}
	return terms
}
