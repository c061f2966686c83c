package plan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stowage-sh/stowage/binpack"
	"github.com/stowage-sh/stowage/cloudprovider"
	"github.com/stowage-sh/stowage/cloudprovider/aws/nodeclass"
	awsv1 "github.com/stowage-sh/stowage/cloudprovider/aws/v1"
	"github.com/stowage-sh/stowage/provisioner/headroom"
	"github.com/stowage-sh/stowage/provisioner/problem"
	"github.com/stowage-sh/stowage/provisioner/state"
	v1 "github.com/stowage-sh/stowage/provisioner/v1"
)

// An Input is all that a plan depends on.
type Input struct {
	// Objects of the cluster, in any order. Make only reads them.
	Objects []client.Object
	// Refused are pods that are not among Objects, since no API server would take
	// them in; by namespace and name.
	Refused []Refused
	Market  Market
	// MaxSteps as in binpack.Problem.
	MaxSteps int64
	// IgnorePreferences and RelaxMinValues as in problem.Input.
	IgnorePreferences, RelaxMinValues bool
	// Spreads as in problem.Input.
	Spreads problem.DefaultSpreads
	// Schedulers are those whose pods get nodes.
	Schedulers problem.Schedulers
	// Verify asks kube-scheduler's own filters about the plan.
	Verify bool
	// Consolidate asks also which nodes would go to save money.
	Consolidate bool
	// Now tells the time before and after solving.
	Now func() time.Time
}

// A Refused pod finds no place, for a reason that has nothing to do with places.
type Refused struct {
	Pod    *corev1.Pod
	Reason problem.Reason
}

// An InputError says what in the objects makes a plan impossible.
type InputError struct{ Err error }

// Error says what Err says.
func (e *InputError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *InputError) Unwrap() error { return e.Err }

// A Plan is what would be bought, and what would go where.
type Plan struct {
	// Notes are lines for the user about what was assumed or left out.
	Notes []string

	market      Market
	zones       []string // that anything can be bought in
	translation *problem.Translation
	solution    *binpack.Solution
	nodes       []newNode
	existing    []problem.Placement
	unplaced    []unplaced
	overlays    int // applied
	pods        int
	headroom    []*corev1.Pod
	commitments []Commitment
	solveTime   time.Duration
	verdict     *verdict // nil where nobody asked
	naming      *naming
	// consolidation is nil where nobody asked.
	consolidation *consolidation
}

// A newNode is a node to be bought, under a name that is its own in the plan.
type newNode struct {
	name string
	problem.Launch
}

// Unplaced are pods of one group that found no place, by namespace and name.
type unplaced struct {
	pods    []*corev1.Pod
	reasons []problem.Reason
}

// Make plans for all pods that wait for a node. The error is an *InputError where
// the objects are to blame.
func Make(ctx context.Context, in Input) (*Plan, error) {
	cluster := state.New()
	for _, o := range in.Objects {
		cluster.Observe(o)
	}
	p := &Plan{market: in.Market}
	if in.Consolidate {
		p.assumeClaims(cluster)
	}
	// From here on it is what the controller does with a snapshot, but that nothing
	// comes of it.
	snapshot := cluster.Snapshot()
	p.naming = newNaming(snapshot)
	if err := p.accept(snapshot); err != nil {
		return nil, &InputError{err}
	}
	question, err := p.question(snapshot, in.Schedulers)
	if err != nil {
		return nil, &InputError{err}
	}
	p.overlay(question)
	question.MaxSteps = in.MaxSteps
	p.pods = len(question.Pods) + len(in.Refused)
	p.addHeadroom(question, in.Schedulers)
	before := in.Now()
	question.Nominates, question.IgnorePreferences, question.RelaxMinValues, question.Spreads = true, in.IgnorePreferences, in.RelaxMinValues, in.Spreads
	p.translation, p.solution, err = problem.Decide(ctx, question)
	for _, x := range p.translation.Excluded {
		p.note("NodePool %s buys nothing: %s", x.Pool, x.Reason)
	}
	if err != nil {
		return nil, fmt.Errorf("solving for %d pods: %w", p.pods, err)
	}
	if err := binpack.Verify(p.translation.Problem, p.solution); err != nil {
		return nil, fmt.Errorf("refusing the plan, which is a fault of Stowage: %w", err)
	}
	if more := p.translation.Thinning; more > 0 {
		p.note("pods that must spread over zones stand one of a kind on a node, for $%.4f an hour more: of several kube-scheduler can be told one place at a time", dollars(more))
	}
	p.readSolution()
	p.countCommitments(question)
	if in.Verify {
		if err := p.verify(ctx); err != nil {
			return nil, err
		}
	}
	p.addRefused(in.Refused)
	if in.Consolidate {
		if err := p.consolidate(ctx, &in, cluster, question, before); err != nil {
			return nil, err
		}
	}
	p.solveTime = in.Now().Sub(before)
	return p, nil
}

