package plan

import (
	"fmt"
	"strings"

	"github.com/stowage-sh/stowage/pricing"
	"github.com/stowage-sh/stowage/provisioner/problem"
)

// A Commitment of a Document is paid for already, used or not.
type Commitment struct {
	Name string `json:"name"`
	Kind string `json:"kind"`
	// Unit of Amount, Used and Planned: dollarsPerHour, normalizedUnits or instances.
	Unit string `json:"unit"`
	// Amount for each hour, without what the file says is used elsewhere; what of it the nodes use that
	// run on demand, and what they and the Nodes of the Document would, after its Disruptions.
	Amount  float64 `json:"amount"`
	Used    float64 `json:"used"`
	Planned float64 `json:"planned"`
}

// countCommitments notes how much of each commitment is used, and would be with the new nodes.
func (p *Plan) countCommitments(in *problem.Input) {
	launches := make([]problem.Launch, len(p.nodes))
	for i := range p.nodes {
		launches[i] = p.nodes[i].Launch
	}
	before, after := in.Used(nil), in.Used(launches)
	for i, use := range before {
		c := use.Commitment
		p.commitments = append(p.commitments, Commitment{
			c.Name, string(c.Kind), unitOf(c), c.Quantity(c.Amount), c.Quantity(use.Used), c.Quantity(after[i].Used),
		})
	}
}

// countPlanned counts anew how much of each commitment would be used, when nodes have gone and come.
func (p *Plan) countPlanned(in *problem.Input) {
	for i, use := range in.Used(nil) {
		p.commitments[i].Planned = use.Commitment.Quantity(use.Used)
	}
}

// unitOf names the unit of a commitment's quantities.
func unitOf(c *pricing.Commitment) string {
	switch {
	case c.Kind != pricing.ReservedInstance:
		return "dollarsPerHour"
	case c.Family != "":
		return "normalizedUnits"
	}
	return "instances"
}

// shortUnits are the same for people.
var shortUnits = map[string]string{"dollarsPerHour": "$/h", "normalizedUnits": "units", "instances": "instances"}

// writeCommitments writes how much of each is used.
func (p *Plan) writeCommitments(b *strings.Builder) {
	if len(p.commitments) == 0 {
		return
	}
	planned := "WITH THE NEW NODES"
	if p.consolidation != nil {
		planned = "AFTER"
	}
	t := table{{"COMMITMENT", "USED", planned, "OF"}}
	for _, c := range p.commitments {
		t = append(t, []string{c.Name, fmt.Sprintf("%.4f", c.Used), fmt.Sprintf("%.4f", c.Planned), fmt.Sprintf("%.4f %s", c.Amount, shortUnits[c.Unit])})
	}
	b.WriteString("\n")
	for _, line := range t.lines() {
		fmt.Fprintln(b, line)
	}
}
