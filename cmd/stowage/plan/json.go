package plan

import (
	"cmp"
	"encoding/json"
	"io"
	"maps"
	"math"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/stowage-sh/stowage/binpack"
	"github.com/stowage-sh/stowage/provisioner/problem"
)

// A Document is a plan as scripts read it. Its fields are an interface: they may
// be added to, and never change.
type Document struct {
	// APIVersion is stowage.sh/v1alpha1, Kind is Plan.
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// Nodes to be bought, each NodePool's numbered from 1.
	Nodes []Node `json:"nodes"`
	// Existing nodes that get pods, by name.
	Existing []Existing `json:"existing"`
	// Unschedulable pods, by namespace and name.
	Unschedulable []Unschedulable `json:"unschedulable"`
	// Disruptions are commands that end nodes to save money, in order. They, Left, Before and After
	// are there where consolidation was asked for.
	Disruptions []Disruption `json:"disruptions,omitzero"`
	// Left are the nodes that stay as they are, by name.
	Left []Left `json:"left,omitzero"`
	// Headroom are those of the pods above that are not there: they stand for what
	// CapacityBuffers ask for.
	Headroom []string `json:"headroom,omitzero"`
	// Refused are the placements that kube-scheduler's own filters refuse; nil where they
	// were not asked.
	Refused []Refusal `json:"refused,omitzero"`
	// Commitments, and how much of each is used; absent where none were given.
	Commitments []Commitment `json:"commitments,omitempty"`
	// CostPerHour of Nodes, in dollars, beyond what is paid already.
	CostPerHour float64 `json:"costPerHour"`
	// LowerBoundPerHour is proven, for the pods that wait: see binpack.Solution.
	LowerBoundPerHour float64 `json:"lowerBoundPerHour"`
	// Gap is cost / bound − 1; nil where the bound is 0, or where some of Nodes replace others.
	Gap *float64 `json:"gap,omitempty"`
	// Before and After are the nodes of NodePools as they are, and as they are to be.
	Before *Total      `json:"before,omitempty"`
	After  *AfterTotal `json:"after,omitempty"`
	Stats  Stats       `json:"stats"`
}

// An Offering of a Document is one that can be bought.
type Offering struct {
	InstanceType string `json:"instanceType"`
	Zone         string `json:"zone"`
	CapacityType string `json:"capacityType"`
	// Reservation that the machine is taken from, where the capacity type is reserved.
	Reservation string `json:"reservation,omitempty"`
	// Tenancy is "dedicated", or empty for hardware that is shared.
	Tenancy string `json:"tenancy,omitempty"`
	// Commitment that covers the machine; PricePerHour is then 0.
	Commitment string `json:"commitment,omitempty"`
	// InterruptionRiskPerHour is the part of PricePerHour that interruptions are expected to cost.
	InterruptionRiskPerHour float64 `json:"interruptionRiskPerHour,omitempty"`
	// PricePerHour in dollars, with the NodePool's surcharge and InterruptionRiskPerHour.
	PricePerHour float64 `json:"pricePerHour"`
}

// A Node of a Document is one to be bought.
type Node struct {
	// Name is the NodePool's with a number: the real one is not known yet.
	Name     string `json:"name"`
	NodePool string `json:"nodePool"`
	// Offering is the one that was decided on.
	Offering
	// Alternatives that hold the load as well, cheapest first.
	Alternatives []Offering `json:"alternatives"`
	// MinValuesRelaxed: they show fewer values of a label than the NodePool asks for.
	MinValuesRelaxed bool `json:"minValuesRelaxed,omitempty"`
	// Labels and Taints that the node is known to get with the decided offering;
	// startup taints, which go by themselves, are not among them.
	Labels map[string]string `json:"labels"`
	Taints []corev1.Taint    `json:"taints"`
	// Allocatable is what the node has for pods, Requests what everything on it
	// asks for, and DaemonSetRequests the part of it that DaemonSets do.
	Allocatable       corev1.ResourceList `json:"allocatable"`
	Requests          corev1.ResourceList `json:"requests"`
	DaemonSetRequests corev1.ResourceList `json:"daemonSetRequests"`
	// Pods by namespace and name.
	Pods []string `json:"pods"`
}