// Unschedulable returns the number of pods that found no place, without headroom.
func (p *Plan) Unschedulable() int {
	n := 0
	for _, u := range p.unplaced {
		if !headroom.Virtual(u.pods[0]) { // a group is all of one priority
			n += len(u.pods)
		}
	}
	return n
}

// accept refuses a cluster that no plan can be made for, and notes what is left out.
func (p *Plan) accept(s *state.Snapshot) error {
	if s.NodePools.Len()+s.Nodes.Len()+s.NodeClaims.Len() == 0 {
		return errors.New("there is no NodePool (apiVersion karpenter.sh/v1) to buy nodes from, and no Node: add one to the manifests")
	}
	for _, n := range s.Nodes.All() {
		if err := p.market.holds(n); err != nil {
			return err
		}
	}
	var stray, gated []*corev1.Pod
	for _, pod := range s.Pods.All() {
		switch {
		case pod.Spec.NodeName != "":
			if _, ok := s.Nodes.Get(pod.Spec.NodeName); !ok {
				stray = append(stray, pod)
			}
		case len(pod.Spec.SchedulingGates) > 0:
			gated = append(gated, pod)
		}
	}
	if len(stray) > 0 {
		p.note("%s left out, bound to nodes that are not given (%s to %s)", count(len(stray), "pod"), nameOf(stray[0]), stray[0].Spec.NodeName)
	}
	if len(gated) > 0 {
		p.note("%s left out, behind scheduling gates (%s)", count(len(gated), "pod"), nameOf(gated[0]))
	}
	return nil
}

// note adds a line for the user.
func (p *Plan) note(format string, args ...any) {
	p.Notes = append(p.Notes, fmt.Sprintf(format, args...))
}

func nameOf(pod *corev1.Pod) string { return pod.Namespace + "/" + pod.Name }

// question gathers what the decision depends on, as the controller does. A
// NodePool that cannot buy does not stop the others: the reason becomes part of
// the answer.
func (p *Plan) question(s *state.Snapshot, served problem.Schedulers) (*problem.Input, error) {
	in := &problem.Input{
		Snapshot: s,
		Catalogs: map[string]*cloudprovider.Catalog{},
		Excluded: map[string]string{},
		Prices:   p.market.Prices,
	}
	var others []*corev1.Pod
	for _, pod := range s.Pods.All() {
		switch {
		case !problem.Provisionable(pod):
		case served.Serve(pod):
			in.Pods = append(in.Pods, pod)
		default:
			others = append(others, pod)
		}
	}
	if len(others) > 0 {
		p.note("%s left out, of other schedulers (%s of %s)", count(len(others), "pod"), nameOf(others[0]), cmp.Or(others[0].Spec.SchedulerName, corev1.DefaultSchedulerName))
	}
	// NodePools of one NodeClass share its catalog, and a note about it.
	type offer struct {
		catalog *cloudprovider.Catalog
		reason  string
	}
	byClass := map[string]offer{}
	for _, pool := range s.NodePools.All() {
		ref := pool.Spec.Template.Spec.NodeClassRef
		if !ours(ref) {
			in.Excluded[pool.Name] = "its NodeClass is a " + ref.Kind + "." + ref.Group + ", not an " + awsv1.Kind + "." + awsv1.Group
			continue
		}
		name := ref.Name
		o, ok := byClass[name]
		if !ok {
			var err error
			if o.catalog, o.reason, err = p.market.catalog(p.class(s, name)); err != nil {
				return nil, err
			}
			byClass[name] = o
		}
		switch ready := v1.GetCondition(pool.Status.Conditions, v1.ConditionReady); {
		case o.reason != "":
			in.Excluded[pool.Name] = o.reason
		case ready != nil && ready.Status == "False":
			in.Excluded[pool.Name] = "is not ready: " + ready.Message
		default:
			in.Catalogs[pool.Name] = o.catalog
		}
	}
	// The page says where it was looked, which differs where NodeClasses know their
	// subnets.
	for _, catalog := range in.Catalogs {
		for _, kind := range catalog.InstanceTypes {
			for _, o := range kind.Offerings {
				if !slices.Contains(p.zones, o.Zone) {
					p.zones = append(p.zones, o.Zone)
				}
			}
		}
	}
	slices.Sort(p.zones)
	return in, nil
}

