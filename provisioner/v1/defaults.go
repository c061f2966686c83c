package v1

// ExpireAfterDefault is how old nodes may become if nothing is said.
const ExpireAfterDefault Duration = "720h"

// SetDefaults fills what is unset, as the API server does from the CRD. Objects
// that were read from a server have it all; those from files have not.
func (p *NodePool) SetDefaults() {
	if p.Spec.Template.Spec.ExpireAfter == "" {
		p.Spec.Template.Spec.ExpireAfter = ExpireAfterDefault
	}
	d := &p.Spec.Disruption
	if d.ConsolidateAfter == "" {
		d.ConsolidateAfter = "0s"
	}
	if d.ConsolidationPolicy == "" {
		d.ConsolidationPolicy = WhenEmptyOrUnderutilized
	}
	if d.Budgets == nil { // an empty list is no budget, and stays so
		d.Budgets = []Budget{{}}
	}
	for i := range d.Budgets {
		if d.Budgets[i].Nodes == "" {
			d.Budgets[i].Nodes = "10%"
		}
	}
}

// SetDefaults fills what is unset, as the API server does from the CRD.
func (c *NodeClaim) SetDefaults() {
	if c.Spec.ExpireAfter == "" {
		c.Spec.ExpireAfter = ExpireAfterDefault
	}
}