// An Existing node gets pods.
type Existing struct {
	// Node is the name of the Node, or of the NodeClaim that has not joined yet.
	Node string `json:"node"`
	// Pods that it gets, by namespace and name.
	Pods []string `json:"pods"`
}

// An Unschedulable pod finds no place for these reasons.
type Unschedulable struct {
	// Pod is namespace/name.
	Pod string `json:"pod"`
	// Reasons of every NodePool, the heaviest first; never empty.
	Reasons []problem.Reason `json:"reasons"`
}

// A Disruption is a command: nodes that go together. After any number of them each pod has its place.
type Disruption struct {
	// Nodes that go, by name.
	Nodes []string `json:"nodes"`
	// Reason is Empty or Underutilized.
	Reason string `json:"reason"`
	// Replacements are names of Nodes of the Document. Pods also go to nodes that are there, and to
	// replacements of commands before.
	Replacements []string `json:"replacements"`
	// SavingsPerHour in dollars.
	SavingsPerHour float64 `json:"savingsPerHour"`
	// EvictedPods is the number of pods that move.
	EvictedPods int `json:"evictedPods"`
	// PaybackSeconds is how long the savings take to pay for the evictions.
	PaybackSeconds int64 `json:"paybackSeconds"`
}

// Left is a node that no command ends.
type Left struct {
	// Node is its name.
	Node string `json:"node"`
	// Code is a stable word for why, as in the condition stowage.sh/Disrupting.
	Code string `json:"code"`
	// Message for people.
	Message string `json:"message"`
}

// A Total is what nodes cost.
type Total struct {
	// CostPerHour in dollars, of those whose price is known.
	CostPerHour float64 `json:"costPerHour"`
	// Nodes is their number.
	Nodes int `json:"nodes"`
}

// An AfterTotal also says what can be had at best.
type AfterTotal struct {
	Total
	// LowerBoundPerHour is proven: what the nodes cost that are kept whatever they cost, and the least that
	// new nodes for the pods of the others would.
	LowerBoundPerHour float64 `json:"lowerBoundPerHour"`
	// Gap is cost / bound − 1; nil where the bound is 0.
	Gap *float64 `json:"gap,omitempty"`
}

// A Refusal is a pod that kube-scheduler would not let onto its node.
type Refusal struct {
	// Pod is namespace/name.
	Pod string `json:"pod"`
	// Node is the name of one of Nodes or Existing.
	Node string `json:"node"`
	// Plugin of kube-scheduler that refuses it, and its words.
	Plugin string `json:"plugin"`
	Reason string `json:"reason"`
}

// Stats says how large the question was, and how much work the answer.
type Stats struct {
	// Pods that waited for a place.
	Pods int `json:"pods"`
	// Groups of pods that are alike in everything that matters.
	Groups int `json:"groups"`
	// Offerings that could be bought, counted once for each NodePool.
	Offerings int `json:"offerings"`
	// SolveSeconds is the time that solving took: the only field that differs from
	// one run to the next.
	SolveSeconds float64 `json:"solveSeconds"`
	// Steps of work, as in binpack.Solution.
	Steps int64 `json:"steps"`
}

// WriteJSON writes the plan's Document.
func (p *Plan) WriteJSON(w io.Writer) error {
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	return out.Encode(p.Document())
}

// Document returns the plan in the form for scripts. Lists are never nil.
func (p *Plan) Document() *Document {
	d := &Document{
		APIVersion:        "stowage.sh/v1alpha1",
		Kind:              "Plan",
		Nodes:             []Node{},
		Existing:          []Existing{},
		Unschedulable:     []Unschedulable{},
		CostPerHour:       dollars(p.costOfNew()),
		LowerBoundPerHour: dollars(p.solution.LowerBound),
		Stats: Stats{
			Pods:         p.pods,
			Groups:       len(p.translation.Problem.Groups),
			Offerings:    p.offers(),
			SolveSeconds: p.solveTime.Seconds(),
			Steps:        p.solution.Steps,
		},
	}
	if gap, ok := gap(p.solution.Cost, p.solution.LowerBound); ok {
		d.Gap = &gap
	}
	for i := range p.nodes {
		d.Nodes = append(d.Nodes, nodeOf(&p.nodes[i]))
	}
	for _, e := range p.existing {
		d.Existing = append(d.Existing, Existing{e.Bin.Name(), names(e.Pods)})
	}
	slices.SortFunc(d.Existing, func(a, b Existing) int { return cmp.Compare(a.Node, b.Node) })
	for _, u := range p.unplaced {
		for _, name := range names(u.pods) {
			d.Unschedulable = append(d.Unschedulable, Unschedulable{name, u.reasons})
		}
	}
	slices.SortFunc(d.Unschedulable, func(a, b Unschedulable) int { return strings.Compare(a.Pod, b.Pod) })
	if len(p.headroom) > 0 {
		d.Headroom = names(p.headroom)
	}
	d.Refused, d.Commitments = p.refused(), p.commitments
	if p.consolidation != nil {
		p.consolidation.addTo(d)
	}
	return d
}