// class returns an EC2NodeClass, nil if it is not given, and notes what is not known of it.
func (p *Plan) class(s *state.Snapshot, name string) *awsv1.EC2NodeClass {
	known, _ := s.NodeClasses.Get(name)
	class, ok := known.(*awsv1.EC2NodeClass)
	if !ok {
		p.note("EC2NodeClass %s is not given: assuming AL2023 with a root volume of 20 GiB in every zone", name)
		return nil
	}
	if len(class.Spec.CapacityReservationSelectorTerms) > 0 && p.market.Reservations == nil {
		p.note("EC2NodeClass %s selects capacity reservations, and how much is left of them is not known: give --capacity-reservations", name)
	}
	if class.Spec.PlacementGroupSelector != nil {
		p.note("EC2NodeClass %s selects a placement group, which only the account knows: planning as if there were none, with types that may not be for it", name)
	}
	if _, known := nodeclass.UnsupportedAlias(&class.Spec, p.market.Version); !known {
		p.note("EC2NodeClass %s: whether there are images of %s depends on the version of Kubernetes, which manifests do not say: assuming that there are", name, class.Spec.AMISelectorTerms[0].Alias)
	}
	return class
}

// overlay applies the NodeOverlays that can be, and notes the others.
func (p *Plan) overlay(question *problem.Input) {
	var verdicts []problem.Verdict
	question.Overlays, verdicts = problem.JudgeOverlays(question, question.Snapshot.NodeOverlays.All())
	p.overlays = len(question.Overlays)
	for _, v := range verdicts {
		if v.Reason != "" {
			p.note("NodeOverlay %s is not applied: %s", v.Overlay.Name, v.Message)
		}
	}
}

// readSolution turns the solution back into nodes, pods and reasons.
func (p *Plan) readSolution() {
	launches, placements := p.translation.Placed(p.solution)
	for _, l := range launches {
		p.nodes = append(p.nodes, newNode{p.naming.next(l.Rows[0].Pool.Name), l})
	}
	p.existing = placements
	for i := range p.solution.Unplaced {
		// Placed hands out the pods of a group in order: what is left is its end.
		u := &p.solution.Unplaced[i]
		pods := p.translation.Pods[u.Group]
		p.unplaced = append(p.unplaced, unplaced{pods[len(pods)-int(u.Count):], p.translation.Explain(u)})
	}
}

// A naming numbers the new nodes of each NodePool, from 1.
type naming struct {
	last  map[string]int
	taken map[string]bool // by what is there already
}

func newNaming(s *state.Snapshot) *naming {
	n := &naming{map[string]int{}, map[string]bool{}}
	for _, node := range s.Nodes.All() {
		n.taken[node.Name] = true
	}
	for _, claim := range s.NodeClaims.All() {
		n.taken[claim.Name] = true
	}
	return n
}

func (n *naming) next(pool string) string {
	for {
		n.last[pool]++
		if name := pool + "-" + strconv.Itoa(n.last[pool]); !n.taken[name] {
			n.taken[name] = true // of pools a and a-1, both may come to a-1-1
			return name
		}
	}
}

// offers counts what could be bought. What is there once more, relaxed or covered by a commitment, is not
// counted again.
func (p *Plan) offers() (n int) {
	for i := range p.translation.Problem.Offers {
		if !p.translation.Problem.Offers[i].Relaxed && p.translation.Rows[i].Commitment == nil {
			n++
		}
	}
	return n
}

// addRefused adds the pods that were refused, those with one reason in a row
// together.
func (p *Plan) addRefused(refused []Refused) {
	for i, r := range refused {
		if i == 0 || r.Reason != refused[i-1].Reason {
			p.unplaced = append(p.unplaced, unplaced{reasons: []problem.Reason{r.Reason}})
		}
		last := &p.unplaced[len(p.unplaced)-1]
		last.pods = append(last.pods, r.Pod)
	}
}