// addTo writes a consolidation down in a plan's Document.
func (c *consolidation) addTo(d *Document) {
	d.Disruptions, d.Left = []Disruption{}, append([]Left{}, c.left...)
	for i := range c.opened {
		d.Nodes = append(d.Nodes, nodeOf(&c.opened[i]))
		d.Gap = nil
	}
	for i := range c.commands {
		one := &c.commands[i]
		next := Disruption{
			Nodes: []string{}, Reason: string(one.reason), Replacements: append([]string{}, one.opens...),
			SavingsPerHour: dollars(one.savings), EvictedPods: one.evictions, PaybackSeconds: int64(one.payback.Seconds()),
		}
		for _, n := range one.nodes {
			next.Nodes = append(next.Nodes, n.Node.Name)
		}
		slices.Sort(next.Nodes)
		d.Disruptions = append(d.Disruptions, next)
	}
	d.Before = &Total{dollars(c.before.cost), c.before.nodes}
	d.After = &AfterTotal{Total: Total{dollars(c.after.cost), c.after.nodes}, LowerBoundPerHour: dollars(c.bound)}
	if gap, ok := gap(c.after.cost, c.bound); ok {
		d.After.Gap = &gap
	}
}

// costOfNew is what all new nodes cost.
func (p *Plan) costOfNew() binpack.MicroUSD {
	cost := p.solution.Cost
	if p.consolidation != nil {
		for i := range p.consolidation.opened {
			cost += p.consolidation.opened[i].Price
		}
	}
	return cost
}

// nodeOf writes a new node down.
func nodeOf(n *newNode) Node {
	decided := n.Rows[0]
	all := maps.Clone(n.Requests)
	for resource, q := range n.Daemons {
		all[resource] += q
	}
	node := Node{
		Name:              n.name,
		NodePool:          decided.Pool.Name,
		Offering:          offeringOf(decided),
		Alternatives:      []Offering{},
		MinValuesRelaxed:  n.Relaxed(),
		Labels:            decided.Labels(),
		Taints:            append([]corev1.Taint{}, decided.Pool.Spec.Template.Spec.Taints...),
		Allocatable:       problem.Quantities(decided.Type.Allocatable),
		Requests:          problem.Quantities(all),
		DaemonSetRequests: problem.Quantities(n.Daemons),
		Pods:              names(n.Pods),
	}
	for _, row := range n.Rows[1:] {
		node.Alternatives = append(node.Alternatives, offeringOf(row))
	}
	return node
}

func offeringOf(row *problem.Row) Offering {
	o := row.Offering
	out := Offering{InstanceType: o.InstanceType, Zone: o.Zone, CapacityType: o.CapacityType, Reservation: o.Reservation, Tenancy: o.Tenancy,
		PricePerHour: dollars(row.Price), InterruptionRiskPerHour: dollars(row.Risk)}
	if row.Commitment != nil {
		out.Commitment = row.Commitment.Name
	}
	return out
}

// names lists pods as namespace/name, sorted.
func names(pods []*corev1.Pod) []string {
	all := make([]string, len(pods))
	for i, pod := range pods {
		all[i] = nameOf(pod)
	}
	slices.Sort(all)
	return all
}

// dollars turns a price into the number that JSON has for it. Nothing is decided
// by it.
func dollars(m binpack.MicroUSD) float64 { return float64(m) / 1e6 }

// gap returns cost / bound − 1 to six decimals; not ok where the bound is 0.
func gap(cost, bound binpack.MicroUSD) (gap float64, ok bool) {
	if bound == 0 {
		return 0, false
	}
	ratio := float64(cost) / float64(bound)
	return math.Round(float64((ratio-1)*1e6)) / 1e6, true
}
